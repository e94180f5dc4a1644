"""95 % intervals from leaving out one patient at a time (the delete-one jackknife).

    spread = measure_spread(changes)                            # changes: what each patient moves a figure by
    estimate_interval(0.41, spread)                             # [0.372, 0.449]

What an interval is about: the mean score over test sets of this size, drawn from the same population. A mean over the
classes of a test set depends on its size (more notes, more rare classes), so no interval here says what a larger test
set would score; and chance in training and decoding is not in it.

* A patient is left out with all notes, and a class with them if no other patient has it. Reweighting notes (the
  bootstrap) never removes a class, and covered 23 to 80 % instead of 95 % where most classes are rare.
* The jackknife overstates the spread where classes have a few notes each. How much, the changes by pairs of patients
  say (Efron and Stein 1981). Half of it is subtracted: all of it is right on the average and too noisy.
* A mean over classes or notes has its interval on the logit scale, with Student's quantile and degrees of freedom from
  the kurtosis of the changes (Satterthwaite): where a score hangs on a few notes, its standard error does too.
* The interval of an accuracy, and of the F1 of a chapter, is Wilson's, with as many notes as would give an independent
  sample the same spread.
* Where fewer than three notes are right, or fewer than three wrong, no interval covers (the spread of such notes is a
  matter of luck), and there is none; in a chapter, or a third of the classes, where there are fewer than eight.

`python -m benchmarks.intervals` measures how often the intervals cover, and docs/evaluation.md has its figures.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from deepicd.evaluation_metrics import Interval
from train.evaluation.metrics import Indices, Numbers

CONFIDENCE = 0.95
FEWEST_NOTES = 3
"""Right ones, and wrong ones, for an interval of a score."""
FEWEST_OF_PART = 8
"""The same of one chapter, or of the common, middle or rare classes."""

Intervals = Mapping[str, Interval]
"""Name of a figure → its interval; absent where none covers."""


class Spread(NamedTuple):
    """The standard error of a figure, and its degrees of freedom: many if all patients matter alike."""

    error: float
    freedom: float


def measure_spread(changes: Numbers, excess: float = 0.0) -> Spread:
    """Return the spread of a figure from what each patient moves it by.

    `excess`: the sum, over all pairs of patients, of the squares of what leaving out both moves beyond each alone.
    """
    patients, squares = len(changes), changes**2
    total = float(squares.sum())
    if patients < 2 or not total:
        return Spread(0.0, 1.0)
    variance = (total - min(excess, total) / 2) * patients / (patients - 1)
    deviations = float(((squares - squares.mean()) ** 2).sum())
    most = patients - 1.0
    freedom = 2 * total**2 / deviations if deviations else most
    return Spread(float(np.sqrt(variance)), float(np.clip(freedom, 1.0, most)))


def measure_ratio(part: Numbers, whole: Numbers, patients: Indices) -> tuple[float, Spread]:
    """Return the sum of parts / the sum of wholes (0 for none), and its spread; `patients` has an index per note."""
    if not whole.any():
        return 0.0, Spread(0.0, 1.0)
    value = float(part.sum() / whole.sum())
    changes = np.bincount(patients, part - value * whole).astype(np.float64) / whole.sum()
    return value, measure_spread(changes)


def number_patients(note_ids: Sequence[str]) -> Indices:
    """Return an index per note, the same for notes of one patient; ids of another form than MIMIC's stand for one each.

    >>> number_patients(["10000032-DS-21", "10000032-DS-22", "a-1", "a-2"]).tolist()
    [0, 0, 1, 2]
    """
    subjects = [
        note_id.partition("-DS-")[0] if note_id.partition("-DS-")[2].isdigit() else note_id for note_id in note_ids
    ]
    numbers = {subject: number for number, subject in enumerate(dict.fromkeys(subjects))}
    return np.array([numbers[subject] for subject in subjects], np.int64)


def explain_no_interval(right: int, wrong: int, fewest: int = FEWEST_NOTES) -> str | None:
    """Return why a score has no interval; None if it has one."""
    if right >= fewest and wrong >= fewest:
        return None
    for number, word in ((right, "right"), (wrong, "wrong")):
        if not number:
            return f"no answer is {word}"
    return f"fewer than {fewest} answers are {'right' if right < fewest else 'wrong'}"


def estimate_interval(value: float, spread: Spread) -> Interval | None:
    """Return the interval of a mean of scores; None if it is 0 or 1, or nothing changes it.

    >>> [round(end, 3) for end in estimate_interval(0.5, Spread(0.05, 99.0))]
    [0.402, 0.598]
    """
    if not (0 < value < 1 and spread.error):
        return None
    logit = np.log(value / (1 - value))
    reach = _find_quantile(spread.freedom) * spread.error / (value * (1 - value))
    return [float(1 / (1 + np.exp(-(logit + sign * reach)))) for sign in (-1, 1)]


def estimate_share(value: float, spread: Spread, patients: int) -> Interval | None:
    """Return the interval of a share of notes (Wilson 1927); None if it is 0 or 1, or nothing changes it.

    >>> [round(end, 3) for end in estimate_share(0.5, Spread(0.05, 99.0), 101)]
    [0.403, 0.597]
    """
    if not (0 < value < 1 and spread.error):
        return None
    return score_interval(value, value * (1 - value) / spread.error**2, _find_quantile(patients - 1))


def score_interval(share: float, number: float, quantile: float) -> Interval:
    """Return Wilson's score interval of a share of a number of notes, which covers at 0 and 1, too."""
    square = quantile**2
    center = (share + square / (2 * number)) / (1 + square / number)
    reach = quantile / (1 + square / number) * np.sqrt(share * (1 - share) / number + square / (4 * number**2))
    return [float(center - reach), float(center + reach)]


def estimate_mean(value: float, spread: Spread) -> Interval | None:
    """Return the interval of a mean of counts or lengths, which is at least 0; None if nothing changes it.

    >>> [round(end, 1) for end in estimate_mean(480.0, Spread(10.0, 99.0))]
    [460.2, 499.8]
    """
    reach = _find_quantile(spread.freedom) * spread.error
    return [max(0.0, value - reach), value + reach] if spread.error else None


def _find_quantile(freedom: float) -> float:
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom))
