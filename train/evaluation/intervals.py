"""95 % intervals and p-values from leaving out one note at a time (the delete-one jackknife), in closed form.

    spread = measure_spread(vector.compute_without_each(), patients)      # patients: an index per note
    estimate_interval(0.41, column, right=120, wrong=212)                # [0.372, 0.449]

What an interval is about: the mean score over test sets of this size, drawn from the same population. A mean over the
classes of a test set depends on its size (more notes, more rare classes), so no interval here says what a larger test
set would score; and chance in training and decoding is not in it.

* Leaving a note out also removes its class from the mean if no other note has it. Reweighting notes (the Bayesian
  bootstrap, which stood here) never does, and covered 23 to 80 % instead of 95 % where most classes are rare.
* The notes of a patient are left out together (the sum of their changes, which is exact to the first order).
* A score's interval is computed on the logit scale, so that it stays between 0 and 1 and is skewed where the score is.
  The quantile is Student's, with degrees of freedom from the kurtosis of the changes (Satterthwaite): where a score
  hangs on a few notes, its standard error does too.
* A difference of two runs on the same notes is that of their changes, note by note, with n - 1 degrees of freedom.
* Where fewer than three notes are right, or fewer than three wrong, no interval of this kind covers (the spread of such
  notes is a matter of luck), and there is none; the same for two runs of which fewer than six notes tell one as better.

`python -m benchmarks.intervals` measures how often the intervals cover, and docs/evaluation.md has its figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from deepicd.evaluation_metrics import Interval
from train.evaluation.metric_vector import METRICS, MetricVector
from train.evaluation.metrics import Indices, Numbers

CONFIDENCE = 0.95
FEWEST_NOTES = 3
"""Right ones, and wrong ones, for an interval of a score."""
FEWEST_DIFFERING = 6
"""Notes that only one of two runs gets right, for an interval of their difference: five cannot tell them apart."""

Intervals = Mapping[str, Interval]
"""Name of a figure → its interval; absent where none covers."""


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """What leaving out each patient changes, by figure."""

    changes: Numbers
    """One row per patient, one column per figure; they add up to 0."""

    @property
    def standard_errors(self) -> Numbers:
        patients = len(self.changes)
        if patients < 2:
            return np.zeros(self.changes.shape[1])
        return np.asarray(np.sqrt((self.changes**2).sum(axis=0) * patients / (patients - 1)))

    @property
    def freedom(self) -> Numbers:
        """Degrees of freedom of the standard errors: patients - 1 if all matter alike, few if a few decide."""
        squares = self.changes**2
        deviations = ((squares - squares.mean(axis=0)) ** 2).sum(axis=0)
        most = np.full(squares.shape[1], max(1.0, len(squares) - 1.0))
        effective = np.divide(2 * squares.sum(axis=0) ** 2, deviations, out=most.copy(), where=deviations > 0)
        return np.asarray(np.clip(effective, 1.0, most))

    def __sub__(self, other: "Spread") -> "Spread":
        return Spread(self.changes - other.changes)


def measure_spread(without: Numbers, patients: Indices | None = None) -> Spread:
    """Return what each patient changes, from the figures without each note; `patients` has an index per note."""
    rows = len(without)
    changes = (without.mean(axis=0) - without) * ((rows - 1) / rows) if rows else without
    if patients is None or not rows:
        return Spread(changes)
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.diff(patients[order], prepend=-1))
    return Spread(np.add.reduceat(changes[order], starts, axis=0))


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


def explain_no_interval(right: int, wrong: int) -> str | None:
    """Return why a score has no interval; None if it has one."""
    if right >= FEWEST_NOTES and wrong >= FEWEST_NOTES:
        return None
    for number, word in ((right, "right"), (wrong, "wrong")):
        if not number:
            return f"no answer is {word}"
    return f"fewer than {FEWEST_NOTES} answers are {'right' if right < FEWEST_NOTES else 'wrong'}"


def estimate_interval(value: float, error: float, freedom: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of a share with this standard error; None if it is 0 or 1, or nothing changes it.

    >>> [round(end, 3) for end in estimate_interval(0.5, 0.05, 99.0)]
    [0.402, 0.598]
    """
    if not (0 < value < 1 and error > 0):
        return None
    logit = np.log(value / (1 - value))
    reach = student.ppf((1 + confidence) / 2, freedom) * error / (value * (1 - value))
    return [float(1 / (1 + np.exp(-(logit + sign * reach)))) for sign in (-1, 1)]


def estimate_mean(value: float, error: float, freedom: float) -> Interval | None:
    """Return the interval of a mean of counts or lengths, which is at least 0; None if nothing changes it.

    >>> [round(end, 1) for end in estimate_mean(480.0, 10.0, 99.0)]
    [460.2, 499.8]
    """
    if not error > 0:
        return None
    reach = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return [max(0.0, value - reach), value + reach]


def estimate_difference(difference: float, error: float, patients: int) -> tuple[Interval, float] | None:
    """Return interval and two-sided p-value of a difference; None if nothing changes it."""
    if patients < 2 or not error > 0:
        return None
    reach = float(student.ppf((1 + CONFIDENCE) / 2, patients - 1)) * error
    p_value = float(2 * student.sf(abs(difference) / error, patients - 1))
    return [max(-1.0, difference - reach), min(1.0, difference + reach)], p_value


def estimate_intervals(vector: MetricVector, spread: Spread) -> tuple[dict[str, Interval], dict[str, str]]:
    """Return the intervals that cover, and why the figures of the three levels lack one."""
    intervals: dict[str, Interval] = {}
    missing: dict[str, str] = {}
    errors, freedom = spread.standard_errors.tolist(), spread.freedom.tolist()
    for figure, error, degrees in zip(vector.figures, errors, freedom, strict=True):
        reason = explain_no_interval(figure.right, figure.wrong)
        interval = None if reason else estimate_interval(figure.value, error, degrees)
        if interval:
            intervals[figure.name] = interval
        elif figure.name.split(".")[1] in METRICS:
            missing[figure.name] = reason or "every note leaves the score as it is"
    return intervals, missing
