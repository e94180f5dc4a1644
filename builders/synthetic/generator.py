"""`deepicd synthesize`: a whole copy of made-up records, or notes for the stays of a hosp copy that exists.

    OUT/hosp/{patients,admissions,diagnoses_icd,d_icd_diagnoses}.csv.gz
    OUT/note/discharge.csv.gz
    OUT/SYNTHETIC.json, OUT/run.json

Written stay by stay from batches, so memory does not grow with the copy. One seed, one copy, byte for byte.
Run: deepicd synthesize out/mimic --admissions 1000 --seed 42
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from builders import mimic
from builders.synthetic.case import case_of
from builders.synthetic.conditions import KNOWLEDGE, knowledge
from builders.synthetic.mark import is_synthetic, write_mark
from builders.synthetic.notes import note_parts, written
from builders.synthetic.stay import Diagnosis, Stay
from builders.synthetic.tables import COLUMNS, Writer, table_path, table_writer
from deepicd import runs
from deepicd.errors import DeepicdError
from deepicd.icd10cm import chapter_of, release
from deepicd.progress import progress

COMMAND = "synthesize"
GENERATOR = "1"
"""Goes up with every change that makes other bytes from the same seed."""

STORETIME_EMPTY = 0.02


def synthesize(
    out: Path, admissions: int = 1000, seed: int = 42, hosp: Path | None = None, *, overwrite: bool = False
) -> runs.Record:
    """Make the copy, or do nothing where `out` already holds this very one. Returns its record.

    With `hosp` (a copy's root or its hosp/ folder) only notes are made, one for each stay with a diagnosis, and
    `admissions` has no say. They count as made up only where that copy is proven to be.
    """
    return _whole_copy(out, admissions, seed, overwrite) if hosp is None else _notes_for(hosp, out, seed, overwrite)


def _whole_copy(out: Path, admissions: int, seed: int, overwrite: bool) -> runs.Record:
    from builders.synthetic.records import MOST_ADMISSIONS

    if not 1 <= admissions <= MOST_ADMISSIONS:
        raise DeepicdError(
            f"{admissions:,} admissions cannot be made up.", f"Ask for 1 to {MOST_ADMISSIONS:,}: --admissions 1000"
        )
    if seed < 0:
        raise DeepicdError(f"{seed} is no seed.", "Give a whole number from 0 on: --seed 42")
    plan = runs.plan(
        COMMAND,
        options={"admissions": admissions, "seed": seed, "generator": GENERATOR},
        inputs={"knowledge": KNOWLEDGE},
    )
    if done := runs.finished(out, plan):
        return done
    with runs.fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        with ExitStack() as stack:
            tables = {name: stack.enter_context(table_writer(run.folder, name)) for name in COLUMNS}
            _write_dictionary(tables["hosp/d_icd_diagnoses"])
            run.counts |= _write_people(tables, admissions, seed)
        files = [table_path(run.folder, name) for name in COLUMNS]
        write_mark(run.folder, files, generator=GENERATOR, seed=seed)
        run.notes.append("Every record is made up; SYNTHETIC.json proves it file by file.")
    return _record(out)


def _notes_for(hosp: Path, out: Path, seed: int, overwrite: bool) -> runs.Record:
    from builders.synthetic.hosp_copy import HospCopy

    copy = HospCopy.find(hosp)
    mimic.check_codes(mimic.Table.at(copy.files["diagnoses_icd"], "diagnoses_icd"))
    made_up = is_synthetic(copy.root, copy.files.values())
    plan = runs.plan(
        COMMAND,
        options={"hosp": True, "seed": seed, "generator": GENERATOR},
        inputs={"knowledge": KNOWLEDGE, **copy.files},
    )
    if done := runs.finished(out, plan):
        return done
    with runs.fresh_folder(out, plan, "synthetic" if made_up else "mimic", overwrite=overwrite) as run:
        titles = copy.titles()
        counts: Counter[str] = Counter()
        with (
            table_writer(run.folder, "note/discharge") as table,
            progress("notes written", copy.stays_with_diagnoses()) as advance,
        ):
            before, seq = -1, 0
            for stay in copy.stays():
                seq = seq + 1 if stay.subject_id == before else 1
                before = stay.subject_id
                table.writerow(note_row(stay, titles, seq, seed))
                counts["notes"] += 1
                counts[f"notes_icd{stay.first.version}"] += 1
                advance(1)
        run.counts |= counts
        if not titles:
            run.notes.append("The copy has no d_icd_diagnoses: titles are the release's, and ours for ICD-9.")
        if made_up:
            write_mark(run.folder, [table_path(run.folder, "note/discharge")], generator=GENERATOR, seed=seed)
        else:
            run.notes.append(
                "The texts are made up, but ids and codes are those of a copy that does not prove itself synthetic: "
                "no SYNTHETIC.json, and all of it is treated as credentialed."
            )
    return _record(out)


def _record(out: Path) -> runs.Record:
    record = runs.read(out)
    assert record is not None  # fresh_folder has just written it
    return record


def note_row(stay: Stay, titles: Mapping[Diagnosis, str], seq: int, seed: int) -> tuple[object, ...]:
    """A row of discharge: charted at midnight of the day of discharge, stored some days later."""
    case = case_of(stay, titles, seed)
    text = written(note_parts(case), case.rng)
    day = stay.discharged[:10]
    stored = datetime.fromisoformat(day) + timedelta(days=case.rng.randint(0, 9), minutes=case.rng.randrange(1440))
    return (
        f"{stay.subject_id}-DS-{seq}",
        stay.subject_id,
        stay.hadm_id,
        "DS",
        seq,
        f"{day} 00:00:00",
        "" if case.chance(STORETIME_EMPTY) else str(stored),
        text,
    )


def _write_dictionary(table: Writer) -> None:
    """d_icd_diagnoses: ICD-9 codes used here, then the whole release with its categories, as MIMIC's own holds both."""
    table.writerows((code, 9, title) for code, title in sorted(knowledge().icd9_titles.items()))
    titles = {**release().titles, **knowledge().retired_titles}
    table.writerows((code, 10, title) for code, title in sorted(titles.items()))


def _write_people(tables: Mapping[str, Writer], admissions: int, seed: int) -> dict[str, Any]:
    """Everybody's rows, patient by patient; how many of each were written."""
    from builders.synthetic.people import people

    rows: Counter[str] = Counter()
    chapters: Counter[int] = Counter()
    with progress("admissions made up", admissions) as advance:
        for person in people(admissions, seed):
            tables["hosp/patients"].writerow(person.patient)
            tables["hosp/admissions"].writerows(person.admissions)
            tables["hosp/diagnoses_icd"].writerows(person.diagnoses)
            for seq, stay in person.notes:
                tables["note/discharge"].writerow(note_row(stay, {}, seq, seed))
                rows[f"notes_icd{stay.first.version}"] += 1
                if stay.first.version == 10:
                    chapters[chapter_of(stay.first.code[:3]).number] += 1
            rows["patients"] += 1
            rows["admissions"] += len(person.admissions)
            rows["diagnoses"] += len(person.diagnoses)
            rows["notes"] += len(person.notes)
            rows["notes_without_admission"] += 0 if person.admissions else len(person.notes)
            advance(len(person.admissions))
    return {**dict(sorted(rows.items())), "icd10_notes_by_chapter": dict(sorted(chapters.items()))}
