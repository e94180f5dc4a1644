"""The sealed outcome: what became of each stay of the cohort, for checks of traces alone.

One row: note_id='10000019-DS-3' sections=[{name: 'Brief Hospital Course', …}, …] icd_codes=['I214', 'I10'] days=3.2
Source: the sections of the note that `build` cuts, hosp.diagnoses_icd, hosp.admissions (MIMIC-IV 2.0 to 3.1).
A trace is written by a model that must not know this. `deepicd.outcome` says who may open these files.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from deepicd import outcome, storage
from deepicd.icd10cm import SHAPE
from deepicd.mimic.databases import quote_sql
from deepicd.schema import OUTCOME

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from deepicd.storage import Origin

# One row per admission: days and death. One that is entered twice is one if its rows agree.
STAY_OUTCOMES = """
create temp table stay_outcomes as
select
    hadm_id,
    case when count(distinct days) = 1 then any_value(days) end as days,
    case when count(distinct died) = 1 then any_value(died) end as died
from (select hadm_id, {days} as days, {died} as died from admissions)
group by hadm_id
"""
DAYS = "date_diff('second', try_cast(admittime as timestamp), try_cast(dischtime as timestamp)) / 86400.0"
DIED = "hospital_expire_flag = 1"
UNKNOWN = "null"

OUTCOME_ROWS = """
select
    c.note_id, c.hadm_id, e.sections, s.days, s.died, c.icu,
    list_filter(c.icd_codes, lambda code: regexp_full_match(code, {shape})) as icd_codes
from cohort c
join extracted e on e.rowid = c.row
left join stay_outcomes s on s.hadm_id = c.hadm_id
where c.split = {split}
order by c.note_id
"""


def write_outcomes(
    db: "duckdb.DuckDBPyConnection", columns: Iterable[str], folder: "Path", splits: Iterable[str], origin: "Origin"
) -> list[str]:
    """Write FOLDER/outcome/<split>.parquet from the tables of a build; return what the copy does not tell.

    `columns`: those of the copy's admissions.
    """
    present = set(columns)
    has_days, has_death = "dischtime" in present, "hospital_expire_flag" in present
    db.execute(STAY_OUTCOMES.format(days=DAYS if has_days else UNKNOWN, died=DIED if has_death else UNKNOWN))
    for split in splits:
        with outcome.open_writer(folder, split, origin) as writer:
            for batch in db.sql(
                OUTCOME_ROWS.format(shape=quote_sql(SHAPE.pattern), split=quote_sql(split))
            ).to_arrow_reader(storage.ROW_GROUP):
                writer.write_table(pa.Table.from_batches([batch]).select(OUTCOME.names).cast(writer.schema))
    missing = ["length of stay"] * (not has_days) + ["death"] * (not has_death)
    return [f"The sealed outcome has no {' and no '.join(missing)}: admissions lacks the columns."] if missing else []
