"""Compute all figures of an evaluation, with what leaving out a patient changes in them.

    vector = MetricVector.build(truths, predicted, patients=…, vocabulary=…, train=…)
    vector.values                        # 'full.macro_f1' → 0.087
    vector.estimate_intervals()          # name → [low, high], and why others have none

Names: 'full.macro_f1', 'full.accuracy'; 'full.head.macro_f1' over the classes that hold the first third of the training
rows, commonest class first ('middle' and 'tail' hold the others; a class that training lacks belongs to the tail); and
'chapter.09.f1' of one chapter. Classes are those of the convention: a class of one patient leaves with that one.

Leaving a patient out changes the true and predicted classes of a few notes only, so all of it is linear in them. Pairs
of patients change more than each alone only where they share a class, and by how their notes in it are counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from deepicd.evaluation_metrics import Averaging, Interval, LevelName
from deepicd.icd10cm import CHAPTERS, Code
from train.evaluation.intervals import (
    FEWEST_NOTES,
    FEWEST_OF_PART,
    Spread,
    estimate_interval,
    estimate_share,
    explain_no_interval,
    measure_ratio,
    measure_spread,
)
from train.evaluation.metrics import (
    LEVELS,
    ClassCounts,
    ClassScores,
    Indices,
    LevelRows,
    Mask,
    Numbers,
    count_classes,
    get_class,
    score_classes,
    select_classes,
)

GROUPS = ("head", "middle", "tail")
MEANS = {"macro_precision": "precision", "macro_recall": "recall", "macro_f1": "f1"}
METRICS = (*MEANS, "accuracy")

Groups = Mapping[LevelName, Mapping[str, Mask]]
"""Level → 'head', 'middle', 'tail' → their classes."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its value and spread, and how many notes speak for and against the model in it."""

    name: str
    value: float
    spread: Spread
    right: int
    wrong: int


class MetricVector:
    """The rows of one evaluation; `patients` has an index per note."""

    def __init__(
        self,
        levels: Mapping[LevelName, LevelRows],
        patients: Indices,
        groups: Groups = MappingProxyType({}),
        averaging: Averaging = "truth",
    ) -> None:
        self.averaging, self.levels, self.groups = averaging, levels, groups
        self.patients = np.unique(patients, return_inverse=True)[1].astype(np.int64)

    @classmethod
    def build(
        cls,
        truths: Sequence[Code],
        predicted: Sequence[Code | None],
        *,
        patients: Indices | None = None,
        averaging: Averaging = "truth",
        vocabulary: set[Code] | None = None,
        train: Sequence[Code] = (),
    ) -> "MetricVector":
        """Return the vector of codes. `train`: those of the training rows, if known. None: a patient per note."""
        levels = {name: LevelRows.build(name, truths, predicted, vocabulary) for name in LEVELS}
        groups = {name: split_terciles(levels[name], train) for name in LEVELS[1:]} if train else {}
        return cls(levels, np.arange(len(truths)) if patients is None else patients, groups, averaging)

    @cached_property
    def figures(self) -> list[Figure]:
        return [figure for level in self.levels.values() for figure in self._compute_level(level)]

    @cached_property
    def values(self) -> dict[str, float]:
        return {figure.name: figure.value for figure in self.figures}

    def estimate_intervals(self) -> tuple[dict[str, Interval], dict[str, str]]:
        """Return the intervals that cover, and why the figures of the three levels lack one."""
        intervals: dict[str, Interval] = {}
        missing: dict[str, str] = {}
        patients = int(self.patients.max(initial=-1)) + 1
        for figure in self.figures:
            _, *parts, metric = figure.name.split(".")
            reason = explain_no_interval(figure.right, figure.wrong, FEWEST_OF_PART if parts else FEWEST_NOTES)
            if reason:
                interval = None
            elif metric in ("accuracy", "f1"):
                interval = estimate_share(figure.value, figure.spread, patients)
            else:
                interval = estimate_interval(figure.value, figure.spread)
            if interval:
                intervals[figure.name] = interval
            elif not parts:
                missing[figure.name] = reason or "every patient leaves the score as it is"
        return intervals, missing

    def _compute_level(self, level: LevelRows) -> Iterator[Figure]:
        changes, name, is_right = _Changes(level, self.patients, self.averaging), level.name, level.is_right
        right, every = int(is_right.sum()), np.ones(len(changes.known), np.bool_)
        wrong = len(is_right) - right
        for metric, score in MEANS.items():
            yield Figure(f"{name}.{metric}", *changes.average(score, every), right, wrong)
        accuracy = measure_ratio(is_right.astype(np.float64), np.ones(len(is_right)), self.patients)
        yield Figure(f"{name}.accuracy", *accuracy, right, wrong)
        for group, members in self.groups.get(name, {}).items():
            inside = members[level.truth]
            right = int((is_right & inside).sum())
            yield Figure(f"{name}.{group}.macro_f1", *changes.average("f1", members), right, int(inside.sum()) - right)
        for index, chapter in enumerate(CHAPTERS if name == "chapter" else ()):  # the classes of this level
            right = int(changes.counts.right[index])
            wrong = int(changes.counts.true[index] + changes.counts.predicted[index]) - 2 * right
            only = np.arange(len(every)) == index
            yield Figure(f"chapter.{chapter.number:02d}.f1", *changes.average("f1", only), right, wrong)


