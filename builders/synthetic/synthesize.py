"""Make up a whole copy of MIMIC, or notes for the stays of an existing hosp copy: `deepicd synthesize`.

    OUT/hosp/{patients,admissions,diagnoses_icd,d_icd_diagnoses}.csv.gz
    OUT/icu/icustays.csv.gz       OUT/note/discharge.csv.gz
    OUT/gold.parquet              each note, part by part (see discharge_note.py)
    OUT/SYNTHETIC.json, OUT/run.json

Copies are generated batch by batch in one process per core, so memory does not grow with their size. The same seed
gives the same bytes for any number of processes.
Run: deepicd synthesize out/mimic --admissions 1000 --seed 42
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypedDict, Unpack

from builders.cohort.parallel import count_cores, open_workers
from builders.synthetic.admissions import MOST_ADMISSIONS
from builders.synthetic.clinical_case import Stay
from builders.synthetic.discharge_note import GOLD, GOLD_FILE, BatchTables, NoteBatch, Style, make_note_table
from builders.synthetic.foreign_style import FOREIGN
from builders.synthetic.generator_knowledge import KNOWLEDGE, load_knowledge
from builders.synthetic.mimic_csv import COLUMNS, HospCopy, format_csv, get_table_path, open_table
from builders.synthetic.note_filler import LONGEST, USUAL_LENGTH
from builders.synthetic.patients import ICD9_SHARE, PATIENT_TABLES, make_patient_tables, plan_batches
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import load_release
from deepicd.log import Advance, track_progress
from deepicd.mimic import local_copy
from deepicd.stage_records import SynthesizeCounts, SynthesizeRecord
from deepicd.synthetic_proof import is_synthetic, write_mark

logger = logging.getLogger(__name__)

GENERATOR = "3"
"""Increase it with every change that makes different rows from the same seed."""

STAYS_AT_ONCE = 512
"""Stays of an existing copy whose notes one process writes at a time."""
ALONE = 8
"""Up to this many batches one process is faster than several, each of which has to read the release first."""


class RunOptions(TypedDict, total=False):
    """What does not change the output."""

    processes: int | None
    overwrite: bool


def synthesize(
    out: Path,
    admissions: int = 1000,
    seed: int = 42,
    *,
    length: int = USUAL_LENGTH,
    icd9_share: float = ICD9_SHARE,
    style: Style = "mimic",
    **run_options: Unpack[RunOptions],
) -> SynthesizeRecord:
    """Generate a whole copy and return its record. Does nothing if `out` already holds the same copy.

    Notes have `length` characters on average (10,500 in MIMIC-IV-Note); `icd9_share` of the stays have ICD-9 codes.
    `style` decides whose template and wordings the notes have; tables and codes are the same for each.
    `processes` (default: one per core) does not change the output.
    """
    processes, overwrite = run_options.get("processes"), run_options.get("overwrite", False)
    _check_options(length, processes)
    if not 1 <= admissions <= MOST_ADMISSIONS:
        raise DeepicdError(
            f"{admissions:,} admissions cannot be made up.", f"Ask for 1 to {MOST_ADMISSIONS:,}: --admissions 1000"
        )
    if seed < 0:
        raise DeepicdError(f"The seed {seed} is negative.", "Give a whole number from 0: --seed 42")
    options = {"admissions": admissions, "seed": seed, "length": length, "icd9_share": icd9_share}
    plan = _plan_run(options, style, {})
    if done := records.find_finished(out, plan):
        logger.debug("%s already holds this copy.", out)
        return done
    batches = plan_batches(admissions, seed, icd9_share, length, style)
    with records.open_fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        with open_table(run.folder, "hosp/d_icd_diagnoses") as dictionary:
            dictionary.write(format_csv(_list_codes()))
        if processes is None:
            processes = count_cores() if len(batches) > ALONE else 1
        with (
            open_workers(processes) as in_order,
            track_progress("admissions made up", admissions) as advance,
        ):
            tables = in_order(make_patient_tables, batches)
            run.counts = _write_tables(run, PATIENT_TABLES, tables, advance, "admissions")
        files = [*(get_table_path(run.folder, name) for name in COLUMNS), run.folder / GOLD_FILE]
        write_mark(run.folder, files, generator=GENERATOR, seed=seed)
        run.notes.append("Every record is made up; SYNTHETIC.json proves it file by file.")
    return run.record


def synthesize_notes(
    out: Path,
    hosp: Path,
    seed: int = 42,
    *,
    length: int = USUAL_LENGTH,
    style: Style = "mimic",
    processes: int | None = None,
    overwrite: bool = False,
) -> SynthesizeRecord:
    """Generate a note for each stay with a diagnosis in an existing copy; `hosp` is its root or its hosp/ folder.

    The notes count as made up only if the copy is proven to be. Options and result are those of `synthesize`.
    """
    _check_options(length, processes)
    copy = HospCopy.find(hosp)
    local_copy.check_codes(copy.tables["diagnoses_icd"])
    is_made_up = is_synthetic(copy.root, copy.files.values())
    plan = _plan_run({"hosp": True, "seed": seed, "length": length}, style, copy.files)
    if done := records.find_finished(out, plan):
        logger.debug("%s already holds these notes.", out)
        return done
    with records.open_fresh_folder(out, plan, "synthetic" if is_made_up else "mimic", overwrite=overwrite) as run:
        titles, stays = copy.read_titles(), copy.count_stays()
        if processes is None:
            processes = count_cores() if stays > ALONE * STAYS_AT_ONCE else 1
        with (
            open_workers(processes) as in_order,
            track_progress("notes written", stays) as advance,
        ):
            batches = (
                NoteBatch(
                    stays=batch,
                    titles={stay.first: titles[stay.first] for _, stay in batch if stay.first in titles},  # not all
                    seed=seed,
                    length=length,
                    style=style,
                )
                for batch in _batch_stays(copy.read_stays())
            )
            tables = in_order(make_note_table, batches)
            run.counts = _write_tables(run, ("note/discharge",), tables, advance, "notes")
        if not titles:
            run.notes.append(
                "The copy has no d_icd_diagnoses: titles come from the release, and for ICD-9 from this project."
            )
        if is_made_up:
            files = [get_table_path(run.folder, "note/discharge"), run.folder / GOLD_FILE]
            write_mark(run.folder, files, generator=GENERATOR, seed=seed)
        else:
            run.notes.append(
                "The texts are made up, but ids and codes come from a copy that does not prove itself synthetic: "
                "there is no SYNTHETIC.json, and all output is treated as credentialed."
            )
    return run.record


def _plan_run(options: Mapping[str, object], style: Style, files: Mapping[str, Path]) -> records.Plan[SynthesizeRecord]:
    """Plan a run; the style counts only where it is not the default, so that copies made without it stay valid."""
    foreign = style != "mimic"
    return records.plan_run(
        SynthesizeRecord,
        options={**options, **({"style": style} if foreign else {}), "generator": GENERATOR},
        inputs={"knowledge": KNOWLEDGE, **({"foreign": FOREIGN} if foreign else {}), **files},
    )


def _check_options(length: int, processes: int | None) -> None:
    if not USUAL_LENGTH <= length <= LONGEST // 2:
        raise DeepicdError(
            f"Notes of {length:,} characters on average cannot be made up.",
            f"Ask for {USUAL_LENGTH:,} to {LONGEST // 2:,}: --note-length 10500",
        )
    if processes is not None and processes < 1:
        raise DeepicdError(
            f"--processes {processes} is less than 1.", "Give 1 or more, or leave it out for one per core."
        )


def _list_codes() -> Iterator[tuple[str, int, str]]:
    """Yield the rows of d_icd_diagnoses: the ICD-9 codes used here, then the whole release with its categories."""
    yield from ((code, 9, title) for code, title in sorted(load_knowledge().icd9_titles.items()))
    titles = {**load_release().titles, **load_knowledge().retired_titles}
    yield from ((code, 10, title) for code, title in sorted(titles.items()))


def _batch_stays(stays: Iterable[Stay]) -> Iterator[list[tuple[int, Stay]]]:
    """Yield batches of (note_seq, stay) from stays that are ordered by patient and time."""
    previous, seq = -1, 0
    batch: list[tuple[int, Stay]] = []
    for stay in stays:
        seq = seq + 1 if stay.subject_id == previous else 1
        previous = stay.subject_id
        batch.append((seq, stay))
        if len(batch) == STAYS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_tables(
    run: records.Run[SynthesizeRecord],
    names: Iterable[str],
    batches: Iterable[BatchTables],
    advance: Advance,
    progress_count: str,
) -> SynthesizeCounts:
    """Write every batch to the tables and to gold.parquet; return the counts."""
    counts, chapters = Counter[str](), Counter[int]()
    with ExitStack() as stack:
        files = {name: stack.enter_context(open_table(run.folder, name)) for name in names}
        gold = stack.enter_context(storage.open_parquet_writer(run.folder / GOLD_FILE, GOLD, run.origin))
        for batch in batches:
            for name, lines in batch.tables.items():
                files[name].write(lines)
            gold.write_table(batch.gold.replace_schema_metadata(gold.schema.metadata))
            counts.update(batch.counts)
            chapters.update(batch.chapters)
            advance(batch.counts[progress_count])
    result: dict[str, object] = {**counts}
    if chapters:
        result["icd10_notes_by_chapter"] = {str(chapter): notes for chapter, notes in sorted(chapters.items())}
    return SynthesizeCounts.model_validate(result)
