"""Compute all figures of an evaluation as one vector, for the rows or for bootstrap samples of them.

    vector = MetricVector(truths, predicted, vocabulary=…, train=…)
    vector.compute()                 # one number per name in vector.names
    draw_samples([vector], 1000, 42) # the same for each bootstrap sample, one row per sample

Names: 'full.macro_f1', 'full.accuracy'; 'full.head.macro_f1' over the classes that hold the first third of the training
rows, commonest class first ('middle' and 'tail' hold the others; a class that training lacks belongs to the tail); and
'chapter.09.f1' of one chapter. Classes are those of the convention.

A bootstrap sample gives each row a random weight (Rubin, The Bayesian bootstrap, 1981) and leaves none out. If rows
were drawn with replacement, a third of the classes with a single row would be missing, other ones each time, and where
rare classes are the hard ones, the mean over the rest would exceed the value. The remaining bias (F1 is not linear
where a class has few rows) is removed by shifting the samples so that the value is their mean.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from deepicd.evaluation_metrics import Averaging, Interval
from deepicd.icd10cm import CHAPTERS, Code
from train.evaluation.metrics import (
    LEVELS,
    LevelRows,
    Mask,
    Numbers,
    average_classes,
    compute_mean,
    count_classes,
    get_class,
    score_classes,
    select_classes,
)

GROUPS = ("head", "middle", "tail")
METRICS = ("macro_precision", "macro_recall", "macro_f1", "accuracy")
CHAPTER_NAMES = [f"chapter.{chapter.number:02d}.f1" for chapter in CHAPTERS]


class MetricVector:
    """The rows of one evaluation. `train`: the codes of the training rows, if they are known."""

    def __init__(
        self,
        truths: Sequence[Code],
        predicted: Sequence[Code | None],
        *,
        averaging: Averaging = "truth",
        vocabulary: set[Code] | None = None,
        train: Sequence[Code] = (),
    ) -> None:
        self.averaging = averaging
        self.rows = len(truths)
        self.levels = {name: LevelRows.build(name, truths, predicted, vocabulary) for name in LEVELS}
        self.groups = {name: split_terciles(self.levels[name], train) for name in LEVELS[1:]} if train else {}
        self.names = [name for name, _ in self._compute(None)]

    def compute(self, weights: Numbers | None = None) -> Numbers:
        """Return all numbers in the order of `names`; each row counts as often as its weight says."""
        return np.array([value for _, value in self._compute(weights)])

    def _compute(self, weights: Numbers | None) -> Iterator[tuple[str, float]]:
        for name, level in self.levels.items():
            counts = count_classes(level, weights)
            over = select_classes(level, counts, self.averaging)
            scores = score_classes(counts)
            for metric, value in {**average_classes(scores, over), "accuracy": counts.accuracy}.items():
                yield f"{name}.{metric}", value
            for group, members in self.groups.get(name, {}).items():
                true = counts.true[members].sum()
                yield f"{name}.{group}.macro_f1", compute_mean(scores.f1, members & over)
                yield f"{name}.{group}.accuracy", float(counts.right[members].sum() / true) if true else 0.0
            if name == "chapter":
                yield from zip(CHAPTER_NAMES, scores.f1.tolist(), strict=False)  # NIL, the last class, has no name


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


def draw_samples(vectors: Sequence[MetricVector], number: int, seed: int) -> list[Numbers]:
    """Return the numbers of each vector in each bootstrap sample; all vectors see the same samples (paired)."""
    random, rows = np.random.default_rng(seed), vectors[0].rows
    samples: list[list[Numbers]] = [[] for _ in vectors]
    for _ in range(number):
        weights = random.exponential(size=rows)
        for vector, vector_samples in zip(vectors, samples, strict=True):
            vector_samples.append(vector.compute(weights))
    return [
        _center(np.array(vector_samples), vector.compute())
        for vector, vector_samples in zip(vectors, samples, strict=True)
    ]


def _center(samples: Numbers, values: Numbers) -> Numbers:
    """Shift the samples, one per row, so that their mean is the value; shares stay between 0 and 1."""
    return np.clip(samples - samples.mean(axis=0) + values, 0, 1) if len(samples) else np.empty((0, len(values)))


def compute_intervals(samples: Numbers, confidence: float = 0.95) -> list[Interval]:
    """Return the percentile interval of each column; [] without samples."""
    if not len(samples):
        return []
    lows, highs = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [[float(low), float(high)] for low, high in zip(lows, highs, strict=True)]


def compute_p_values(differences: Numbers) -> Numbers:
    """Return a two-sided p-value per column: twice the share of samples with the other sign, never 0 (add-one)."""
    below = (differences <= 0).sum(axis=0) + 1
    above = (differences >= 0).sum(axis=0) + 1
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above) / (len(differences) + 1)))
