"""Read the codes of each stay of a copy, and join each discharge note with those of its stay.

One stay: hadm_id=20000019 icd_version=10 icd_code='I214' second_code='I10' seq_num=1.
Source: hosp.diagnoses_icd, hosp.admissions, hosp.d_icd_diagnoses, note.discharge (MIMIC-IV 2.0 to 3.1, Note 2.2).
ICD-9 stays are left out, not mapped: a GEM map is many-to-many and would invent labels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builders.cohort.code_titles import read_titles
from builders.cohort.leakage import Terms, build_terms
from deepicd.icd10cm import Code
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
