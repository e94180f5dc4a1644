"""Scores by sex, age band, race, admission type, ICU and frequency of the code, with the largest gap of each.

    columns = read_columns(Path("out/cohort"), [note.note_id for note in notes])      # {'sex': ['F', 'M', None, …], …}
    measure_subgroups(vector, columns, show_all=False)["sex"].gaps["chapter"]
    # SubgroupGap(higher='F', lower='M', difference=0.021, interval=[-0.004, 0.046])

Groups are compared by accuracy. Macro F1 stands beside it, but falls with the number of notes (more rare classes), so
that groups of different size differ in it without any cause.

The interval of the largest gap is simultaneous over all pairs of groups (Newcombe's hybrid score method with
Bonferroni's correction; n is the number of patients): the largest of many gaps is never 0, and an interval for one
pair, chosen afterwards, would exclude 0 far too often. Groups that are withheld take no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import LevelName, SubgroupGap, SubgroupMetrics, Subgroups
from deepicd.schema import SPLITS
from deepicd.small_counts import suppress_small
from train.evaluation.intervals import CONFIDENCE, score_interval
from train.evaluation.metric_vector import MetricVector
from train.evaluation.metrics import LEVELS, Mask
from train.evaluation.suppression import suppress_shares

COLUMNS = ("sex", "age_band", "race", "admission_type", "icu")
UNKNOWN = "unknown"

Columns = Mapping[str, Sequence[str]]
"""Column → the group of each note."""


def list_cohort_files(cohort: Path) -> list[Path]:
    """Return the parquet files of a cohort. Raises DeepicdError without any."""
    files = [path for split in SPLITS if (path := cohort / f"{split}.parquet").is_file()]
    if not files:
        raise DeepicdError(f"{cohort} holds no cohort.", "Point --subgroups at the folder that `deepicd build` wrote.")
    return files


def read_columns(cohort: Path, note_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of a cohort that describe the notes. Raises DeepicdError if it lacks notes or columns."""
    import pyarrow as pa

    groups: dict[str, dict[str, str]] = {}
    wanted = set(note_ids)
    for path in list_cohort_files(cohort):
        with storage.open_parquet(path, pa.schema([("note_id", pa.string())])) as file:
            names = [name for name in COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=["note_id", *names]):
                groups |= {
                    row["note_id"]: {name: _name_group(name, row[name]) for name in names}
                    for row in batch.to_pylist()
                    if row["note_id"] in wanted
                }
    known = [groups[note_id] for note_id in note_ids if note_id in groups]
    if not known:
        raise DeepicdError(f"{cohort} has none of the notes.", "Name the cohort that the dataset was assembled from.")
    names = [name for name in COLUMNS if any(name in row for row in known)]
    if not names:
        raise DeepicdError(
            f"{cohort} has no column {', '.join(COLUMNS)}.", "Build the cohort again with this version of deepicd."
        )
    return {name: [groups.get(note_id, {}).get(name, UNKNOWN) for note_id in note_ids] for name in names}


def _name_group(column: str, value: object) -> str:
    if value is None or value == "":
        return UNKNOWN
    return ("ICU" if value else "no ICU") if column == "icu" else str(value)


def name_terciles(vector: MetricVector) -> list[str] | None:
    """Return for each note how common its true code is in training; None if that is unknown."""
    groups = vector.groups.get("full")
    if not groups:
        return None
    truth = vector.levels["full"].truth
    names = np.select([members[truth] for members in groups.values()], list(groups), UNKNOWN)
    return [str(name) for name in names]


def measure_subgroups(vector: MetricVector, columns: Columns, *, show_all: bool) -> dict[str, Subgroups]:
    """Return the scores of each group of each column; None where they would reveal a small group."""
    return {name: _measure_column(vector, np.array(groups), show_all=show_all) for name, groups in columns.items()}


class _Group(NamedTuple):
    """The notes of a group: how many, of how many patients, and how many are right at each level."""

    notes: int
    patients: int
    right: dict[LevelName, int]


def _measure_column(
    vector: MetricVector, names: "np.ndarray[tuple[int], np.dtype[np.str_]]", *, show_all: bool
) -> Subgroups:
    masks: dict[str, Mask] = {str(name): np.asarray(names == name) for name in np.unique(names)}
    groups = {name: _count_group(vector, mask) for name, mask in masks.items()}
    samples = {name: group.notes for name, group in groups.items()}
    shown: dict[str, int | None] = dict(samples) if show_all else suppress_small(samples)
    accuracies = {
        level: suppress_shares({name: group.right[level] for name, group in groups.items()}, shown, show_all=show_all)
        for level in LEVELS
    }
    return Subgroups(
        groups={
            name: _build_group(vector, mask, shown[name], {level: accuracies[level][name] for level in LEVELS})
            for name, mask in masks.items()
        },
        gaps={
            level: find_largest_gap(
                {
                    name: (accuracy, groups[name].patients)
                    for name, accuracy in accuracies[level].items()
                    if accuracy is not None and name != UNKNOWN
                }
            )
            for level in LEVELS
        },
    )


def _count_group(vector: MetricVector, mask: Mask) -> _Group:
    right = {name: int((level.is_right & mask).sum()) for name, level in vector.levels.items()}
    return _Group(int(mask.sum()), len(np.unique(vector.patients[mask])), right)


def _build_group(
    vector: MetricVector,
    mask: Mask,
    samples: int | None,
    accuracies: Mapping[LevelName, float | None],
) -> SubgroupMetrics:
    part = MetricVector(
        {name: replace(level, truth=level.truth[mask], predicted=level.predicted[mask])
         for name, level in vector.levels.items()},
        vector.patients[mask],
        averaging=vector.averaging,
    )  # fmt: skip
    intervals, _ = part.estimate_intervals()
    shown = [level for level in LEVELS if accuracies[level] is not None]
    return SubgroupMetrics(
        samples=samples,
        accuracy=dict(accuracies),
        accuracy_interval={level: intervals.get(f"{level}.accuracy") for level in shown},
        macro_f1={level: part.values[f"{level}.macro_f1"] for level in shown},
        f1_interval={level: intervals.get(f"{level}.macro_f1") for level in shown},
    )


def find_largest_gap(groups: Mapping[str, tuple[float, int]]) -> SubgroupGap | None:
    """Return the largest gap between the accuracies of groups, each with its patients; None for fewer than two groups.

    >>> find_largest_gap({"F": (0.6, 500), "M": (0.5, 500)})
    SubgroupGap(higher='F', lower='M', difference=0.1, interval=[0.038..., 0.160...])
    """
    if len(groups) < 2:
        return None
    higher = max(groups, key=lambda name: groups[name][0])
    lower = min(groups, key=lambda name: groups[name][0])
    if higher == lower:
        higher, lower = list(groups)[:2]
    pairs = len(list(combinations(groups, 2)))
    quantile = float(norm.ppf(1 - (1 - CONFIDENCE) / (2 * pairs)))
    (most, most_ends), (least, least_ends) = (
        (groups[name][0], score_interval(*groups[name], quantile)) for name in (higher, lower)
    )
    difference = most - least
    low = difference - float(np.hypot(most - most_ends[0], least_ends[1] - least))
    high = difference + float(np.hypot(most_ends[1] - most, least - least_ends[0]))
    return SubgroupGap(higher=higher, lower=lower, difference=round(difference, 12), interval=[low, high])
