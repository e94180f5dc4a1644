"""The cohort: one admission note and its first diagnosis for each ICD-10 stay that has both.

One row: hadm_id=20000019 icd_code='I214' category='I21' chapter=9 admission_note='Sex:\\nF\\n\\nChief Complaint:\\n…'
Source: hosp.diagnoses_icd, hosp.admissions, hosp.d_icd_diagnoses, note.discharge (MIMIC-IV 2.0 to 3.1, Note 2.2).
ICD-9 stays are left out, not mapped: a GEM map is many-to-many and would invent labels.
Beside the splits: excluded.parquet (every other note and why), splits.csv (note_id, split: to share), funnel.json.
Run: deepicd build --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 out/cohort
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from builders import mimic, splits
from builders.criteria import DEFAULT, Criteria
from builders.funnel import funnel
from builders.leakage import Terms, terms
from builders.parallel import in_order, processes_for
from builders.table import quoted
from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code, release
from deepicd.progress import progress
from deepicd.schema import COHORT, EXCLUDED, SPLITS
from deepicd.store import Origin

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH = 1024  # notes handed on at a time, some 10 MB of text

# One row a stay: its ICD version (null where rows disagree) and its first two codes by seq_num, which may lack 1. Rows
# come twice at times; of two codes with one rank the smaller is taken, so that the choice is always the same.
STAYS = """
create temp table stays as
select
    subject_id,
    hadm_id,
    case when min(icd_version) = max(icd_version) then min(icd_version) end as icd_version,
    arg_min(trim(icd_code), (seq_num, trim(icd_code))) as icd_code,
    arg_min(trim(icd_code), (seq_num, trim(icd_code)), 4) as first_codes,
    min(seq_num) as seq_num
from diagnoses_icd
where trim(icd_code) <> ''
group by subject_id, hadm_id
"""

# One row a note, in one scan of the file: why it falls out as far as ids and codes can tell, its text if it does not.
NOTES = """
with admitted as (select distinct subject_id, hadm_id from admissions),
fates as (
    select
        n.*, s.icd_code, list_filter(s.first_codes, lambda code: code <> s.icd_code)[1] as second_code, s.seq_num,
        case
            when a.hadm_id is null then 'no admission'
            when s.hadm_id is null then 'no diagnosis'
            when s.icd_version is null then 'two ICD versions'
            when s.icd_version <> 10 then 'not ICD-10'
        end as reason
    from discharge n
    left join admitted a using (subject_id, hadm_id)
    left join stays s using (subject_id, hadm_id)
)
select
    note_id, subject_id, hadm_id, icd_code, second_code, seq_num, reason,
    case when reason is null then text end as text
from fates
"""

# What was extracted, with the place of each note among its admission's (Note 2.2 has one each): the first is kept.
FOUND = """
create temp view found as
select *, row_number() over (partition by hadm_id order by length(note_id), note_id) as nth from read_parquet({rows});
create temp view excluded as
select * from read_parquet({excluded})
union all
select note_id, subject_id, hadm_id, 'second note of a stay' from found where nth > 1
"""

# Things a reader may want to leave out or look at: the first code is the one billed first, not always the reason.
ROWS = """
select
    f.note_id, f.subject_id, f.hadm_id, f.admission_note, f.icd_code,
    coalesce(t.title, '') as icd_title, f.category, f.chapter, f.seq_num,
    list_filter([
        case when regexp_matches(f.second_code, '^(A40|A41|R652|T8144|O85)')
              and not regexp_matches(f.icd_code, '^(A40|A41|R652|T8144|O85)') then 'sepsis second' end,
        case when f.chapter = 18 then 'symptom first' end,
        case when f.chapter = 21 then 'Z code first' end,
        case when not coalesce(t.billable, false) then 'not in FY2025' end,
        case when regexp_matches(f.category, '[A-Z]$') then 'letter-third category' end,
        case when f.seq_num > 1 then 'seq_num above 1' end,
        case when count(*) over (partition by f.subject_id) > 1 then 'patient has several stays' end
    ], lambda flag: flag is not null) as flags,
    a.split
