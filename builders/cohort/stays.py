"""Read the codes of each stay of a copy, with their titles, and join each discharge note with those of its stay.

One stay: hadm_id=20000019 icd_version=10 icd_code='I214' second_code='I10' seq_num=1.
Source: hosp.diagnoses_icd, hosp.admissions, hosp.d_icd_diagnoses, note.discharge (MIMIC-IV 2.0 to 3.1, Note 2.2).
ICD-9 stays are left out, not mapped: a GEM map is many-to-many and would invent labels.

    icd_code='I214' title='Non-ST elevation (NSTEMI) myocardial infarction' flag=None
    icd_code='I48' title='Atrial fibrillation and flutter' flag='not billable'

A stay is coded by the release of its year (FY2016 to FY2022), and MIMIC's dictionary names every code in use then. So a
code that FY2025 lacks is retired if the dictionary names it, and else never existed. Without a dictionary it may be
either. A header of FY2025 may have been billable in the stay's year: codes are divided over the years.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builders.cohort.leakage import Terms, build_terms
from deepicd.icd10cm import Code, load_release
from deepicd.mimic import local_copy
from deepicd.mimic.databases import open_database
from deepicd.mimic.table_rows import load_table, read_rows
from deepicd.schema import EXCLUDED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# One row per stay: its ICD version (null where rows disagree) and its first ICD-10 codes by seq_num, which may lack 1.
# Some rows occur twice; of two codes with the same rank the smaller is taken, so that the result is deterministic.
STAYS = """
create temp table stays as
select
    subject_id,
    hadm_id,
    case when min(icd_version) = max(icd_version) then min(icd_version) end as icd_version,
    arg_min(icd_code, (seq_num, icd_code), 4) filter (icd_version = 10) as first_codes,
    first_codes[1] as icd_code,
    min(seq_num) as seq_num
from diagnoses_icd
where icd_code <> ''
group by subject_id, hadm_id
"""

# One row per admission: its first codes, and why its note is excluded, judged by ids and codes (null: a candidate).
ELIGIBILITY = """
create temp table eligibility as
select
    a.subject_id, a.hadm_id, s.icd_code, s.seq_num,
    list_filter(s.first_codes, lambda code: code <> s.icd_code)[1] as second_code,
    case
        when s.hadm_id is null then 'no diagnosis'
        when s.icd_version is null then 'two ICD versions'
        when s.icd_version <> 10 then 'not ICD-10'
    end as reason
from (select distinct subject_id, hadm_id from admissions where subject_id is not null and hadm_id is not null) a
left join stays s using (subject_id, hadm_id)
"""

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

IDS = ("note_id", "subject_id", "hadm_id")
CODES = ("icd_code", "second_code", "seq_num")


def read_stays(db: "duckdb.DuckDBPyConnection", copy: local_copy.Copy) -> None:
    """Create the tables `stays`, `eligibility` and `titles` in a database that holds the copy's hosp tables."""
    db.execute(STAYS)
    db.execute(ELIGIBILITY)
    read_titles(db, has_dictionary="d_icd_diagnoses" in copy.tables)


class NoteBatch(NamedTuple):
    """A batch of a copy's notes, divided into candidates and notes that their ids or codes exclude."""

    candidates: "pa.RecordBatch"
    """note_id, subject_id, hadm_id, icd_code, second_code, seq_num, text"""
    excluded: "pa.RecordBatch"
    """The columns of schema.EXCLUDED."""


def join_notes(db: "duckdb.DuckDBPyConnection", copy: local_copy.Copy) -> Iterator[NoteBatch]:
    """Yield the copy's notes, each once, joined with `eligibility`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    eligibility = db.sql("select * from eligibility").to_arrow_table()
    # A dict: for the few hundred notes of a batch, a DuckDB join takes twenty times as long.
    stays = zip(eligibility["subject_id"].to_pylist(), eligibility["hadm_id"].to_pylist(), strict=True)
    place_of = {stay: place for place, stay in enumerate(stays)}
    stay_columns = pa.RecordBatch.from_pydict({name: eligibility[name].combine_chunks() for name in (*CODES, "reason")})
    for batch in read_rows(copy.tables["discharge"], (*IDS, "text")):
        stays = zip(batch["subject_id"].to_pylist(), batch["hadm_id"].to_pylist(), strict=True)
        places = pa.array(list(map(place_of.get, stays)), pa.int64())
        joined = stay_columns.take(places)
        reason = pc.if_else(places.is_valid(), joined["reason"], "no admission")
        is_candidate = reason.is_null()
        ids = {name: batch[name] for name in IDS}
        codes = {name: joined[name] for name in CODES}
        yield NoteBatch(
            pa.RecordBatch.from_pydict(ids | codes | {"text": batch["text"]}).filter(is_candidate),
            pa.RecordBatch.from_pydict(ids | {"reason": reason}, EXCLUDED).filter(pc.invert(is_candidate)),
        )


def load_first_codes(mimic_root: Path, notes_root: Path) -> list[Code]:
    """Return the distinct first diagnoses of a copy's ICD-10 stays, sorted."""
    diagnoses = local_copy.find_copy(mimic_root, notes_root).tables["diagnoses_icd"]
    with open_database() as db:
        load_table(db, diagnoses)
        local_copy.check_codes_are_text(db, diagnoses)
        db.execute(STAYS)
        rows = db.execute("select distinct icd_code from stays where icd_version = 10 order by icd_code").fetchall()
    return [code for (text,) in rows if (code := Code.find(text))]


def load_terms(db: "duckdb.DuckDBPyConnection") -> dict[str, Terms]:
    """Return code → the terms that name it, for each first diagnosis of an ICD-10 stay."""
    rows = db.execute(
        "select distinct s.icd_code, coalesce(t.title, '') from stays s left join titles t using (icd_code)"
        " where s.icd_version = 10"
    ).fetchall()
    codes = ((code, title) for text, title in rows if (code := Code.find(text)))
    return {code.value: build_terms(code.value, title, code.inclusion_terms) for code, title in codes}


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
