"""The cohort: one admission note and its first diagnosis for each ICD-10 stay that has both.

One row: hadm_id=20000019 icd_code='I214' category='I21' chapter=9 admission_note='Sex:\\nF\\n\\nChief Complaint:\\n…'
Source: hosp.diagnoses_icd, hosp.admissions, hosp.d_icd_diagnoses, note.discharge (MIMIC-IV 2.0 to 3.1, Note 2.2).
ICD-9 stays are left out, not mapped: a GEM map is many-to-many and would invent labels.
Run: deepicd build --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 out/cohort
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from builders import mimic, splits
from builders.sections import admission_sections, as_text
from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code, release
from deepicd.progress import progress
from deepicd.schema import COHORT, SPLITS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

REQUIRED = ("Chief Complaint", "History of Present Illness")  # a note with neither tells nothing of the admission
BATCH = 2048  # notes held in memory at a time, some 20 MB of text
MEMORY = "1GB"  # DuckDB's share; past it, it sorts on disk

# What the paper's cohort comes to, to read beside ours (DeepICD-R1, Table 2).
PAPER = {"rows": 93_142, "codes": 6_368}

# One row a stay: its ICD version (null where rows disagree) and the code with the smallest seq_num. Rows come twice at
# times and seq_num may lack 1; of two codes with one rank the smaller is taken, so that the choice is always the same.
STAYS = """
create temp table stays as
select
    subject_id,
    hadm_id,
    case when min(icd_version) = max(icd_version) then min(icd_version) end as icd_version,
    arg_min(trim(icd_code), (seq_num, trim(icd_code))) as icd_code,
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
        n.*, s.icd_code, s.seq_num,
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
select note_id, subject_id, hadm_id, icd_code, seq_num, reason, case when reason is null then text end as text
from fates
"""

# An admission with several notes (none in Note 2.2) keeps the first.
FIRST_NOTES = """
create temp view cohort as
select * from read_parquet({whole})
qualify row_number() over (partition by hadm_id order by length(note_id), note_id) = 1
"""


def build(mimic_root: Path, notes_root: Path, out: Path, *, seed: int = 42, overwrite: bool = False) -> runs.Record:
    """Write OUT/{train,validation,test}.parquet, funnel.json and run.json; the record. Raises DeepicdError."""
    copy = mimic.find(mimic_root, notes_root)
    plan = runs.plan("build", options={"seed": seed, "required": list(REQUIRED)}, inputs=copy.files)
    if done := runs.finished(out, plan):
        return done
    with runs.fresh_folder(out, plan, copy.origin, overwrite=overwrite) as run, mimic.reading(copy.tables):
        db = _database(copy, spill=run.folder / ".spill")
        work = run.folder / ".work.parquet"
        counts = _write_rows(db, work, _titles(db, copy, run), copy.origin)
        if not counts["kept"]:
            raise DeepicdError(
                f"No note is left of {counts['notes']:,}: {_reasons(counts)}." if counts else "The copy holds no note.",
                "Check that --mimic and --notes belong together; ICD-10 stays with admission sections are kept.",
            )
        run.counts |= _write_splits(db, work, run.folder, seed, copy.origin)
        counts["second note of a stay"] = counts["kept"] - sum(run.counts["rows"].values())
        run.counts["funnel"] = _funnel(counts, codes=run.counts["codes"])
        store.write_json(run.folder / "funnel.json", run.counts["funnel"])
        db.close()
    record = runs.read(out)
    assert record is not None
    return record


def first_codes(mimic_root: Path, notes_root: Path) -> list[Code]:
    """The distinct first diagnoses of a copy's ICD-10 stays, in order: what there is to know something about."""
    copy = mimic.find(mimic_root, notes_root)
    with mimic.reading(copy.tables), _database(copy) as db:
        rows = db.execute("select distinct icd_code from stays where icd_version = 10 order by icd_code").fetchall()
    return [code for (text,) in rows if (code := Code.find(text))]


def _database(copy: mimic.Copy, spill: Path | None = None) -> "duckdb.DuckDBPyConnection":
    """An in-memory database with a view of each CSV and the table `stays`; past its memory it spills into a folder."""
    import duckdb

    db = duckdb.connect(config={"memory_limit": MEMORY})
    db.execute("set enable_progress_bar = false")  # it goes to stdout
    if spill:
        db.execute(f"set temp_directory = {mimic.quoted(str(spill))}")
    for table in copy.tables.values():
        kind = "temp table" if table.name == "diagnoses_icd" else "view"
        db.execute(f"create {kind} {table.name} as from {table.scan}")
    mimic.check_codes_are_text(db, copy.tables["diagnoses_icd"])
    db.execute(STAYS)
    return db


