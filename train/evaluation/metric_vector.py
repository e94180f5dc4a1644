"""Compute all figures of an evaluation as one vector, for all notes and with each note left out in turn.

    vector = MetricVector.build(truths, predicted, vocabulary=…, train=…)
    vector.values                    # one number per name in vector.names
    vector.compute_without_each()    # the same with note i left out, one row per note: what intervals are made of

Names: 'full.macro_f1', 'full.accuracy'; 'full.head.macro_f1' over the classes that hold the first third of the training
rows, commonest class first ('middle' and 'tail' hold the others; a class that training lacks belongs to the tail); and
'chapter.09.f1' of one chapter. Classes are those of the convention: a class of one note leaves the mean with its note.

Leaving a note out changes two classes, the true and the predicted one, so all of it is linear in the number of notes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from deepicd.evaluation_metrics import Averaging, LevelName
from deepicd.icd10cm import CHAPTERS, Code
from train.evaluation.metrics import (
    LEVELS,
    ClassCounts,
    LevelRows,
    Mask,
    Numbers,
    count_classes,
    divide,
    get_class,
    score_classes,
    select_classes,
)

GROUPS = ("head", "middle", "tail")
MEANS = {"macro_precision": "precision", "macro_recall": "recall", "macro_f1": "f1"}
METRICS = (*MEANS, "accuracy")


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """One figure: its value, its value without each note, and how many notes speak for and against the model in it."""

    name: str
    value: float
    without: Numbers
    right: int
    wrong: int


Groups = Mapping[LevelName, Mapping[str, Mask]]
"""Level → 'head', 'middle', 'tail' → their classes."""


class MetricVector:
    """The rows of one evaluation."""

    def __init__(
        self,
        levels: Mapping[LevelName, LevelRows],
        groups: Groups = MappingProxyType({}),
        averaging: Averaging = "truth",
    ) -> None:
        self.averaging, self.levels, self.groups = averaging, levels, groups
        self.rows = len(levels["full"].truth)
        self.figures = [figure for level in self.levels.values() for figure in self._compute_level(level)]
        self.names = [figure.name for figure in self.figures]
        self.values = np.array([figure.value for figure in self.figures])

    @classmethod
    def build(
        cls,
        truths: Sequence[Code],
        predicted: Sequence[Code | None],
        *,
        averaging: Averaging = "truth",
        vocabulary: set[Code] | None = None,
        train: Sequence[Code] = (),
    ) -> "MetricVector":
        """Return the vector of codes. `train`: the codes of the training rows, if they are known."""
        levels = {name: LevelRows.build(name, truths, predicted, vocabulary) for name in LEVELS}
        groups = {name: split_terciles(levels[name], train) for name in LEVELS[1:]} if train else {}
        return cls(levels, groups, averaging)

    def compute_without_each(self) -> Numbers:
        """Return all figures with each note left out: one row per note, one column per name."""
        return np.stack([figure.without for figure in self.figures], axis=1)

    def _compute_level(self, level: LevelRows) -> Iterator[Figure]:
        change = _Change(level, self.averaging)
        is_right, name = level.is_right, level.name
        right = int(is_right.sum())
        for metric, score in MEANS.items():
            yield Figure(f"{name}.{metric}", *change.average(score), right, self.rows - right)
        without = divide(right - is_right.astype(np.float64), np.full(self.rows, self.rows - 1.0))
        yield Figure(f"{name}.accuracy", change.counts.accuracy, without, right, self.rows - right)
        for group, members in self.groups.get(name, {}).items():
            inside = members[level.truth]
            right, true = int((is_right & inside).sum()), int(inside.sum())
            yield Figure(f"{name}.{group}.macro_f1", *change.average("f1", members), right, true - right)
            without = divide(right - (is_right & inside).astype(np.float64), true - inside.astype(np.float64))
            yield Figure(f"{name}.{group}.accuracy", right / true if true else 0.0, without, right, true - right)
        if name == "chapter":
            yield from change.score_chapters()


class _Change:
    """What becomes of the scores of one level when a note is left out."""

    def __init__(self, level: LevelRows, averaging: Averaging) -> None:
        self.level, self.averaging = level, averaging
        self.counts = counts = count_classes(level)
        self.scores, self.over = score_classes(counts), select_classes(level.known, counts, averaging)
        hit = level.is_right.astype(np.float64)
        true, self.is_wrong = level.truth, ~level.is_right
        self.true = true
        self.predicted = level.predicted[self.is_wrong]
        true_counts = ClassCounts(counts.right[true] - hit, counts.predicted[true] - hit, counts.true[true] - 1)
        predicted_counts = ClassCounts(
            counts.right[self.predicted], counts.predicted[self.predicted] - 1, counts.true[self.predicted]
        )
        self.true_scores, self.predicted_scores = score_classes(true_counts), score_classes(predicted_counts)
        self.true_over = select_classes(level.known[true], true_counts, averaging)
        self.predicted_over = select_classes(level.known[self.predicted], predicted_counts, averaging)

    def average(self, score: str, members: Mask | None = None) -> tuple[float, Numbers]:
        """Return the mean of a score over the convention's classes (of `members`), and without each note."""
        inside = np.ones_like(self.over) if members is None else members
        values, over = getattr(self.scores, score), self.over & inside
        total, number = float(values[over].sum()), int(over.sum())
        totals = total + self._sum_changes(
            values * over,
            getattr(self.true_scores, score) * (self.true_over & inside[self.true]),
            getattr(self.predicted_scores, score) * (self.predicted_over & inside[self.predicted]),
        )
        numbers = number + self._sum_changes(
            over.astype(np.float64),
            (self.true_over & inside[self.true]).astype(np.float64),
            (self.predicted_over & inside[self.predicted]).astype(np.float64),
        )
        return total / number if number else 0.0, divide(totals, numbers)

    def _sum_changes(self, before: Numbers, true_after: Numbers, predicted_after: Numbers) -> Numbers:
        changes = true_after - before[self.true]
        changes[self.is_wrong] += predicted_after - before[self.predicted]
        return changes

    def score_chapters(self) -> Iterator[Figure]:
        """Yield the F1 of each chapter, which are the classes of their level; NIL, the last class, has no name."""
        without = np.tile(self.scores.f1, (len(self.true), 1))
        without[np.arange(len(self.true)), self.true] = self.true_scores.f1
        without[np.flatnonzero(self.is_wrong), self.predicted] = self.predicted_scores.f1
        for index, chapter in enumerate(CHAPTERS):
            right = int(self.counts.right[index])
            wrong = int(self.counts.true[index] + self.counts.predicted[index]) - 2 * right
            name = f"chapter.{chapter.number:02d}.f1"
            yield Figure(name, float(self.scores.f1[index]), without[:, index], right, wrong)


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
