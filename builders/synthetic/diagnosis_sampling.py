"""The other diagnoses of a stay, and how the table numbers them.

Drawn from the pool of comorbidities, those that go with the first diagnosis far more readily; a few are any billable
code of the release.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator

from builders.synthetic.disease_knowledge import Comorbidity, Condition, knowledge
from builders.synthetic.stay import Diagnosis
from builders.synthetic.stays import Drawn
from builders.synthetic.unlisted_codes import billable_by_chapter, sex_of
from deepicd.icd10cm import load_release

MEDIAN = 10
SPREAD = 0.6
"""Standard deviation of the logarithm of codes a stay."""
MOST = 57  # codes a stay, MIMIC-IV 3.1
GOES_WITH = 60.0
"""Added to the weight of a comorbidity that its condition names."""
ANY_CODE = 0.05
"""Share of an ICD-10 stay's other diagnoses that are any billable code of the release."""
NOT_BESIDE = frozenset({15, 16, 19, 20})
"""Chapters whose codes make no sense beside any other: pregnancy, birth, injuries and their causes."""

# Numbering, as shares of stays; in MIMIC-IV 3.1 these are rarer, here a small copy shows each.
GAP = 0.02
WITHOUT_ONE = 0.005
TWICE = 0.01
"""The same code at two numbers."""
SAME_NUMBER = 0.002
"""Two rows under one number, never the first."""


class OtherDiagnoses:
    """Draws the other diagnoses of many stays at once."""

    def __init__(self) -> None:
        pool: Sequence[Comorbidity] = tuple(knowledge().comorbidities.values())
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
        known = knowledge().comorbidity_of
        self.any_code: dict[str, list[Diagnosis]] = {"F": [], "M": []}
        for number, values in billable_by_chapter().items():
            for value in values if number not in NOT_BESIDE else ():
                if (value, 10) in known:
                    continue
                only = sex_of(load_release().titles[value], number)
                for sex, codes in self.any_code.items():
                    if only in (None, sex):
                        codes.append(Diagnosis(value, 10))

    def draw(self, rng: Generator, stays: Sequence[Drawn]) -> Iterator[tuple[Diagnosis, ...]]:
        """For each stay all its diagnoses, the first one first, none twice."""
        totals = np.rint(rng.lognormal(np.log(MEDIAN), SPREAD, len(stays))).clip(1, MOST).astype(int)
        # exponential times divided by weights: the k earliest are a weighted draw without replacement
        times = rng.exponential(size=(len(stays), len(self.base)))
        for stay, total, time in zip(stays, totals, times, strict=True):
            weights = self._weights(stay.condition) * ((self.youngest <= stay.age) & (stay.age <= self.oldest))
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
                    any_codes[rng.integers(len(any_codes))] if any_code else code
                    for code, any_code in zip(others, rng.random(len(others)) < ANY_CODE, strict=True)
                ]
            same = {stay.first.code, stay.first.code[:3]}
            yield tuple(dict.fromkeys([stay.first, *(code for code in others if code.code[:3] not in same)]))

    def _weights(self, condition: Condition | None) -> np.ndarray:
        """A fresh array; GOES_WITH added where the condition names a comorbidity."""
        if condition is None:
            return self.base.copy()
        if condition.name not in self.weights:
            goes_with = np.isin(self.keys, condition.accompanied_by)
            self.weights[condition.name] = self.base + GOES_WITH * goes_with
        return self.weights[condition.name].copy()


def numbered(rng: Generator, codes: Sequence[Diagnosis]) -> list[tuple[int, Diagnosis]]:
    """(seq_num, diagnosis) rows: 1, 2, 3 … with the table's occasional gaps, doubles and late starts."""
    gap, late, twice, same = rng.random(4)
    start = 2 if late < WITHOUT_ONE else 1
    rows = list(enumerate(codes, start))
    if len(rows) < 3:
        return rows
    middle = int(rng.integers(1, len(rows) - 1))
    if gap < GAP:
        rows = rows[:middle] + [(number + 1, code) for number, code in rows[middle:]]
    if twice < TWICE:
        rows.append((rows[-1][0] + 1, rows[middle][1]))
    if same < SAME_NUMBER:
        rows[middle + 1] = (rows[middle][0], rows[middle + 1][1])
    return rows