def _titles(db: "duckdb.DuckDBPyConnection", copy: mimic.Copy, run: runs.Run) -> dict[str, str]:
    """ICD-10 code → title: the copy's dictionary, which names every code it uses, else the release tables."""
    if "d_icd_diagnoses" in copy.tables:
        rows = db.execute("select trim(icd_code), long_title from d_icd_diagnoses where icd_version = 10").fetchall()
        return dict(rows)
    run.notes.append("The copy has no d_icd_diagnoses: titles come from the ICD-10-CM release tables, FY2025.")
    return dict(release().titles)


def _write_rows(
    db: "duckdb.DuckDBPyConnection", path: Path, titles: dict[str, str], origin: store.Origin
) -> Counter[str]:
    """Read every note once and write the rows that have admission sections; how many fell out, by reason."""
    import pyarrow as pa

    counts: Counter[str] = Counter()
    with store.parquet_writer(path, COHORT, origin) as writer, progress("notes read") as advance:
        for batch in _batches(db.sql(NOTES), BATCH):
            rows = list(_rows(batch.to_pylist(), titles, counts))
            writer.write_table(pa.Table.from_pylist(rows, writer.schema))
            advance(batch.num_rows)
    return counts


def _batches(result: "duckdb.DuckDBPyRelation", rows: int) -> "Iterator[pa.RecordBatch]":
    """A result as it is made, so many rows at a time; never all of it in memory."""
    yield from cast("pa.RecordBatchReader", result.to_arrow_reader(rows))


def _rows(notes: list[dict[str, Any]], titles: dict[str, str], counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """The cohort rows among joined notes; counts every note under 'notes' and under 'kept' or its reason."""
    for note in notes:
        code = None if note["reason"] else Code.find(note["icd_code"])
        parts = admission_sections(note["text"] or "") if code else {}
        counts["notes"] += 1
        if code is None:
            counts[note["reason"] or "no ICD-10-CM code"] += 1
        elif not any(name in parts for name in REQUIRED):
            counts["no admission section"] += 1
        else:
            counts["kept"] += 1
            yield {
                "note_id": note["note_id"],
                "subject_id": note["subject_id"],
                "hadm_id": note["hadm_id"],
                "admission_note": as_text(parts),
                "icd_code": code.value,
                "icd_title": titles.get(code.value) or code.title or "",
                "category": code.category,
                "chapter": code.chapter.number,
                "seq_num": note["seq_num"],
            }


def _write_splits(
    db: "duckdb.DuckDBPyConnection", whole: Path, folder: Path, seed: int, origin: store.Origin
) -> dict[str, Any]:
    """Divide the rows into one file a split, ordered by note_id; how many rows by split and by chapter, and codes."""
    import pyarrow as pa

    db.execute(FIRST_NOTES.format(whole=mimic.quoted(str(whole))))
    rows = db.execute("select note_id, icd_code, chapter from cohort").fetchall()
    split_of = splits.stratified(((note_id, code) for note_id, code, _ in rows), seed)
    db.register("assigned", pa.table({"note_id": list(split_of), "split": list(split_of.values())}))
    for split in SPLITS:
        ordered = db.sql(
            "select cohort.* from cohort join assigned using (note_id) where split = ? order by note_id", params=[split]
        )
        with store.parquet_writer(folder / f"{split}.parquet", COHORT, origin) as writer:
            for batch in _batches(ordered, store.ROW_GROUP):
                writer.write_table(pa.Table.from_batches([batch]).cast(writer.schema))
    by_split, by_chapter = Counter(split_of.values()), Counter(chapter for _, _, chapter in rows)
    return {
        "rows": {split: by_split[split] for split in SPLITS},
        "codes": len({code for _, code, _ in rows}),
        "chapters": {str(chapter): by_chapter[chapter] for chapter in sorted(by_chapter)},
    }


def _funnel(counts: Mapping[str, int], codes: int) -> dict[str, Any]:
    """The steps from notes to cohort: rows left after each, rows lost and why. The paper's figures stand beside."""
    steps = [
        ("discharge notes", []),
        ("with an admission", ["no admission"]),
        ("of an ICD-10 stay", ["no diagnosis", "two ICD versions", "not ICD-10"]),
        ("with a first ICD-10-CM diagnosis", ["no ICD-10-CM code"]),
        ("with admission sections", ["no admission section", "second note of a stay"]),
    ]
    left, rows = counts["notes"], []
    for step, reasons in steps:
        lost = {reason: counts[reason] for reason in reasons if counts.get(reason)}
        left -= sum(lost.values())
        rows.append({"step": step, "rows": left, "lost": lost})
    return {"steps": rows, "rows": left, "codes": codes, "paper": PAPER}


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common() if reason not in ("notes", "kept"))
