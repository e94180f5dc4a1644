"""Compare two runs on the same notes by swapping their answers (approximate randomization, Noreen 1989).

    compare_runs(ours, theirs)["full.macro_f1"]      # Difference(difference=0.02, interval=[-0.005, 0.045], p=0.11)

If the runs were equally good, each patient's answers could as well have been the other run's. So they are swapped for
random patients, SHUFFLES times, and p is the share of differences that are as large as the real one; ties count half
(mid-p), since few patients make few different differences. The interval reaches as far as 95 % of the differences.
This holds for any figure, also for a mean over classes that a few notes decide. Where fewer than six patients tell one
run as better, five of which cannot, there is neither.
"""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from deepicd.evaluation_metrics import Averaging, Difference
from train.evaluation.intervals import CONFIDENCE
from train.evaluation.metric_vector import MEANS, METRICS, MetricVector
from train.evaluation.metrics import (
    ClassCounts,
    Indices,
    LevelRows,
    Mask,
    Numbers,
    count_classes,
    measure_level,
    score_classes,
    select_classes,
)

FEWEST_DIFFERING = 6
"""Patients of whom only one of two runs is right, for an interval of their difference."""
SHUFFLES = 1999
SEED = 1
CHUNK = 100  # shuffles in memory at once
TIE = 1e-12


def compare_runs(ours: MetricVector, theirs: MetricVector, shuffles: int = SHUFFLES) -> dict[str, Difference]:
    """Return the differences of the figures of the three levels."""
    swaps = _draw_swaps(ours.patients, shuffles)
    differences: dict[str, Difference] = {}
    for level, rows in ours.levels.items():
        others = theirs.levels[level]
        differing = len(np.unique(ours.patients[rows.is_right != others.is_right]))
        swapped = swap_answers(rows, others, ours.patients, swaps, ours.averaging)
        one, other = (measure_level(run, ours.averaging) for run in (rows, others))
        for name in METRICS:
            differences[f"{level}.{name}"] = _compare(one[name], other[name], swapped[name], differing)
    return differences


def compare_means(
    ours: Mapping[str, Numbers], theirs: Mapping[str, Numbers], patients: Indices, shuffles: int = SHUFFLES
) -> dict[str, Difference]:
    """Return the differences of means over notes, by name; `patients` has an index per note."""
    swaps = _draw_swaps(patients, shuffles)
    differences: dict[str, Difference] = {}
    for name, values in ours.items():
        changes = np.bincount(patients, values - theirs[name]) / len(values)
        swapped = changes.sum() - 2 * (swaps @ changes)
        differing = int((np.abs(changes) > TIE).sum())
        differences[name] = _compare(float(values.mean()), float(theirs[name].mean()), swapped, differing)
    return differences


def _draw_swaps(patients: Indices, shuffles: int) -> Mask:
    """Return whose answers the runs swap, one row per shuffle."""
    size = (shuffles, int(patients.max()) + 1)
    return np.random.default_rng(SEED).integers(0, 2, size, np.uint8).astype(np.bool_)


def swap_answers(
    ours: LevelRows, theirs: LevelRows, patients: Indices, swaps: Mask, averaging: Averaging
) -> dict[str, Numbers]:
    """Return the difference of each metric after each swap. Only classes of notes with two answers change."""
    differs = ours.predicted != theirs.predicted
    classes = np.unique([rows[differs] for rows in (ours.truth, ours.predicted, theirs.predicted)])
    counts, their_counts = count_classes(ours), count_classes(theirs)
    others = select_classes(ours.known, counts, averaging).copy()
    others[classes] = False
    scores = score_classes(counts)
    sums = {name: getattr(scores, score)[others].sum() for name, score in MEANS.items()}

    def place(labels: Indices, counted: Mask) -> csr_array:
        """Return a row per changing class and a column per patient."""
        at = np.searchsorted(classes, labels[differs]), patients[differs]
        return csr_array((counted[differs].astype(np.float64), at), (len(classes), swaps.shape[1]))

    def average(right: Numbers, predicted: Numbers) -> dict[str, Numbers]:
        one = ClassCounts(right, predicted, np.broadcast_to(counts.true[classes], right.shape))
        found = score_classes(one)
        over = np.broadcast_to(select_classes(ours.known[classes], one, averaging), right.shape)
        number = others.sum() + over.sum(-1)
        means = {name: (sums[name] + (getattr(found, score) * over).sum(-1)) / number for name, score in MEANS.items()}
        return means | {"accuracy": right.sum(-1) / len(patients)}  # without the notes of other classes

    every = np.ones(len(patients), np.bool_)
    right = place(theirs.truth, theirs.is_right) - place(ours.truth, ours.is_right)
    predicted = place(theirs.predicted, every) - place(ours.predicted, every)
    differences: list[dict[str, Numbers]] = []
    for chunk in np.split(swaps, range(CHUNK, len(swaps), CHUNK)):
        swapped = chunk.T.astype(np.float64)
        more_right, more_predicted = (right @ swapped).T, (predicted @ swapped).T
        one = average(counts.right[classes] + more_right, counts.predicted[classes] + more_predicted)
        two = average(their_counts.right[classes] - more_right, their_counts.predicted[classes] - more_predicted)
        differences.append({name: one[name] - two[name] for name in METRICS})
    return {name: np.concatenate([part[name] for part in differences]) for name in METRICS}


def _compare(ours: float, theirs: float, swapped: Numbers, differing: int) -> Difference:
    difference, sizes = ours - theirs, np.abs(swapped)
    if differing < FEWEST_DIFFERING:
        return Difference(ours=ours, theirs=theirs, difference=difference, interval=None, p=None)
    larger = int((sizes > abs(difference) + TIE).sum())
    ties = int((sizes >= abs(difference) - TIE).sum()) - larger + 1  # the runs as they are
    reach = float(np.quantile(sizes, CONFIDENCE))
    return Difference(
        ours=ours,
        theirs=theirs,
        difference=difference,
        interval=[max(-1.0, difference - reach), min(1.0, difference + reach)],
        p=(larger + ties / 2) / (len(sizes) + 1),
    )
