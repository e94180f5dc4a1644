"""Draw diagnoses: the first one of each stay, then the others, and their numbers in the table.

First codes are drawn so that chapters come out even over the stays of one kind (with a note or without, ICD-9 or
ICD-10): even a copy of some 600 stays has all 22.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.random import Generator

from builders.synthetic.generator_knowledge import Comorbidity, Condition, Diagnosis, load_knowledge
from builders.synthetic.unlisted_codes import find_relative, find_sex, group_billable_codes
from deepicd.icd10cm import load_release

UNLISTED = 0.2
"""Share of ICD-10 stays whose first code is an unlisted billable one: a copy of real size then has thousands of
distinct first codes, most of them rare (MIMIC-Reason: 6,368)."""
STEEPNESS = 1.25
"""The n-th most common unlisted code of a chapter has the weight 1 / (10 + n) to this power."""
RELATED = 5.0
"""Factor for codes with a listed relative, whose text fits them better than the chapter's general one."""
AFTER_THE_FACT = 0.1
"""Factor for codes of subsequent encounters and sequelae, which are seldom a reason for admission."""
RETIRED = 0.1
"""Share of stays with a retired code, among conditions that have one."""

CODES_MEDIAN = 10
CODES_SPREAD = 0.6
"""Standard deviation of the logarithm of codes per stay."""
MOST_CODES = 57  # per stay, MIMIC-IV 3.1
GOES_WITH = 60.0
"""Added to the weight of a comorbidity that its condition names."""
ANY_CODE = 0.05
"""Share of an ICD-10 stay's other diagnoses drawn from all billable codes of the release."""
NOT_BESIDE = frozenset({15, 16, 19, 20})
"""Chapters whose codes make no sense beside any other: pregnancy, birth, injuries and their causes."""

# Irregular numbering, as shares of stays; rarer in MIMIC-IV 3.1, but even a small copy should show each.
NUMBER_SKIPPED = 0.02
STARTS_AT_TWO = 0.005
CODE_TWICE = 0.01
"""The same code under two numbers."""
NUMBER_TWICE = 0.002
"""Two rows under one number, never the first."""


@dataclass(frozen=True, slots=True)
class DrawnStay:
    """A stay before it is assigned to a patient."""

    first: Diagnosis
    condition: Condition | None
    """None for an unlisted code."""
    sex: str
    age: int
    is_planned: bool
    has_note: bool


class FirstDiagnosisSampler:
    """Draw a chapter by its weight, then a listed condition by its weight, then a code, common ones more often."""

    def __init__(self) -> None:
        chapters = load_knowledge().chapters
        self.numbers = np.array(sorted(chapters))
        weights = np.array([chapters[number].weight for number in self.numbers])
        with_icd9 = [any(condition.icd9 for condition in chapters[number].conditions) for number in self.numbers]
        self.shares = {10: weights / weights.sum(), 9: weights * with_icd9 / (weights * with_icd9).sum()}
        listed = load_knowledge().by_code
        self.unlisted: dict[int, list[str]] = {}
        self.unlisted_until: dict[int, np.ndarray] = {}
        for number, values in group_billable_codes().items():
            # no source says which are common; the order of a checksum is arbitrary but reproducible
            others = sorted((value for value in values if (value, 10) not in listed), key=lambda v: crc32(v.encode()))
            weights = 1 / (10.0 + np.arange(len(others))) ** STEEPNESS
            weights *= np.where([find_relative(Diagnosis(value, 10)) is not None for value in others], RELATED, 1.0)
            weights *= np.where([_is_after_the_fact(value) for value in others], AFTER_THE_FACT, 1.0)
            self.unlisted[number] = others
            self.unlisted_until[number] = np.cumsum(weights / weights.sum())

    def draw(self, rng: Generator, version: int, n: int) -> list[tuple[Diagnosis, Condition | None]]:
        """Draw n first diagnoses of an ICD version, with the condition of each that is listed."""
        # one draw per n-th of the cumulative weights, in random order (stratified), so that shares are even for any n
        even = (rng.permutation(n) + rng.random(n)) / n
        places = np.searchsorted(np.cumsum(self.shares[version]), even, side="right").clip(max=len(self.numbers) - 1)
        chosen: list[tuple[Diagnosis, Condition | None]] = [(Diagnosis("", 0), None)] * n
        for place in np.unique(places):
            rows = np.flatnonzero(places == place)
            drawn = self._draw_in_chapter(rng, int(self.numbers[place]), version, len(rows))
            for row, diagnosis in zip(rows, drawn, strict=True):
                chosen[row] = diagnosis
        return chosen

    def _draw_in_chapter(
        self, rng: Generator, number: int, version: int, n: int
    ) -> Iterator[tuple[Diagnosis, Condition | None]]:
        listed = [c for c in load_knowledge().chapters[number].conditions if version == 10 or c.icd9]
        weights = np.array([condition.weight for condition in listed])
        others = self.unlisted[number]
        for is_unlisted, place in zip(
            rng.random(n) < UNLISTED, rng.choice(len(listed), n, p=weights / weights.sum()), strict=True
        ):
            if version == 10 and is_unlisted and others:
                place = int(np.searchsorted(self.unlisted_until[number], rng.random()))
                yield Diagnosis(others[min(place, len(others) - 1)], 10), None
                continue
            condition = listed[place]
            codes = tuple(condition.icd9 if version == 9 else condition.codes)
            if version == 10 and condition.retired and rng.random() < RETIRED:
                codes = tuple(condition.retired)
            yield Diagnosis(_draw_by_rank(rng, codes), version), condition