from found f
join assigned a using (note_id)
left join titles t using (icd_code)
where nth = 1
"""

FLAGS = "select flag, count(*) from (select unnest(flags) as flag from cohort) group by flag order by flag"


def build(
    mimic_root: Path, notes_root: Path, out: Path, criteria: Criteria = DEFAULT, *, overwrite: bool = False
) -> runs.Record:
    """Write OUT/{train,validation,test}.parquet and what goes with them; the record. Raises DeepicdError."""
    copy = mimic.find(mimic_root, notes_root)
    plan = runs.plan("build", options=asdict(criteria), inputs=copy.files)
    if done := runs.finished(out, plan):
        return done
    with (
        runs.fresh_folder(out, plan, copy.origin, overwrite=overwrite) as run,
        mimic.connected(copy, run.folder / ".spill") as db,
    ):
        db.execute(STAYS)
        register_titles(db, copy)
        _extract(db, criteria, run.folder, copy.origin)
        lost = Counter(dict(db.execute("select reason, count(*) from excluded group by reason").fetchall()))
        run.counts |= _divide(db, criteria)
        if not (kept := sum(run.counts["rows"].values())):
            raise _nothing_left(lost)
        if "d_icd_diagnoses" not in copy.tables:
            run.notes.append("The copy has no d_icd_diagnoses: titles come from the ICD-10-CM release tables, FY2025.")
        _write_files(db, run.folder, copy.origin)
        run.counts["funnel"] = funnel(kept + lost.total(), lost, run.counts["codes"])
        run.counts["flags"] = dict(db.execute(FLAGS).fetchall())
        store.write_json(run.folder / "funnel.json", run.counts["funnel"])
    return run.record


def first_codes(mimic_root: Path, notes_root: Path) -> list[Code]:
    """The distinct first diagnoses of a copy's ICD-10 stays, in order: what there is to know something about."""
    with mimic.connected(mimic.find(mimic_root, notes_root)) as db:
        db.execute(STAYS)
        rows = db.execute("select distinct icd_code from stays where icd_version = 10 order by icd_code").fetchall()
    return [code for (text,) in rows if (code := Code.find(text))]


def _extract(db: "duckdb.DuckDBPyConnection", criteria: Criteria, folder: Path, origin: Origin) -> None:
    """Read every note once; the views `found` and `excluded` then hold what came of them."""
    import pyarrow as pa

    from builders import extraction

    rows, excluded = folder / ".rows.parquet", folder / ".excluded.parquet"
    [(to_read,)] = db.execute("select count(*) from stays where icd_version = 10").fetchall()
    with (
        store.parquet_writer(rows, extraction.ROWS, origin) as row_writer,
        store.parquet_writer(excluded, EXCLUDED, origin) as excluded_writer,
        progress("notes read") as advance,
    ):
        extract = partial(extraction.extract, criteria=criteria, naming=naming(db) if criteria.strict else {})
        for part in in_order(extract, batches(db.sql(NOTES), BATCH), processes_for(to_read)):
            for writer, batch in ((row_writer, part.rows), (excluded_writer, part.excluded)):
                writer.write_table(pa.Table.from_batches([batch]).cast(writer.schema))
            advance(part.rows.num_rows + part.excluded.num_rows)
    db.execute(FOUND.format(rows=quoted(str(rows)), excluded=quoted(str(excluded))))


def batches(result: "duckdb.DuckDBPyRelation", rows: int) -> "Iterator[pa.RecordBatch]":
    """A result as it is made, so many rows at a time; never all of it in memory."""
    yield from cast("pa.RecordBatchReader", result.to_arrow_reader(rows))


