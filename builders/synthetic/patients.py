"""Draw patients with their stays and notes: the rows of every table, in independent batches.

A stay is drawn first: its disease, then a sex and an age that fit it. Stays are then sorted by sex and age and cut into
patients, so that every stay fits its patient. Batches do not depend on one another, so a copy of any size needs the
same memory.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import compress

import numpy as np
from numpy.random import Generator

from builders.synthetic.admissions import (
    DUPLICATED,
    FIRST_SUBJECT,
    IDS,
    WITHOUT_STAY,
    PatientRecords,
    build_icu_stays,
    build_patient_without_stay,
    build_records,
    duplicate_admission,
    make_stay_id,
)
from builders.synthetic.clinical_case import Stay, find_title
from builders.synthetic.diagnosis_sampling import (
    DrawnStay,
    FirstDiagnosisSampler,
    OtherDiagnosisSampler,
    number_diagnoses,
)
from builders.synthetic.discharge_note import BatchTables, GoldRow, Style, build_gold_table, write_discharge_note
from builders.synthetic.generator_knowledge import Condition, Diagnosis
from builders.synthetic.mimic_csv import Row, format_csv
from builders.synthetic.note_filler import USUAL_LENGTH
from builders.synthetic.unlisted_codes import build_unlisted_condition
from deepicd.icd10cm import find_chapter

BATCH = 2048  # stays; with their notes some 8 MB
HAS_NOTE = 0.61
"""Share of stays with a discharge note (Note 2.2 relative to 3.1)."""
ICD9_SHARE = 0.45
"""Default share of ICD-9 stays. It is 0.63 of MIMIC's stays with a note; fewer here, so that a small copy has enough
ICD-10 stays."""
STAYS_PER_PATIENT = 1.9
MOST_STAYS = 25
"""Per patient; MIMIC has more, in a tail too thin for a small copy."""
ORPHAN = 0.0005
"""Share of patients without a stay who nevertheless have a note whose admission is in no table (61 notes of Note 2.2
relative to hosp 3.1). The first batch always has one."""
MOST_ORPHANS = 64  # hadm_ids reserved for them per batch
NOTES_BETWEEN = 6
"""Largest step of note_seq between two discharge notes."""
PATIENT_TABLES = ("hosp/patients", "hosp/admissions", "hosp/diagnoses_icd", "icu/icustays", "note/discharge")


@dataclass(frozen=True, slots=True)
class Person:
    """A patient's rows of every table, and the stays that get a note."""

    patient: Row
    admissions: list[Row]
    diagnoses: list[Row]
    icu_stays: list[Row]
    notes: list[tuple[int, Stay]]
    """(note_seq, stay), in order of time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A share of a copy's admissions, starting at number `start`."""

    start: int
    size: int
    admissions: int
    """Of the whole copy."""
    seed: int
    icd9_share: float
    length: int
    """Mean characters per note."""
    style: Style = "mimic"


def plan_batches(
    admissions: int,
    seed: int,
    icd9_share: float = ICD9_SHARE,
    length: int = USUAL_LENGTH,
    style: Style = "mimic",
) -> list[Batch]:
    starts = range(0, admissions, BATCH)
    return [
        Batch(start, min(BATCH, admissions - start), admissions, seed, icd9_share, length, style) for start in starts
    ]


def make_patient_tables(batch: Batch) -> BatchTables:
    rows: dict[str, list[Row]] = {name: [] for name in PATIENT_TABLES}
    gold, counts, chapters = list[GoldRow](), Counter[str](), Counter[int]()
    for person in draw_people(batch):
        rows["hosp/patients"].append(person.patient)
        rows["hosp/admissions"] += person.admissions
        rows["hosp/diagnoses_icd"] += person.diagnoses
        rows["icu/icustays"] += person.icu_stays
        for seq, stay in person.notes:
            row, gold_rows = write_discharge_note(stay, {}, seq, batch.seed, batch.length, batch.style)
            rows["note/discharge"].append(row)
            gold += gold_rows
            counts[f"notes_icd{stay.first.version}"] += 1
            if stay.first.version == 10:
                chapters[find_chapter(stay.first.code[:3]).number] += 1
        admissions = len({row[1] for row in person.admissions})
        counts["patients"] += 1
        counts["admissions"] += admissions
        counts["admissions_entered_twice"] += len(person.admissions) - admissions
        counts["diagnoses"] += len(person.diagnoses)
        counts["icu_stays"] += len(person.icu_stays)
        counts["notes"] += len(person.notes)
        counts["notes_without_admission"] += 0 if person.admissions else len(person.notes)
    tables = {name: format_csv(table_rows) for name, table_rows in rows.items()}
    return BatchTables(tables, build_gold_table(gold), counts, chapters)


