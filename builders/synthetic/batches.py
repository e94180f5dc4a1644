"""What one process makes at a time: the rows of a batch of people, or the notes of some stays, packed for the files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from builders.synthetic.clinical_case import case_of
from builders.synthetic.discharge_note import note_parts, written
from builders.synthetic.extraction_gold import GoldRow, as_table, gold_rows
from builders.synthetic.mimic_csv import Chunk, Packer
from builders.synthetic.note_oddities import with_oddities
from builders.synthetic.patients import Batch, people
from builders.synthetic.stay import Diagnosis, Stay
from deepicd.icd10cm import find_chapter

STORETIME_EMPTY = 0.02
PEOPLES_TABLES = ("hosp/patients", "hosp/admissions", "hosp/diagnoses_icd", "note/discharge")

Row = tuple[object, ...]
Titles = Mapping[Diagnosis, str]


@dataclass(frozen=True, slots=True)
class Made:
    """A piece of every table."""

    chunks: Mapping[str, Chunk]
    gold: pa.Table
    counts: Mapping[str, int]
    chapters: Mapping[int, int] = field(default_factory=dict)
    """ICD-10 notes by the chapter of their first diagnosis."""


@dataclass(frozen=True, slots=True)
class NotesWanted:
    """Notes to be written for the stays of a copy that exists."""

    stays: Sequence[tuple[int, Stay]]
    """(note_seq, stay)"""
    titles: Titles
    """The copy's own, of their first diagnoses."""
    seed: int
    length: int


@dataclass(frozen=True, slots=True)
class PeopleWanted:
    batch: Batch
    length: int


def make_people(wanted: PeopleWanted) -> Made:
    packers = {name: Packer() for name in PEOPLES_TABLES}
    gold, counts, chapters = list[GoldRow](), Counter[str](), Counter[int]()
    for person in people(wanted.batch):
        packers["hosp/patients"].row(person.patient)
        packers["hosp/admissions"].rows(person.admissions)
        packers["hosp/diagnoses_icd"].rows(person.diagnoses)
        for seq, stay in person.notes:
            row, parts = discharge_note(stay, {}, seq, wanted.batch.seed, wanted.length)
            packers["note/discharge"].row(row)
            gold += parts
            counts[f"notes_icd{stay.first.version}"] += 1
            if stay.first.version == 10:
                chapters[find_chapter(stay.first.code[:3]).number] += 1
        admissions = len({row[1] for row in person.admissions})
        counts["patients"] += 1
        counts["admissions"] += admissions
        counts["admissions_entered_twice"] += len(person.admissions) - admissions
        counts["diagnoses"] += len(person.diagnoses)
        counts["notes"] += len(person.notes)
        counts["notes_without_admission"] += 0 if person.admissions else len(person.notes)
    return Made({name: packer.chunk() for name, packer in packers.items()}, as_table(gold), counts, chapters)


def make_notes(wanted: NotesWanted) -> Made:
    packer, gold, counts = Packer(), list[GoldRow](), Counter[str]()
    for seq, stay in wanted.stays:
        row, parts = discharge_note(stay, wanted.titles, seq, wanted.seed, wanted.length)
        packer.row(row)
        gold += parts
        counts["notes"] += 1
        counts[f"notes_icd{stay.first.version}"] += 1
    return Made({"note/discharge": packer.chunk()}, as_table(gold), counts)


def discharge_note(stay: Stay, titles: Titles, seq: int, seed: int, length: int) -> tuple[Row, list[GoldRow]]:
    """A row of discharge, charted at midnight of the day of discharge and stored some days later, and its gold rows."""
    case = case_of(stay, titles, seed)
    parts = with_oddities(case, note_parts(case, length))
    text = written(parts, case.rng)
    day = stay.discharged[:10]
    stored = datetime.fromisoformat(day) + timedelta(days=case.rng.randint(0, 9), minutes=case.rng.randrange(1440))
    note_id = f"{stay.subject_id}-DS-{seq}"
    storetime = "" if case.chance(STORETIME_EMPTY) else str(stored)
    row = (note_id, stay.subject_id, stay.hadm_id, "DS", seq, f"{day} 00:00:00", storetime, text)
    return row, gold_rows(note_id, parts)