class _Scored(NamedTuple):
    """Classes, each with its scores and whether the mean covers it; a class may occur several times."""

    classes: Indices
    scores: ClassScores
    over: Mask


class _Changes:
    """The classes of one level: as they are, and without a patient or two of those who have notes in them."""

    def __init__(self, level: LevelRows, patients: Indices, averaging: Averaging) -> None:
        self.known, self.averaging, self.counts = level.known, averaging, count_classes(level)
        self.present = self._score(np.arange(len(level.known)), np.zeros((3, 1), np.int64))
        self.patients, classes, lost = _count_lost(level, patients)
        self.size = int(patients.max(initial=-1)) + 1
        self.without = self._score(classes, lost)
        kinds, numbers = np.unique(np.vstack([classes, lost]), axis=1, return_counts=True)
        first, second, self.pairs = _list_pairs(kinds[0], numbers)
        self.without_first = self._score(kinds[0, first], kinds[1:, first])
        self.without_second = self._score(kinds[0, second], kinds[1:, second])
        self.without_both = self._score(kinds[0, first], kinds[1:, first] + kinds[1:, second])

    def _score(self, classes: Indices, lost: Indices) -> _Scored:
        """Return classes after they lost rows that were right, predicted, true."""
        left = ClassCounts(*(count[classes] - less for count, less in zip(self.counts, lost, strict=True)))
        return _Scored(classes, score_classes(left), select_classes(self.known[classes], left, self.averaging))

    def average(self, score: str, members: Mask) -> tuple[float, Spread]:
        """Return the mean of a score over the convention's classes among `members`, and its spread."""
        covered = self.present.over & members
        number = int(covered.sum())
        if not number:
            return 0.0, Spread(0.0, 1.0)
        value = float(getattr(self.present.scores, score)[covered].sum()) / number

        def weigh(scored: _Scored) -> Numbers:
            """Return what each class adds to the mean, to the first order."""
            over = scored.over & members[scored.classes]
            return np.asarray((getattr(scored.scores, score) - value) * over / number)

        before = weigh(self.present)
        changes = np.zeros(self.size)
        np.add.at(changes, self.patients, before[self.without.classes] - weigh(self.without))
        beyond = before[self.without_both.classes] + weigh(self.without_both)
        beyond -= weigh(self.without_first) + weigh(self.without_second)
        return value, measure_spread(changes, float((self.pairs * beyond**2).sum()))


def _count_lost(level: LevelRows, patients: Indices) -> tuple[Indices, Indices, Indices]:
    """Return patients, their classes and (by row) how many of their notes in it are right, predicted and true."""
    hit, wrong = level.is_right.astype(np.int64), ~level.is_right
    none, one = np.zeros(wrong.sum(), np.int64), np.ones(len(hit), np.int64)
    rows = np.hstack([[hit, hit, one], [none, one[wrong], none]])
    keys = np.concatenate([patients, patients[wrong]]) * len(level.known)
    keys += np.concatenate([level.truth, level.predicted[wrong]])
    keys, inverse = np.unique(keys, return_inverse=True)
    lost = np.stack([np.bincount(inverse, row, len(keys)) for row in rows]).astype(np.int64)
    return *np.divmod(keys, len(level.known)), lost


def _list_pairs(classes: Indices, numbers: Indices) -> tuple[Indices, Indices, Numbers]:
    """Return the pairs of kinds of patients in the same class, and how many pairs of patients each stands for.

    `classes` is sorted, with the number of patients of each kind.
    """
    first: list[Indices] = []
    second: list[Indices] = []
    for distance in range(len(classes)):
        same = np.flatnonzero(classes[: len(classes) - distance] == classes[distance:])
        if not len(same):
            break
        first.append(same)
        second.append(same + distance)
    one, other = (np.concatenate([np.empty(0, np.int64), *part]) for part in (first, second))
    pairs = np.where(one == other, numbers[one] * (numbers[one] - 1) / 2, numbers[one] * numbers[other])
    return one, other, pairs


def split_terciles(level: LevelRows, train: Sequence[Code]) -> dict[str, Mask]:
    """Return which classes are in the head, the middle and the tail of the training rows; NIL is in none."""
    frequencies = Counter(get_class(level.name, code) for code in train)
    total, before, group = sum(frequencies.values()), 0, {}
    for label, number in sorted(frequencies.items(), key=lambda entry: (-entry[1], entry[0])):
        group[label] = GROUPS[min(2, 3 * before // total)]
        before += number
    return {
        name: np.array([group.get(label, "tail") == name for label in level.classes] + [False], np.bool_)
        for name in GROUPS
    }  # fmt: skip
