"""The copy's people in the order of their ids: every table's rows for one patient at a time."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import compress

import numpy as np

from builders.synthetic.diagnoses import OtherDiagnoses, numbered
from builders.synthetic.records import FIRST_SUBJECT, IDS, WITHOUT_STAY, Records, patient_without_stay, records, stay_id
from builders.synthetic.stay import Stay
from builders.synthetic.stays import BATCH, Drawn, FirstDiagnoses, draw_stays, into_patients

ORPHAN = 0.01
"""Share of patients without a stay who have a note all the same, its admission in no table (61 notes in MIMIC)."""
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


def people(admissions: int, seed: int) -> Iterator[Person]:
    """Patients with, in all, so many admissions, and in between those who have none."""
    first, others = _draws()
    orphans = 0
    for start in range(0, admissions, BATCH):
        size = min(BATCH, admissions - start)
        rng, plain = np.random.default_rng([seed, start]), random.Random(f"{seed}/{start}")
        patients = into_patients(rng, draw_stays(rng, first, size))
        without = round(len(patients) * WITHOUT_STAY / (1 - WITHOUT_STAY))
        strays = int(rng.binomial(without, ORPHAN)) if start else max(1, round(without * ORPHAN))
        # (stays, whether they are in the tables)
        line: list[tuple[list[Drawn], bool]] = [
            *((patient, True) for patient in patients),
            *(([stray], False) for stray in draw_stays(rng, first, strays)),
            *(([], False) for _ in range(without - strays)),
        ]
        number = start
        ids = _subject_ids(rng, start, size, admissions, len(line))
        for place, subject_id in zip(rng.permutation(len(line)), ids, strict=True):
            drawn, in_tables = line[place]
            if not drawn:
                yield Person(patient_without_stay(plain, subject_id), [], [], [])
                continue
            if in_tables:
                hadm_ids = [stay_id(number + nth, seed) for nth in range(len(drawn))]
                number += len(drawn)
            else:
                orphans += 1
                hadm_ids = [stay_id(IDS - orphans, seed)]  # numbers from the end, which no admission reaches
            found = records(plain, subject_id, hadm_ids, drawn, list(others.draw(rng, drawn)))
            seqs = (np.cumsum(rng.integers(1, NOTES_BETWEEN + 1, len(drawn))) + 1).tolist()
            if in_tables:
                noted = [stay.noted for stay in drawn]
                yield _admitted(rng, found, list(compress(zip(seqs, found.stays, strict=True), noted)))
            else:
                yield Person(found.patient, [], [], [(seqs[0], found.stays[0])])


def _admitted(rng: np.random.Generator, found: Records, notes: list[tuple[int, Stay]]) -> Person:
    """A patient's rows in the tables' order, by hadm_id."""
    by_id = sorted(zip(found.stays, found.admissions, strict=True), key=lambda pair: pair[0].hadm_id)
    return Person(
        found.patient,
        [row for _, row in by_id],
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


def _subject_ids(rng: np.random.Generator, start: int, size: int, admissions: int, n: int) -> list[int]:
    """n ids, ascending, from this batch's share of all ids; batches never overlap."""
    low, high = IDS * start // admissions, IDS * (start + size) // admissions
    return [FIRST_SUBJECT + low + int(place) for place in np.sort(rng.choice(high - low, n, replace=False))]
