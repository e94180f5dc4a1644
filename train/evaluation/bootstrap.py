"""Everything that an evaluation measures, as one row of numbers: of the rows themselves or of a bootstrap sample.

    sheet = Sheet(truths, predicted, vocabulary=…, train=…)
    sheet.measure()              # one number a name of sheet.names
    samples(sheet, 1000, 42)     # the same for each bootstrap sample, a row each

Names: 'full.macro_f1', 'full.accuracy'; 'full.head.macro_f1' of the classes that hold the first third of the training
rows, commonest class first ('middle' and 'tail' the others; a class that training has not is of the tail); and
'chapter.09.f1' of one chapter. Classes are those of the convention.

A bootstrap sample gives each row a weight of its own (Rubin, The Bayesian bootstrap, 1981) and leaves none out: drawn
with replacement, a third of the classes that have one row would be missing, each time others, and where rare classes
are the hard ones the mean over the rest lies above the value. What is left of bias (F1 bends where a class has few
rows) is taken off by moving the samples to the value as their mean.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from deepicd.icd10cm import CHAPTERS, Code
from train.evaluation.metrics import (
    LEVELS,
    Averaging,
    LevelRows,
    Mask,
    Numbers,
    average_classes,
    class_label,
    count_classes,
    mean,
    score_classes,
    select_classes,
)

GROUPS = ("head", "middle", "tail")
_CHAPTERS = [f"chapter.{chapter.number:02d}.f1" for chapter in CHAPTERS]
METRICS = ("macro_precision", "macro_recall", "macro_f1", "accuracy")


class MetricVector:
    """The rows of one evaluation. `train`: the codes of the training rows, where they are known."""

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
        self.levels = {name: LevelRows.of(name, truths, predicted, vocabulary) for name in LEVELS}
        self.groups = {name: split_terciles(self.levels[name], train) for name in LEVELS[1:]} if train else {}
        self.names = [name for name, _ in self._measured(None)]

    def measure(self, weights: Numbers | None = None) -> Numbers:
        """All numbers in the order of `names`; each row counted as often as its weight says."""
        return np.array([value for _, value in self._measured(weights)])

    def _measured(self, weights: Numbers | None) -> Iterator[tuple[str, float]]:
        for name, level in self.levels.items():
            counts = count_classes(level, weights)
            over = select_classes(level, counts, self.averaging)
            found = score_classes(counts)
            for metric, value in {**average_classes(found, over), "accuracy": counts.accuracy}.items():
                yield f"{name}.{metric}", value
            for group, members in self.groups.get(name, {}).items():
                true = counts.true[members].sum()
                yield f"{name}.{group}.macro_f1", mean(found.f1, members & over)
                yield f"{name}.{group}.accuracy", float(counts.right[members].sum() / true) if true else 0.0
            if name == "chapter":
                yield from zip(_CHAPTERS, found.f1.tolist(), strict=False)


def split_terciles(level: LevelRows, train: Sequence[Code]) -> dict[str, Mask]:
    """Which classes are of the head, the middle and the tail of the training rows; NIL of none."""
    often = Counter(class_label(level.name, code) for code in train)
    total, before, group = sum(often.values()), 0, {}
    for one, number in sorted(often.items(), key=lambda entry: (-entry[1], entry[0])):
        group[one] = GROUPS[min(2, 3 * before // total)]
        before += number
    return {
        name: np.array([group.get(one, "tail") == name for one in level.classes] + [False], np.bool_)
        for name in GROUPS
    }  # fmt: skip


def draw_samples(sheets: Sequence[MetricVector], number: int, seed: int) -> list[Numbers]:
    """For each sheet its numbers in each bootstrap sample of the rows; all sheets see the same samples (paired)."""
    random, rows = np.random.default_rng(seed), sheets[0].rows
    drawn: list[list[Numbers]] = [[] for _ in sheets]
    for _ in range(number):
        weights = random.exponential(size=rows)
        for sheet, kept in zip(sheets, drawn, strict=True):
            kept.append(sheet.measure(weights))
    return [_centred(np.array(kept), sheet.measure()) for sheet, kept in zip(sheets, drawn, strict=True)]


def _centred(found: Numbers, values: Numbers) -> Numbers:
    """The samples, a row each, moved so that their mean is the value; shares stay shares."""
    return np.clip(found - found.mean(axis=0) + values, 0, 1) if len(found) else np.empty((0, len(values)))


def compute_intervals(values: Numbers, level: float = 0.95) -> list[list[float]]:
    """Of each column the percentile interval, [low, high]."""
    if not len(values):
        return []
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [[float(one), float(other)] for one, other in zip(low, high, strict=True)]


def compute_p_values(differences: Numbers) -> Numbers:
    """Of each column the share of samples that contradict its sign, both tails; never less than samples can tell."""
    below = (differences <= 0).sum(axis=0) + 1
    above = (differences >= 0).sum(axis=0) + 1
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above) / (len(differences) + 1)))
