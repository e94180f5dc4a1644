"""Macro precision, recall and F1 at chapter, category and full code: arrays in, numbers out.

    rows = LevelRows.build("full", truths, predicted, vocabulary)    # list[Code], list[Code | None], set[Code] or None
    counts = count_classes(rows)                   # what was right, predicted and true, by class
    average_classes(score_classes(counts), select_classes(rows.known, counts, "truth"))     # means over the classes

A prediction is NIL, which is wrong whatever the truth, if it is not a code or, below chapter level, outside the
vocabulary (the codes of all splits; without a dataset, those of the truth). The convention says which classes the mean
covers:

* `truth`, the default: the classes that occur in the truth. NIL is a wrong prediction and not a class.
* `union`: the classes that occur in the truth or among the predictions, NIL included; what scikit-learn does when it is
  not given the labels. A class that was only ever predicted counts 0.
* `vocabulary`: every class of the dataset and, below chapter level, NIL, whether it occurs in this split or not.

A class without predictions has precision 0, one without truths recall 0, one with neither F1 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from deepicd.evaluation_metrics import Averaging, LevelName
from deepicd.icd10cm import CHAPTERS, Code

LEVELS: tuple[LevelName, ...] = get_args(LevelName)
AVERAGINGS: tuple[Averaging, ...] = get_args(Averaging)

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


def get_class(level: LevelName, code: Code) -> str:
    """Return the class of a code at a level; chapters as two digits, so that they sort as numbers do.

    >>> [get_class(level, Code("I5021")) for level in LEVELS]
    ['09', 'I50', 'I5021']
    """
    if level == "chapter":
        return f"{code.chapter.number:02d}"
    return code.category if level == "category" else code.value


@dataclass(frozen=True, eq=False)
class LevelRows:
    """Truth and prediction of every row as indices into `classes`; NIL is the index after the last class."""

    name: LevelName
    classes: tuple[str, ...]
    truth: Indices
    predicted: Indices
    known: Mask
    """Which classes, NIL last, the convention `vocabulary` counts."""

    @classmethod
    def build(
        cls,
        name: LevelName,
        truths: Sequence[Code],
        predicted: Sequence[Code | None],
        vocabulary: Iterable[Code] | None = None,
    ) -> "LevelRows":
        true_labels = [get_class(name, code) for code in truths]
        known = {get_class(name, code) for code in vocabulary or ()} | set(true_labels)
        chapters = {f"{chapter.number:02d}" for chapter in CHAPTERS} if name == "chapter" else set()
        classes = sorted(known | chapters)
        index = {label: number for number, label in enumerate(classes)}
        nil = len(classes)
        predictions = [nil if code is None else index.get(get_class(name, code), nil) for code in predicted]
        return cls(
            name,
            tuple(classes),
            np.array([index[label] for label in true_labels], np.int64),
            np.array(predictions, np.int64),
            np.array([label in known for label in classes] + [name != "chapter"], np.bool_),
        )

    @property
    def is_right(self) -> Mask:
        return np.asarray(self.truth == self.predicted)


class ClassCounts(NamedTuple):
    """Rows by class, NIL last: predicted rightly, predicted, true."""

    right: Numbers
    predicted: Numbers
    true: Numbers

    @property
    def accuracy(self) -> float:
        return float(self.right.sum() / self.true.sum()) if len(self.true) and self.true.sum() else 0.0


def count_classes(level: LevelRows) -> ClassCounts:
    """Count the rows by class."""
    size = len(level.classes) + 1
    return ClassCounts(
        right=_count(level.truth[level.is_right], size),
        predicted=_count(level.predicted, size),
        true=_count(level.truth, size),
    )


def _count(indices: Indices, size: int) -> Numbers:
    return np.bincount(indices, minlength=size).astype(np.float64)


def select_classes(known: Mask, counts: ClassCounts, averaging: Averaging) -> Mask:
    """Return the classes that the mean of a convention covers; `known`: those that the vocabulary has."""
    if averaging == "truth":
        return np.asarray(counts.true > 0)
    if averaging == "union":
        return np.asarray((counts.true > 0) | (counts.predicted > 0))
    return known


class ClassScores(NamedTuple):
    """Scores by class, NIL last."""

    precision: Numbers
    recall: Numbers
    f1: Numbers


def score_classes(counts: ClassCounts) -> ClassScores:
    """Return precision, recall and F1 by class; 0 where the denominator is 0."""
    return ClassScores(
        divide(counts.right, counts.predicted),
        divide(counts.right, counts.true),
        divide(2 * counts.right, counts.predicted + counts.true),
    )


def divide(part: Numbers, whole: Numbers) -> Numbers:
    """Return the quotients; 0 where the divisor is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def compute_mean(values: Numbers, over: Mask) -> float:
    """Return the mean over some classes; 0 over none."""
    selected = values[over]
    return float(selected.sum() / len(selected)) if len(selected) else 0.0


def average_classes(scores: ClassScores, over: Mask) -> dict[str, float]:
    """Return the means over some classes, as metrics.json names them."""
    return {
        "macro_precision": compute_mean(scores.precision, over),
        "macro_recall": compute_mean(scores.recall, over),
        "macro_f1": compute_mean(scores.f1, over),
    }


def measure_level(rows: LevelRows, averaging: Averaging) -> dict[str, float]:
    """Return the means over the classes of a convention, and the accuracy."""
    counts = count_classes(rows)
    means = average_classes(score_classes(counts), select_classes(rows.known, counts, averaging))
    return means | {"accuracy": counts.accuracy}
