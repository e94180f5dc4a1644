"""The copy's people in the order of their ids: every table's rows for one patient at a time."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from builders.synthetic.diagnoses import OtherDiagnoses, numbered
from builders.synthetic.records import FIRST_SUBJECT, IDS, WITHOUT_STAY, patient_without_stay, records, stay_id
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
        rng = np.random.default_rng([seed, start])
        plain = random.Random(f"{seed}/{start}")
        patients = into_patients(rng, draw_stays(rng, first, size))
        without = round(len(patients) * WITHOUT_STAY / (1 - WITHOUT_STAY))
        with_orphan = int(rng.binomial(without, ORPHAN)) if start else max(1, round(without * ORPHAN))
        strays = draw_stays(rng, first, with_orphan)
        line: list[tuple[list[Drawn], bool]] = [
            *((patient, True) for patient in patients),
            *(([stray], False) for stray in strays),
            *(([], False) for _ in range(without - with_orphan)),
        ]
        ids = _subject_ids(rng, start, size, admissions, len(line))
        number = start
        for place, subject_id in zip(rng.permutation(len(line)), ids, strict=True):
            drawn, admitted = line[place]
            if not drawn:
                yield Person(patient_without_stay(plain, subject_id), [], [], [])
                continue
            if admitted:
                hadm_ids = [stay_id(number + nth, seed) for nth in range(len(drawn))]
                number += len(drawn)
            else:
                orphans += 1
                hadm_ids = [stay_id(IDS - orphans, seed)]  # numbers from the end, which no admission reaches
            found = records(plain, subject_id, hadm_ids, drawn, list(others.draw(rng, drawn)))
            seqs = np.cumsum(rng.integers(1, NOTES_BETWEEN + 1, len(drawn))) + 1
            yield Person(
                found.patient,
                sorted(found.admissions, key=_hadm_id) if admitted else [],
                [
                    (stay.subject_id, stay.hadm_id, seq_num, *diagnosis)
                    for stay in sorted(found.stays, key=lambda stay: stay.hadm_id)
                    for seq_num, diagnosis in numbered(rng, stay.diagnoses)
                ]
                if admitted
                else [],
                [
                    (int(seq), stay)
                    for seq, stay, was in zip(seqs, found.stays, drawn, strict=True)
                    if was.noted or not admitted
                ],
            )


@cache
def _draws() -> tuple[FirstDiagnoses, OtherDiagnoses]:
    """Half a second to set up, the same for every copy."""
    return FirstDiagnoses(), OtherDiagnoses()


def _hadm_id(row: Row) -> int:
    return int(str(row[1]))


def _subject_ids(rng: np.random.Generator, start: int, size: int, admissions: int, n: int) -> list[int]:
    """n ids, ascending, from this batch's share of all ids; batches never overlap."""
    low, high = IDS * start // admissions, IDS * (start + size) // admissions
    return [FIRST_SUBJECT + low + int(place) for place in np.sort(rng.choice(high - low, n, replace=False))]
