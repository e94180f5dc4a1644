"""The title of each first diagnosis, and a flag if the code is not one that may be billed in FY2025.

    icd_code='I214' title='Non-ST elevation (NSTEMI) myocardial infarction' flag=None
    icd_code='I48' title='Atrial fibrillation and flutter' flag='not billable'

A stay is coded by the release of its year (FY2016 to FY2022), and MIMIC's dictionary names every code in use then. So a
code that FY2025 lacks is retired if the dictionary names it, and else never existed. Without a dictionary it may be
either. A header of FY2025 may have been billable in the stay's year: codes are divided over the years.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deepicd.icd10cm import Code, load_release

if TYPE_CHECKING:
    import duckdb

NOT_BILLABLE, RETIRED, NEVER_EXISTED = "not billable", "retired", "never existed"
NOT_IN_RELEASE = "not in FY2025"  # retired or never existed: the copy has no dictionary that tells

TITLES = """
create temp table titles as
select
    u.icd_code,
    coalesce(min(d.long_title), any_value(u.title)) as title,
    case
        when any_value(u.billable) then null
        when any_value(u.title) is not null then '{not_billable}'
        when not {has_dictionary} then '{not_in_release}'
        when count(d.icd_code) > 0 then '{retired}'
        else '{never_existed}'
    end as flag
from used u
left join ({dictionary}) d using (icd_code)
group by u.icd_code
"""
DICTIONARY = "select icd_code, long_title from d_icd_diagnoses where icd_version = 10"
NO_ROWS = "select null::varchar as icd_code, null::varchar as long_title where false"


def read_titles(db: "duckdb.DuckDBPyConnection", *, has_dictionary: bool) -> None:
    """Create the table `titles` of the codes in `stays`, from MIMIC's dictionary or else the release tables."""
    import pyarrow as pa

    release = load_release()
    rows = db.execute("select distinct icd_code from stays where icd_version = 10").fetchall()
    codes = sorted({code.value for (text,) in rows if (code := Code.find(text))})
    columns = {
        "icd_code": pa.array(codes, pa.string()),
        "title": pa.array([release.titles.get(code) for code in codes], pa.string()),
        "billable": pa.array([code in release.billable for code in codes], pa.bool_()),
    }
    db.register("used", pa.table(columns))
    db.execute(
        TITLES.format(
            not_billable=NOT_BILLABLE,
            not_in_release=NOT_IN_RELEASE,
            retired=RETIRED,
            never_existed=NEVER_EXISTED,
            has_dictionary=has_dictionary,
            dictionary=DICTIONARY if has_dictionary else NO_ROWS,
        )
    )
    db.unregister("used")


def format_code_flags(flags: Mapping[str, int]) -> str:
    """Return the line of a build's summary about codes that may not be billed in FY2025; `flags` are its counts."""
    counts = {
        "that never existed": flags.get(NEVER_EXISTED, 0),
        "that is a header of FY2025 (not billable)": flags.get(NOT_BILLABLE, 0),
        "that is retired": flags.get(RETIRED, 0),
    }
    if unknown := flags.get(NOT_IN_RELEASE, 0):
        counts["that is retired or never existed (the copy has no d_icd_diagnoses)"] = unknown
    stays = ", ".join(f"{number:,} with one {what}" for what, number in counts.items())
    return f"First codes outside FY2025's billable ones, flagged and kept: {stays}"
