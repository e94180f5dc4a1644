"""Macro precision, recall and F1 at chapter, category and full code: arrays in, numbers out.

    rows = Level.of("full", truths, predicted, vocabulary)   # list[Code], list[Code | None], set[Code] or None
    tally(rows)                                              # what each class got right, was predicted, was true
    macro(scores(tally(rows)), mask)                         # means over the classes of a convention

A prediction that is no code, or below chapter level one outside the vocabulary (the codes of the dataset's splits;
without a dataset those of the truth), is NIL: wrong, whatever the truth. Over which classes the mean runs is the
convention:

* `truth`, the default: the classes that occur in the truth. NIL is a wrong prediction and no class.
* `union`: the classes that occur in the truth or among the predictions, NIL too; what scikit-learn does when it is
  not told the labels. A class that was only ever predicted counts 0.
* `vocabulary`: every class of the dataset and, below chapter level, NIL, whether it occurs in this split or not.

A class without a prediction has precision 0, one without truth recall 0, one with neither F1 0. The same functions take
weights, so that a bootstrap sample (train.evaluation.bootstrap) is measured by the code that measures the rows
themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from deepicd.icd10cm import CHAPTERS, Code

LevelName = Literal["chapter", "category", "full"]
Averaging = Literal["truth", "union", "vocabulary"]
LEVELS: tuple[LevelName, ...] = get_args(LevelName)
AVERAGINGS: tuple[Averaging, ...] = get_args(Averaging)

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


def class_label(level: LevelName, code: Code) -> str:
    """The class of a code at a level; chapters as two digits, so that they sort as numbers do.

    >>> [class_label(level, Code("I5021")) for level in LEVELS]
    ['09', 'I50', 'I5021']
    """
    if level == "chapter":
        return f"{code.chapter.number:02d}"
    return code.category if level == "category" else code.value


@dataclass(frozen=True, eq=False)
class LevelRows:
    """Truth and prediction of every row as places in `classes`; NIL is the place behind the last."""

    name: LevelName
    classes: tuple[str, ...]
    truth: Places
    predicted: Places
    known: Mask
    """Which classes, NIL last, the convention `vocabulary` counts."""

    @classmethod
    def of(
        cls,
        name: LevelName,
        truths: Sequence[Code],
        predicted: Sequence[Code | None],
        vocabulary: Iterable[Code] | None = None,
    ) -> "LevelRows":
        true = [class_label(name, code) for code in truths]
        known = {class_label(name, code) for code in vocabulary or ()} | set(true)
        every = sorted(known | ({f"{chapter.number:02d}" for chapter in CHAPTERS} if name == "chapter" else set()))
        place = {one: number for number, one in enumerate(every)}
        nil = len(every)
        given = [nil if code is None else place.get(class_label(name, code), nil) for code in predicted]
        counted = [one in known for one in every] + [name != "chapter"]
        return cls(
            name, tuple(every), np.array([place[one] for one in true], np.int64), np.array(given, np.int64),
            np.array(counted, np.bool_),
        )  # fmt: skip

    @property
    def hit(self) -> Mask:
        return np.asarray(self.truth == self.predicted)


class ClassCounts(NamedTuple):
    """Of each class, NIL last: rows that were right, that were predicted as it, that are truly it."""

    right: Numbers
    predicted: Numbers
    true: Numbers

    @property
    def accuracy(self) -> float:
        return float(self.right.sum() / self.true.sum()) if len(self.true) and self.true.sum() else 0.0


def count_classes(level: LevelRows, weights: Any = None) -> ClassCounts:
    """Count the rows, each as often as its weight says (once without)."""
    size, hit = len(level.classes) + 1, level.hit
    return ClassCounts(
        right=_counted(level.truth[hit], None if weights is None else weights[hit], size),
        predicted=_counted(level.predicted, weights, size),
        true=_counted(level.truth, weights, size),
    )


def _counted(places: Places, weights: Any, size: int) -> Numbers:
    return np.bincount(places, weights=weights, minlength=size).astype(np.float64)


def select_classes(level: LevelRows, counts: ClassCounts, averaging: Averaging) -> Mask:
    """The classes that a convention takes the mean over."""
    if averaging == "truth":
        return np.asarray(counts.true > 0)
    if averaging == "union":
        return np.asarray((counts.true > 0) | (counts.predicted > 0))
    return level.known


class ClassScores(NamedTuple):
    """Of each class, NIL last."""

    precision: Numbers
    recall: Numbers
    f1: Numbers


def score_classes(counts: ClassCounts) -> ClassScores:
    return ClassScores(
        _share(counts.right, counts.predicted),
        _share(counts.right, counts.true),
        _share(2 * counts.right, counts.predicted + counts.true),
    )


def _share(part: Numbers, whole: Numbers) -> Numbers:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def mean(values: Numbers, over: Mask) -> float:
    chosen = values[over]
    return float(chosen.sum() / len(chosen)) if len(chosen) else 0.0


def average_classes(found: ClassScores, over: Mask) -> dict[str, float]:
    """The means over some classes, as metrics.json has them."""
    return {
        "macro_precision": mean(found.precision, over),
        "macro_recall": mean(found.recall, over),
        "macro_f1": mean(found.f1, over),
    }
