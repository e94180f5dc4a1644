"""The cohort: one admission note and its first diagnosis for each ICD-10 stay that has both.

One row: hadm_id=20000019 icd_code='I214' category='I21' chapter=9 admission_note='Sex:\\nF\\n\\nChief Complaint:\\n…'
Source: note.discharge and builders.cohort.stays (MIMIC-IV 2.0 to 3.1, Note 2.2).
Beside the splits: excluded.parquet (every other note and why), headers.parquet (headers that the template does not
know), splits.csv (note_id, split: to share), funnel.json, and outcome/ (sealed, see builders.cohort.outcome).
Run: deepicd build --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 out/cohort

Worker processes exchange batches of notes over pipes; DuckDB holds the extracted notes and spills to disk. Shared
memory and a file of texts instead saved less than 15 % of the time (benchmarks/build.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from builders.cohort import splits
from builders.cohort.analysis import CODES_OF_STAYS, read_analysis
from builders.cohort.batch import ROWS
from builders.cohort.batch_dispatch import extract_notes
from builders.cohort.criteria import DEFAULT, Criteria, load_token_counter
from builders.cohort.funnel import ICU_STAY, NO_SPLIT, SECOND_NOTE, build_funnel, count_headers
from builders.cohort.outcome import write_outcomes
from builders.cohort.parallel import MapInOrder, choose_processes, open_workers
from builders.cohort.splits import read_split_file
from builders.cohort.stays import read_stays
from builders.cohort.unknown_headers import UnknownHeader
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.mimic import local_copy
from deepicd.mimic.databases import quote_sql
from deepicd.schema import COHORT_FILE, EXCLUDED, HEADERS, SPLITS
from deepicd.stage_records import BuildCounts, BuildRecord, SplitCounts
from deepicd.storage import Origin

if TYPE_CHECKING:
    import duckdb

# If a stay has several notes, the first is kept. In Note 2.2 each stay has one.
RANKED = """
create table ranked as
select
    e.rowid as row,
    e.* exclude (admission_note, sections),
    a.* exclude (subject_id, hadm_id),
    row_number() over (partition by hadm_id order by length(note_id), note_id) as nth
from extracted e
left join analysis a using (subject_id, hadm_id)
"""
# The notes of the cohort, before those without a split.
KEPT = "create table kept as from ranked where nth = 1 and not ({without_icu} and coalesce(icu, false))"
EXCLUDED_NOTES = f"""
create table excluded as
select * from dropped
union all
select
    note_id, subject_id, hadm_id,
    case
        when nth > 1 then {quote_sql(SECOND_NOTE)}
        when note_id not in (select note_id from kept) then {quote_sql(ICU_STAY)}
        else {quote_sql(NO_SPLIT)}
    end
from ranked
where nth > 1 or note_id not in (select note_id from assigned)
"""
BY_ICU = "select count(*), count(*) filter (not icu) from ranked where nth = 1 having bool_or(icu is not null)"

# Flags mark what a reader may want to leave out or look at: the first code is the one billed first, not always the
# reason for the admission.
COHORT_ROWS = """
create table cohort as
select
    r.row, r.note_id, r.subject_id, r.hadm_id, r.icd_code,
    coalesce(t.title, '') as icd_title, r.category, r.chapter, r.seq_num,
    list_filter([
        case when regexp_matches(r.second_code, '^(A40|A41|R652|T8144|O85)')
              and not regexp_matches(r.icd_code, '^(A40|A41|R652|T8144|O85)') then 'sepsis second' end,
        case when r.chapter = 18 then 'symptom first' end,
        case when r.chapter = 21 then 'Z code first' end,
        t.flag,
        case when regexp_matches(r.category, '[A-Z]$') then 'letter-third category' end,
        case when r.seq_num > 1 then 'seq_num above 1' end,
        case when count(*) over (partition by r.subject_id) > 1 then 'patient has several stays' end
    ], lambda flag: flag is not null) as flags,
    r.sex, r.age_band, r.race, r.admission_type, c.icd_codes, r.icu,
    a.split
