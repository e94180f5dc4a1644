"""Columns of the cohort for analysis: who the patient is, how the stay began, and all of its codes.

One stay: sex='F' age_band='60-69' race='WHITE' admission_type='URGENT' icd_codes=['I214', 'I10'] icu=False
Source: hosp.patients, hosp.admissions, hosp.diagnoses_icd, icu.icustays (MIMIC-IV 2.0 to 3.1).
`deepicd evaluate --subgroups` reads them; no prompt and no row of the dataset has them. What a copy does not say is
null: without icu/icustays it is unknown whether a stay had an ICU, and none counts as one without.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.tables import Table

if TYPE_CHECKING:
    import duckdb

# One row per admission; an admission may be entered twice. MIMIC gives the age in a patient's anchor year, 91 for all
# above 89, so the oldest band holds everyone from 90.
ANALYSIS = """
create temp table analysis as
with stays as (
    select
        subject_id, hadm_id, min(nullif(race, '')) as race, min(nullif(admission_type, '')) as admission_type,
        min(year(try_cast(admittime as timestamp))) as admitted
    from admissions
    group by subject_id, hadm_id
),
people as (
    select subject_id, min(nullif(gender, '')) as sex, min(anchor_age) as anchor_age, min(anchor_year) as anchor_year
    from patients
    group by subject_id
),
ages as (
    select s.*, p.sex, p.anchor_age + s.admitted - p.anchor_year as age
    from stays s
    left join people p using (subject_id)
)
select
    subject_id, hadm_id, sex,
    case
        when age < 18 then 'under 18'
        when age < 30 then '18-29'
        when age < 90 then age // 10 * 10 || '-' || age // 10 * 10 + 9
        when age >= 90 then '90+'
    end as age_band,
    race, admission_type,
    case when exists (from icustays) then hadm_id in (select hadm_id from icustays where hadm_id is not null) end as icu
from ages
"""

# One row per stay of the table `kept`: its ICD-10 codes by seq_num, each once.
CODES_OF_STAYS = """
create temp table codes_of_stays as
select subject_id, hadm_id, list(icd_code order by seq_num, icd_code) as icd_codes
from (
    select subject_id, hadm_id, icd_code, min(seq_num) as seq_num
    from diagnoses_icd
    semi join kept using (subject_id, hadm_id)
    where icd_version = 10 and icd_code <> ''
    group by all
)
group by subject_id, hadm_id
"""

COLUMNS_OF = {
    "admissions": ("admittime", "admission_type", "race"),
    "patients": ("gender", "anchor_age", "anchor_year"),
}
UNMATCHED = """
select count(*), count(*) filter (hadm_id not in (select hadm_id from admissions where hadm_id is not null))
from icustays
"""
UNREAD_TIMES = """
select count(*), count(*) filter (try_cast({name} as timestamp) is null)
from admissions
where nullif(cast({name} as varchar), '') is not null
"""
EMPTY = """
create temp table {name} as
select
    null::bigint as subject_id, null::bigint as hadm_id,
    null::varchar as gender, null::bigint as anchor_age, null::bigint as anchor_year
where false
"""


def read_analysis(db: "duckdb.DuckDBPyConnection", tables: Mapping[str, Table], *, needs_icu: bool) -> list[str]:
    """Create the table `analysis` from a copy's tables in a database; return what is unknown, as sentences.

    Raises DeepicdError if ICU stays are needed and absent, or belong to another copy, and if no time can be read.
    """
    notes = []
    for name in ("patients", "icustays"):
        if name not in tables:
            db.execute(EMPTY.format(name=name))
    if "patients" not in tables:
        notes.append("The copy has no patients: sex and age_band are null.")
    notes += [
        f"The copy's {name} has no {', '.join(absent)}: what the cohort takes from it is null."
        for name in sorted(COLUMNS_OF.keys() & tables.keys())
        if (absent := [column for column in COLUMNS_OF[name] if column in tables[name].absent])
    ]
    [(rows, unmatched)] = db.execute(UNMATCHED).fetchall()
    if not rows and needs_icu:
        raise DeepicdError(
            "The copy has no icu/icustays, or none of its rows, so it is unknown which stays had an ICU.",
            "Fetch it (deepicd physionet fetch) into the folder icu/ beside hosp/, or build without --without-icu.",
        )
    if not rows:
        notes.append("The copy has no icu/icustays: whether a stay had an ICU is unknown (icu is null).")
    elif rows == unmatched:
        raise DeepicdError(
            f"None of the {rows:,} ICU stays of icu/icustays belongs to an admission of this copy.",
            "Use hosp/ and icu/ of the same release.",
        )
    elif unmatched:
        notes.append(f"{unmatched:,} of {rows:,} ICU stays belong to no admission: are hosp/ and icu/ of one release?")
    notes += _check_times(db, tables["admissions"])
    db.execute(ANALYSIS)
    return notes


def _check_times(db: "duckdb.DuckDBPyConnection", admissions: Table) -> Iterator[str]:
    """Yield how many times of admissions are no times. Raises DeepicdError if all are."""
    for name in ("admittime", "dischtime"):
        if name not in admissions.header:
            continue
        [(given, unread)] = db.execute(UNREAD_TIMES.format(name=name)).fetchall()
        if unread and unread == given:
            raise DeepicdError(
                f"None of the {given:,} values of {name} in hosp/admissions is a time as MIMIC writes it.",
                "Write them as in 2153-04-01 10:00:00; ages and lengths of stay come from them.",
            )
        if unread:
            yield f"{unread:,} of {given:,} values of {name} in hosp/admissions are not times; their results are null."
