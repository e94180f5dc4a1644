"""The copy's people in the order of their ids: every table's rows for one patient at a time.

They come in batches that know nothing of one another, so that any process can make any batch.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import compress

import numpy as np

from builders.synthetic.admissions import (
    FIRST_SUBJECT,
    IDS,
    TWICE,
    WITHOUT_STAY,
    Records,
    again,
    patient_without_stay,
    records,
    stay_id,
)
from builders.synthetic.diagnosis_sampling import OtherDiagnoses, numbered
from builders.synthetic.stay import Stay
from builders.synthetic.stays import BATCH, ICD9, Drawn, FirstDiagnoses, draw_stays, into_patients

ORPHAN = 0.0005
"""Share of patients without a stay who have a note all the same, its admission in no table: 61 notes of Note 2.2
against hosp 3.1. The first batch has one in any case."""
ORPHANS = 64  # hadm_ids kept for them, a batch
NOTES_BETWEEN = 6
"""Most numbers that note_seq skips between two discharge notes."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Person:
    patient: Row
    admissions: list[Row]
    diagnoses: list[Row]
    notes: list[tuple[int, Stay]]
    """(note_seq, stay), in order of time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A share of a copy's admissions, from the `start`-th on."""

    start: int
    size: int
    admissions: int
    """Of the whole copy."""
    seed: int
    icd9_share: float


def batches(admissions: int, seed: int, icd9_share: float = ICD9) -> list[Batch]:
    starts = range(0, admissions, BATCH)
    return [Batch(start, min(BATCH, admissions - start), admissions, seed, icd9_share) for start in starts]


def people(batch: Batch) -> Iterator[Person]:
    """Patients with, in all, so many admissions, and in between those who have none."""
    first, others = _draws()
    start, seed = batch.start, batch.seed
    rng, plain = np.random.default_rng([seed, start]), random.Random(f"{seed}/{start}")
    patients = into_patients(rng, draw_stays(rng, first, batch.size, batch.icd9_share))
    without = round(len(patients) * WITHOUT_STAY / (1 - WITHOUT_STAY))
    strays = min(int(rng.binomial(without, ORPHAN)), ORPHANS) if start else 1
    # (stays, whether they are in the tables)
    line: list[tuple[list[Drawn], bool]] = [
        *((patient, True) for patient in patients),
        *(([stray], False) for stray in draw_stays(rng, first, strays, batch.icd9_share)),
        *(([], False) for _ in range(without - strays)),
    ]
    number, orphan = start, IDS - start // BATCH * ORPHANS  # orphans count down from the end: no admission gets there
    for place, subject_id in zip(rng.permutation(len(line)), _subject_ids(rng, batch, len(line)), strict=True):
        drawn, in_tables = line[place]
        if not drawn:
            yield Person(patient_without_stay(plain, subject_id), [], [], [])
            continue
        if in_tables:
            hadm_ids = [stay_id(number + nth, seed) for nth in range(len(drawn))]
            number += len(drawn)
        else:
            orphan -= 1
            hadm_ids = [stay_id(orphan, seed)]
        found = records(plain, subject_id, hadm_ids, drawn, list(others.draw(rng, drawn)))
        seqs = (np.cumsum(rng.integers(1, NOTES_BETWEEN + 1, len(drawn))) + 1).tolist()
        if in_tables:
            noted = [stay.noted for stay in drawn]
            yield _admitted(rng, plain, found, list(compress(zip(seqs, found.stays, strict=True), noted)))
        else:
            yield Person(found.patient, [], [], [(seqs[0], found.stays[0])])


def _admitted(rng: np.random.Generator, plain: random.Random, found: Records, notes: list[tuple[int, Stay]]) -> Person:
    """A patient's rows in the tables' order, by hadm_id."""
    by_id = sorted(zip(found.stays, found.admissions, strict=True), key=lambda pair: pair[0].hadm_id)
    return Person(
        found.patient,
        [entry for _, row in by_id for entry in ((row, again(plain, row)) if plain.random() < TWICE else (row,))],
        [
            (stay.subject_id, stay.hadm_id, seq_num, *diagnosis)
            for stay, _ in by_id
            for seq_num, diagnosis in numbered(rng, stay.diagnoses)
        ],
        notes,
    )


@cache
def _draws() -> tuple[FirstDiagnoses, OtherDiagnoses]:
    """Half a second to set up, the same for every copy."""
    return FirstDiagnoses(), OtherDiagnoses()


def _subject_ids(rng: np.random.Generator, batch: Batch, n: int) -> list[int]:
    """n ids, ascending, from this batch's share of all ids; batches never overlap."""
    low, high = IDS * batch.start // batch.admissions, IDS * (batch.start + batch.size) // batch.admissions
    return [FIRST_SUBJECT + low + int(place) for place in np.sort(rng.choice(high - low, n, replace=False))]