from kept r
join assigned a using (note_id)
left join codes_of_stays c using (subject_id, hadm_id)
left join titles t using (icd_code)
"""

SPLIT_ROWS = """
select c.*, e.admission_note
from cohort c
join extracted e on e.rowid = c.row
where c.split = {split}
order by c.note_id
"""
ROWS_PER_INSERT = 4096  # 25 MB of notes; an insert per batch costs DuckDB 5 % of a build
EXCLUDED_ROWS = "select * from excluded order by note_id"
SHARED = "select note_id, split from cohort order by note_id"
STAYS_KEPT = "select note_id, subject_id, icd_code, hadm_id from kept"
CHAPTERS = "select chapter, count(*) from cohort group by chapter order by chapter"
CODES = "select count(distinct icd_code) from cohort"
FLAGS = """
select flag, count(*), count(distinct subject_id)
from (select unnest(flags) as flag, subject_id from cohort)
group by flag
order by flag
"""
LOSSES = "select reason, count(*), count(distinct subject_id) from excluded group by reason order by reason"


def build(
    mimic_root: Path,
    notes_root: Path,
    out: Path,
    criteria: Criteria = DEFAULT,
    *,
    split_file: Path | None = None,
    overwrite: bool = False,
) -> BuildRecord:
    """Write OUT/{train,validation,test}.parquet and the files beside them; return the record. Raises DeepicdError.

    `split_file` assigns notes, stays or patients to splits, in place of the criteria's rule.
    """
    given = read_split_file(split_file) if split_file else None
    if given:
        criteria = criteria.replace(split="file", split_digest=given.digest)
    copy = local_copy.find_copy(mimic_root, notes_root)
    if criteria.tokenizer:
        load_token_counter(criteria.tokenizer)  # fail now rather than after the scan
    plan = records.plan_run(BuildRecord, options=asdict(criteria), inputs=copy.files)
    if done := records.find_finished(out, plan):
        return done
    with (
        records.open_fresh_folder(out, plan, copy.origin, overwrite=overwrite) as run,
        open_workers(choose_processes(copy.files["discharge"])) as map_in_order,
        local_copy.open_copy(copy, run.folder / ".spill") as db,
    ):
        read_stays(db, copy)
        run.notes += read_analysis(db, copy.tables, needs_icu=criteria.without_icu)
        headers = _extract(db, copy, criteria, map_in_order)
        db.execute(KEPT.format(without_icu=criteria.without_icu))
        stays = [splits.Stay(*row) for row in db.execute(STAYS_KEPT).fetchall()]
        split_of = given.assign(stays) if given else splits.RULES[criteria.split](stays, criteria.seed)
        rows, split = _assign_splits(db, stays, split_of)
        if given:
            run.notes.append(given.describe_coverage(stays))
        db.execute(EXCLUDED_NOTES)
        losses = db.execute(LOSSES).fetchall()
        lost = Counter({reason: notes for reason, notes, _ in losses})
        if not (kept := sum(rows.values())):
            raise _nothing_left_error(lost)
        if "d_icd_diagnoses" not in copy.tables:
            run.notes.append("The copy has no d_icd_diagnoses: titles come from the ICD-10-CM release tables, FY2025.")
        db.execute(CODES_OF_STAYS)
        db.execute(COHORT_ROWS)
        _write_files(db, run.folder, copy.origin)
        run.notes += write_outcomes(db, copy.tables["admissions"].header, run.folder, SPLITS, copy.origin)
        _write_headers(run.folder / "headers.parquet", headers, copy.origin)
        [(codes,)] = db.execute(CODES).fetchall()
        flags = db.execute(FLAGS).fetchall()
        icu = [dict(zip(("with", "without"), row, strict=True)) for row in db.execute(BY_ICU).fetchall()]
        run.counts = BuildCounts(
            rows=rows,
            codes=codes,
            chapters={str(chapter): number for chapter, number in db.execute(CHAPTERS).fetchall()},
            split=split,
            funnel=build_funnel(kept + lost.total(), lost, codes, *icu),
            flags={flag: stays for flag, stays, _ in flags},
            lost_patients={reason: patients for reason, _, patients in losses},
            flag_patients={flag: patients for flag, _, patients in flags},
            unknown_headers=count_headers(headers),
        )
        storage.write_json(run.folder / "funnel.json", run.counts.funnel.dump())
    return run.record


def _extract(
    db: "duckdb.DuckDBPyConnection", copy: local_copy.Copy, criteria: Criteria, map_in_order: MapInOrder
) -> Counter[UnknownHeader]:
    """Read every note once, into the tables `extracted` and `ranked`, the same without texts.

    Returns the headers that the template does not know, with how often each was seen.
    """
    dropped, headers = list[pa.RecordBatch](), Counter[UnknownHeader]()
    db.register("arriving", ROWS.empty_table())
    db.execute("create table extracted as from arriving")
    waiting = list[pa.RecordBatch]()

    def insert() -> None:
        db.register("arriving", pa.Table.from_batches(waiting, ROWS))
        db.execute("insert into extracted from arriving")
        waiting.clear()

    for part in extract_notes(db, copy, criteria, map_in_order):
        dropped.append(part.excluded)
        headers.update(part.headers)
        waiting.append(part.rows)
        if sum(batch.num_rows for batch in waiting) >= ROWS_PER_INSERT:
            insert()
    insert()
    db.register("dropped", pa.Table.from_batches(dropped, EXCLUDED))
    db.execute(RANKED)
    return headers


def _assign_splits(
    db: "duckdb.DuckDBPyConnection", stays: Sequence[splits.Stay], split_of: Mapping[str, str]
) -> tuple[dict[str, int], SplitCounts]:
    """Create the table `assigned` (note → split). Return rows by split, and the split statistics."""
    assigned = {"note_id": list(split_of), "split": list(split_of.values())}
    db.register("assigned", pa.table(assigned, schema=pa.schema([("note_id", pa.string()), ("split", pa.string())])))
    summary = splits.summarize_splits([stay for stay in stays if stay.note_id in split_of], split_of)
    counts = SplitCounts(
        codes=summary["codes"],
        patients=summary["patients"],
        patients_on_several_sides=summary["patients_on_several_sides"],
        moved=summary["moved"],
    )
    return {split: summary["rows"][split] for split in SPLITS}, counts


def _write_files(db: "duckdb.DuckDBPyConnection", folder: Path, origin: Origin) -> None:
    """Write the splits, excluded.parquet and splits.csv, each ordered by note_id."""
    files = [(f"{split}.parquet", COHORT_FILE, SPLIT_ROWS.format(split=quote_sql(split))) for split in SPLITS]
    files.append(("excluded.parquet", EXCLUDED, EXCLUDED_ROWS))
    for name, schema, query in files:
        with storage.open_parquet_writer(folder / name, schema, origin) as writer:
            for batch in db.sql(query).to_arrow_reader(storage.ROW_GROUP):
                writer.write_table(pa.Table.from_batches([batch]).select(schema.names).cast(writer.schema))
    with storage.atomic_write(folder / "splits.csv") as tmp:
        db.execute(f"copy ({SHARED}) to {quote_sql(str(tmp))} (format csv, header)")


def _write_headers(path: Path, headers: Counter[UnknownHeader], origin: Origin) -> None:
    rows = [
        {"header": header, "place": place, "times_seen": times, "outcome": "kept" if is_kept else "cut"}
        for (header, place, is_kept), times in sorted(headers.items(), key=lambda item: (-item[1], item[0]))
    ]
    with storage.open_parquet_writer(path, HEADERS, origin) as writer:
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))


def _nothing_left_error(lost: Counter[str]) -> DeepicdError:
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in lost.most_common())
    return DeepicdError(
        f"None of {lost.total():,} notes is left: {reasons}." if lost else "The copy holds no note.",
        "Check that --mimic and --notes belong together; ICD-10 stays with admission sections are kept.",
    )