def draw_people(batch: Batch) -> Iterator[Person]:
    """Draw the patients of a batch, with and without admissions, in random order."""
    first, others = _load_samplers()
    start, seed = batch.start, batch.seed
    rng, plain = np.random.default_rng([seed, start]), random.Random(f"{seed}/{start}")
    patients = group_into_patients(rng, draw_stays(rng, first, batch.size, batch.icd9_share))
    without = round(len(patients) * WITHOUT_STAY / (1 - WITHOUT_STAY))
    orphans = min(int(rng.binomial(without, ORPHAN)), MOST_ORPHANS) if start else 1
    # (stays of one patient, whether they are in the tables)
    groups: list[tuple[list[DrawnStay], bool]] = [
        *((patient, True) for patient in patients),
        *(([stay], False) for stay in draw_stays(rng, first, orphans, batch.icd9_share)),
        *(([], False) for _ in range(without - orphans)),
    ]
    number = start
    orphan_number = IDS - start // BATCH * MOST_ORPHANS  # counts down from the end, which no admission reaches
    places = rng.permutation(len(groups))
    for place, subject_id in zip(places, _draw_subject_ids(rng, batch, len(groups)), strict=True):
        drawn, is_in_tables = groups[place]
        if not drawn:
            yield Person(build_patient_without_stay(plain, subject_id), [], [], [], [])
            continue
        if is_in_tables:
            hadm_ids = [make_stay_id(number + nth, seed) for nth in range(len(drawn))]
            number += len(drawn)
        else:
            orphan_number -= 1
            hadm_ids = [make_stay_id(orphan_number, seed)]
        records = build_records(plain, subject_id, hadm_ids, drawn, list(others.draw(rng, drawn)))
        seqs = (np.cumsum(rng.integers(1, NOTES_BETWEEN + 1, len(drawn))) + 1).tolist()
        if is_in_tables:
            has_note = [stay.has_note for stay in drawn]
            notes = list(compress(zip(seqs, records.stays, strict=True), has_note))
            icu_stays = [row for stay in records.stays for row in build_icu_stays(seed, stay)]
            yield _order_rows(rng, plain, records, icu_stays, notes)
        else:
            yield Person(records.patient, [], [], [], [(seqs[0], records.stays[0])])


def _order_rows(
    rng: np.random.Generator,
    plain: random.Random,
    records: PatientRecords,
    icu_stays: list[Row],
    notes: list[tuple[int, Stay]],
) -> Person:
    """Order a patient's rows as the tables do, by hadm_id."""
    by_id = sorted(zip(records.stays, records.admissions, strict=True), key=lambda pair: pair[0].hadm_id)
    return Person(
        records.patient,
        [
            entry
            for _, row in by_id
            for entry in ((row, duplicate_admission(plain, row)) if plain.random() < DUPLICATED else (row,))
        ],
        [
            (stay.subject_id, stay.hadm_id, seq_num, *diagnosis)
            for stay, _ in by_id
            for seq_num, diagnosis in number_diagnoses(rng, stay.diagnoses)
        ],
        sorted(icu_stays, key=lambda row: row[1:3]),
        notes,
    )


@cache
def _load_samplers() -> tuple[FirstDiagnosisSampler, OtherDiagnosisSampler]:
    """Return the samplers, which are the same for every copy and take half a second to set up."""
    return FirstDiagnosisSampler(), OtherDiagnosisSampler()


def _draw_subject_ids(rng: np.random.Generator, batch: Batch, n: int) -> list[int]:
    """Draw n ascending ids from this batch's share of all ids, so that batches never overlap."""
    low, high = IDS * batch.start // batch.admissions, IDS * (batch.start + batch.size) // batch.admissions
    return [FIRST_SUBJECT + low + int(place) for place in np.sort(rng.choice(high - low, n, replace=False))]


def draw_stays(rng: Generator, first: FirstDiagnosisSampler, n: int, icd9_share: float) -> list[DrawnStay]:
    """Draw n stays with disease, sex and age, in random order."""
    with_note, is_icd9 = rng.random(n) < HAS_NOTE, rng.random(n) < icd9_share
    diagnoses: list[tuple[Diagnosis, Condition | None]] = [(Diagnosis("", 0), None)] * n
    for has_note in (False, True):
        for version in (9, 10):
            rows = np.flatnonzero((with_note == has_note) & (is_icd9 == (version == 9)))
            for row, drawn in zip(rows, first.draw(rng, version, len(rows)), strict=True):
                diagnoses[row] = drawn
    is_woman, place = rng.random(n) < 0.52, rng.beta(2, 2, n)
    stays = []
    for row, (diagnosis, condition) in enumerate(diagnoses):
        described = condition or build_unlisted_condition(diagnosis, find_title(diagnosis, {}))
        low, high = described.ages
        stays.append(
            DrawnStay(
                diagnosis,
                condition,
                described.sex or ("F" if is_woman[row] else "M"),
                low + int(place[row] * (high - low + 1)),
                described.is_planned,
                bool(with_note[row]),
            )
        )
    return stays


def group_into_patients(rng: Generator, stays: list[DrawnStay]) -> list[list[DrawnStay]]:
    """Group stays of the same sex and similar age into patients, ICD-9 stays first; patients come in random order."""
    stays = sorted(stays, key=lambda stay: (stay.sex, stay.age))
    sizes = rng.geometric(1 / STAYS_PER_PATIENT, len(stays)).clip(max=MOST_STAYS)
    patients: list[list[DrawnStay]] = []
    start = 0
    for size in sizes:
        if start >= len(stays):
            break
        stay = stays[start]
        end = start + (1 if stay.age == 0 else int(size))
        same = [other for other in stays[start:end] if other.sex == stay.sex]
        patients.append(sorted(same, key=lambda other: (other.first.version, other.age)))
        start += len(same)
    return [patients[place] for place in rng.permutation(len(patients))]