def _is_after_the_fact(code: str) -> bool:
    words = load_release().titles[code]
    return "subsequent encounter" in words or "sequela" in words


def _draw_by_rank(rng: Generator, codes: Sequence[str]) -> str:
    """Draw the first code twice as often as the second, three times as often as the third."""
    weights = 1 / np.arange(1, len(codes) + 1)
    return codes[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()).clip(max=len(codes) - 1))]


class OtherDiagnosisSampler:
    """Draw the other diagnoses of many stays at once.

    They come from the pool of comorbidities, mostly those that go with the first diagnosis; a few are any other code.
    """

    def __init__(self) -> None:
        pool: Sequence[Comorbidity] = tuple(load_knowledge().comorbidities.values())
        self.codes = {
            9: [Diagnosis(entry.icd9, 9) for entry in pool],
            10: [Diagnosis(entry.icd10, 10) for entry in pool],
        }
        self.keys = [entry.key for entry in pool]
        self.groups = [entry.group or entry.key for entry in pool]
        self.base = np.array([entry.weight for entry in pool], dtype=float)
        self.youngest = np.array([entry.ages[0] for entry in pool])
        self.oldest = np.array([entry.ages[1] for entry in pool])
        self.not_for = {
            sex: np.array([entry.sex is not None and entry.sex != sex for entry in pool]) for sex in ("F", "M")
        }
        self.weights: dict[str, np.ndarray] = {}
        in_pool = load_knowledge().comorbidity_of
        self.any_code: dict[str, list[Diagnosis]] = {"F": [], "M": []}
        for number, values in group_billable_codes().items():
            for value in values if number not in NOT_BESIDE else ():
                if (value, 10) in in_pool:
                    continue
                sex_implied = find_sex(load_release().titles[value], number)
                for sex, codes in self.any_code.items():
                    if sex_implied in (None, sex):
                        codes.append(Diagnosis(value, 10))

    def draw(self, rng: Generator, stays: Sequence[DrawnStay]) -> Iterator[tuple[Diagnosis, ...]]:
        """Yield all diagnoses of each stay, the first one first, without duplicates."""
        totals = np.rint(rng.lognormal(np.log(CODES_MEDIAN), CODES_SPREAD, len(stays))).clip(1, MOST_CODES).astype(int)
        # exponential times divided by weights: the k earliest are a weighted draw without replacement
        times = rng.exponential(size=(len(stays), len(self.base)))
        for stay, total, time in zip(stays, totals, times, strict=True):
            weights = self._compute_weights(stay.condition) * ((self.youngest <= stay.age) & (stay.age <= self.oldest))
            weights[self.not_for[stay.sex]] = 0
            possible = np.flatnonzero(weights)
            ranked = possible[np.argsort(time[possible] / weights[possible])].tolist()
            one_of_each: dict[str, int] = {}
            for place in ranked:
                if len(one_of_each) == total - 1:
                    break
                one_of_each.setdefault(self.groups[place], place)
            version = stay.first.version
            others = [self.codes[version][place] for place in one_of_each.values()]
            if version == 10 and stay.age >= 18:
                any_codes = self.any_code[stay.sex]
                others = [
                    any_codes[rng.integers(len(any_codes))] if is_any else code
                    for code, is_any in zip(others, rng.random(len(others)) < ANY_CODE, strict=True)
                ]
            same = {stay.first.code, stay.first.code[:3]}
            yield tuple(dict.fromkeys([stay.first, *(code for code in others if code.code[:3] not in same)]))

    def _compute_weights(self, condition: Condition | None) -> np.ndarray:
        """Return a new array of weights, with GOES_WITH added for comorbidities that the condition names."""
        if condition is None:
            return self.base.copy()
        if condition.name not in self.weights:
            goes_with = np.isin(self.keys, condition.accompanied_by)
            self.weights[condition.name] = self.base + GOES_WITH * goes_with
        return self.weights[condition.name].copy()


def number_diagnoses(rng: Generator, codes: Sequence[Diagnosis]) -> list[tuple[int, Diagnosis]]:
    """Number the diagnoses 1, 2, 3 … with the table's occasional gaps, duplicates and late starts."""
    gap, late, twice, same = rng.random(4)
    start = 2 if late < STARTS_AT_TWO else 1
    rows = list(enumerate(codes, start))
    if len(rows) < 3:
        return rows
    middle = int(rng.integers(1, len(rows) - 1))
    if gap < NUMBER_SKIPPED:
        rows = rows[:middle] + [(number + 1, code) for number, code in rows[middle:]]
    if twice < CODE_TWICE:
        rows.append((rows[-1][0] + 1, rows[middle][1]))
    if same < NUMBER_TWICE:
        rows[middle + 1] = (rows[middle][0], rows[middle + 1][1])
    return rows
