"""Patients, their stays and first diagnoses, drawn in batches so that a copy of any size needs the same memory.

First diagnoses come before the people: each stay gets a disease, and a sex and an age that fit it; stays are then
sorted by sex and age and cut into patients, so that every stay of a patient fits that patient. Chapters are drawn
evenly over the stays of one kind (noted or not, ICD-9 or ICD-10): even a copy of some 600 stays has all 22.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.random import Generator

from builders.synthetic.clinical_case import title_of
from builders.synthetic.disease_knowledge import Condition, knowledge
from builders.synthetic.stay import Diagnosis
from builders.synthetic.unlisted_codes import billable_by_chapter, relative, unlisted
from deepicd.icd10cm import load_release

BATCH = 2048  # stays; with their notes some 8 MB
NOTED = 0.61
"""Share of stays with a discharge note (Note 2.2 against 3.1)."""
ICD9 = 0.45
"""Share of ICD-9 stays unless another is asked for; 0.63 of noted stays in MIMIC. Fewer here, so that a small copy has
ICD-10 stays enough."""
UNLISTED = 0.2
"""Share of ICD-10 stays whose first code is any other billable one of its chapter: with them a copy of real size has
some thousands of distinct first codes, most of them rare (MIMIC-Reason: 6,368)."""
STEEPNESS = 1.25
"""The n-th commonest of a chapter's other codes weighs 1 / (10 + n) to this power."""
RELATED = 5.0
"""Weight of codes that take the text of a listed relative, which fits them better than the chapter's general one."""
AFTER_THE_FACT = 0.1
"""Weight of codes for later encounters and late effects: seldom why somebody is admitted."""
RETIRED = 0.1
"""Share of stays, of conditions with retired codes, that carry one."""
STAYS_PER_PATIENT = 1.9
MOST_STAYS = 25
"""Of one patient; MIMIC has more, in a tail too thin for a small copy."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stay before it has a patient."""

    first: Diagnosis
    condition: Condition | None
    """None for an unlisted code."""
    sex: str
    age: int
    planned: bool
    noted: bool


class FirstDiagnoses:
    """Draws first codes: a chapter by its weight, then a listed condition by its own, then a code, commonest first."""

    def __init__(self) -> None:
        chapters = knowledge().chapters
        self.numbers = np.array(sorted(chapters))
        weights = np.array([chapters[number].weight for number in self.numbers])
        with_icd9 = [any(condition.icd9 for condition in chapters[number].conditions) for number in self.numbers]
        self.shares = {10: weights / weights.sum(), 9: weights * with_icd9 / (weights * with_icd9).sum()}
        listed = knowledge().by_code
        self.unlisted: dict[int, list[str]] = {}
        self.unlisted_until: dict[int, np.ndarray] = {}
        for number, values in billable_by_chapter().items():
            # which are common nobody tells us; an order that the code's own bytes decide is the same everywhere
            others = sorted((value for value in values if (value, 10) not in listed), key=lambda v: crc32(v.encode()))
            weights = 1 / (10.0 + np.arange(len(others))) ** STEEPNESS
            weights *= np.where([relative(Diagnosis(value, 10)) is not None for value in others], RELATED, 1.0)
            weights *= np.where([_after_the_fact(value) for value in others], AFTER_THE_FACT, 1.0)
            self.unlisted[number] = others
            self.unlisted_until[number] = np.cumsum(weights / weights.sum())

    def draw(self, rng: Generator, version: int, n: int) -> list[tuple[Diagnosis, Condition | None]]:
        # one draw from each n-th of the weights, in random order: shares come out even, whatever n
        even = (rng.permutation(n) + rng.random(n)) / n
        places = np.searchsorted(np.cumsum(self.shares[version]), even, side="right").clip(max=len(self.numbers) - 1)
        chosen: list[tuple[Diagnosis, Condition | None]] = [(Diagnosis("", 0), None)] * n
        for place in np.unique(places):
            rows = np.flatnonzero(places == place)
            for row, found in zip(
                rows, self._of_chapter(rng, int(self.numbers[place]), version, len(rows)), strict=True
            ):
                chosen[row] = found
        return chosen

    def _of_chapter(
        self, rng: Generator, number: int, version: int, n: int
    ) -> Iterator[tuple[Diagnosis, Condition | None]]:
        listed = [c for c in knowledge().chapters[number].conditions if version == 10 or c.icd9]
        weights = np.array([condition.weight for condition in listed])
        others = self.unlisted[number]
        for any_other, place in zip(
            rng.random(n) < UNLISTED, rng.choice(len(listed), n, p=weights / weights.sum()), strict=True
        ):
            if version == 10 and any_other and others:
                place = int(np.searchsorted(self.unlisted_until[number], rng.random()))
                yield Diagnosis(others[min(place, len(others) - 1)], 10), None
                continue
            condition = listed[place]
            codes = tuple(condition.icd9 if version == 9 else condition.codes)
            if version == 10 and condition.retired and rng.random() < RETIRED:
                codes = tuple(condition.retired)
            yield Diagnosis(_by_rank(rng, codes), version), condition


def _after_the_fact(code: str) -> bool:
    words = load_release().titles[code]
    return "subsequent encounter" in words or "sequela" in words


def _by_rank(rng: Generator, codes: Sequence[str]) -> str:
    """The first twice as often as the second, three times as often as the third."""
    weights = 1 / np.arange(1, len(codes) + 1)
    return codes[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()).clip(max=len(codes) - 1))]


def draw_stays(rng: Generator, first: FirstDiagnoses, n: int, icd9_share: float) -> list[Drawn]:
    """n stays with disease, sex and age, in no order."""
    noted, icd9 = rng.random(n) < NOTED, rng.random(n) < icd9_share
    found: list[tuple[Diagnosis, Condition | None]] = [(Diagnosis("", 0), None)] * n
    for has_note in (False, True):
        for version in (9, 10):
            rows = np.flatnonzero((noted == has_note) & (icd9 == (version == 9)))
            for row, drawn in zip(rows, first.draw(rng, version, len(rows)), strict=True):
                found[row] = drawn
    women, place = rng.random(n) < 0.52, rng.beta(2, 2, n)
    stays = []
    for row, (diagnosis, condition) in enumerate(found):
        looks = condition or unlisted(diagnosis, title_of(diagnosis, {}))
        low, high = looks.ages
        stays.append(
            Drawn(
                diagnosis,
                condition,
                looks.sex or ("F" if women[row] else "M"),
                low + int(place[row] * (high - low + 1)),
                looks.planned,
                bool(noted[row]),
            )
        )
    return stays


def into_patients(rng: Generator, stays: list[Drawn]) -> list[list[Drawn]]:
    """Stays of one sex and almost one age together, ICD-9 stays first, the patients in random order."""
    stays = sorted(stays, key=lambda stay: (stay.sex, stay.age))
    sizes = rng.geometric(1 / STAYS_PER_PATIENT, len(stays)).clip(max=MOST_STAYS)
    patients: list[list[Drawn]] = []
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