def naming(db: "duckdb.DuckDBPyConnection") -> dict[str, Terms]:
    """What would name each first diagnosis of an ICD-10 stay: its titles and the release's other terms for it."""
    rows = db.execute(
        "select distinct s.icd_code, coalesce(t.title, '') from stays s left join titles t using (icd_code)"
        " where s.icd_version = 10"
    ).fetchall()
    found = ((code, title) for text, title in rows if (code := Code.find(text)))
    return {code.value: terms(code.value, title, code.inclusion_terms) for code, title in found}


def _divide(db: "duckdb.DuckDBPyConnection", criteria: Criteria) -> dict[str, Any]:
    """Give each found note its split (the table `assigned`); what the record says of splits, codes and chapters."""
    import pyarrow as pa

    rows = db.execute("select note_id, subject_id, icd_code, chapter from found where nth = 1").fetchall()
    stays = [splits.Stay(note_id, subject_id, code) for note_id, subject_id, code, _ in rows]
    split_of = splits.RULES[criteria.split](stays, criteria.seed)
    assigned = {"note_id": list(split_of), "split": list(split_of.values())}
    db.register("assigned", pa.table(assigned, schema=pa.schema([("note_id", pa.string()), ("split", pa.string())])))
    found, by_chapter = splits.report(stays, split_of), Counter(chapter for *_, chapter in rows)
    return {
        "rows": {split: found["rows"][split] for split in SPLITS},
        "codes": len({stay.code for stay in stays}),
        "chapters": {str(chapter): by_chapter[chapter] for chapter in sorted(by_chapter)},
        "split": {name: value for name, value in found.items() if name != "rows"},
    }


def register_titles(db: "duckdb.DuckDBPyConnection", copy: mimic.Copy) -> None:
    """The table `titles`: ICD-10 code → title, MIMIC's own (it names every code it uses) before the release's."""
    import pyarrow as pa

    tables = release()
    codes = list(tables.titles)
    columns = {
        "icd_code": codes,
        "title": list(tables.titles.values()),
        "billable": [c in tables.billable for c in codes],
    }
    db.register("release", pa.table(columns))
    dictionary = "select trim(icd_code) as icd_code, long_title from d_icd_diagnoses where icd_version = 10"
    nothing = "select null::varchar as icd_code, null::varchar as long_title where false"
    db.execute(f"""
        create temp table titles as
        select
            coalesce(d.icd_code, r.icd_code) as icd_code,
            coalesce(any_value(d.long_title), any_value(r.title)) as title,
            any_value(r.billable) as billable
        from ({dictionary if "d_icd_diagnoses" in copy.tables else nothing}) d
        full join release r using (icd_code)
        group by 1
    """)


def _write_files(db: "duckdb.DuckDBPyConnection", folder: Path, origin: Origin) -> None:
    """The splits, excluded.parquet and splits.csv, each ordered by note_id."""
    import pyarrow as pa

    db.execute(f"create temp view cohort as {ROWS}")
    files = [
        (f"{split}.parquet", COHORT, f"select * exclude split from cohort where split = '{split}'") for split in SPLITS
    ]
    for name, schema, query in [*files, ("excluded.parquet", EXCLUDED, "select * from excluded")]:
        with store.parquet_writer(folder / name, schema, origin) as writer:
            for batch in batches(db.sql(f"{query} order by note_id"), store.ROW_GROUP):
                writer.write_table(pa.Table.from_batches([batch]).cast(writer.schema))
    with store.atomic(folder / "splits.csv") as tmp:
        db.execute(
            f"copy (select note_id, split from assigned order by note_id) to {quoted(str(tmp))} (format csv, header)"
        )


def _nothing_left(lost: Counter[str]) -> DeepicdError:
    why = ", ".join(f"{number:,} {reason}" for reason, number in lost.most_common())
    return DeepicdError(
        f"No note is left of {lost.total():,}: {why}." if lost else "The copy holds no note.",
        "Check that --mimic and --notes belong together; ICD-10 stays with admission sections are kept.",
    )
