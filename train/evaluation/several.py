"""Figures of lists of codes against the codes of a stay: recall at k, precision, F1, average precision, by chapter.

    lists = [PredictedList("1-DS-1", (I214, I10), (I214, J449))]       # true codes, listed codes
    measure_lists(lists, show_all=True).levels["full"].means["recall_at_1"]      # 0.5

Each is computed per note and averaged over the notes. A code that is listed again, and a block without a code, takes a
place and is wrong; a note without an answer has an empty list, of which every figure is 0. At the level `category` a
code stands for its category. Average precision is the mean, over the true codes, of the precision down to the place
where each is listed, 0 for one that is not. Intervals are those of the means, by leaving out one patient at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from deepicd.evaluation_metrics import Interval, ListChapter, ListLevel, ListLevelName, ListMetrics, SeverityErrors
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.severity import differs_in_severity
from deepicd.small_counts import is_small
from train.evaluation.intervals import FEWEST_NOTES, estimate_interval, measure_spread, number_patients
from train.evaluation.metrics import Indices

KS = (1, 3, 5, 10)
SHOWN_PAIRS = 10


class PredictedList(NamedTuple):
    """The codes of one stay, and those that an answer lists."""

    note_id: str
    truth: tuple[Code, ...]
    listed: tuple[Code | None, ...]
    """None for a block without a code."""


class _Places(NamedTuple):
    """What stands at each place of a list, at one level."""

    is_right: list[bool]
    """Whether a place has a true class that no earlier place has."""
    true: int
    """True classes."""


def measure_lists(lists: Sequence[PredictedList], *, show_all: bool) -> ListMetrics:
    """Return all figures of some lists. `show_all`: whether small counts may be shown."""
    patients = number_patients([one.note_id for one in lists])
    levels: dict[ListLevelName, Callable[[Code], str]] = {
        "category": lambda code: code.category,
        "full": lambda code: code.value,
    }
    return ListMetrics(
        listed=_average(len(one.listed) for one in lists),
        true=_average(len(one.truth) for one in lists),
        repeated=_average(_share_repeated(one.listed) for one in lists),
        levels={
            name: _measure_level([_find_places(one, get_class) for one in lists], patients)
            for name, get_class in levels.items()
        },
        chapters=_measure_chapters(lists, show_all=show_all),
        severity=_count_severity(lists) if show_all else None,
    )


def _average(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def _share_repeated(listed: Sequence[Code | None]) -> float:
    codes = [code for code in listed if code is not None]
    return 1 - len(set(codes)) / len(codes) if codes else 0.0


def _find_places(one: PredictedList, get_class: Callable[[Code], str]) -> _Places:
    """Return which places are right. Another code of a class that is listed already takes no place."""
    truth = {get_class(code) for code in one.truth}
    codes: set[Code] = set()
    classes: set[str] = set()
    is_right: list[bool] = []
    for code in one.listed:
        name = None if code is None or code in codes else get_class(code)
        if name is not None and name in classes:
            continue
        is_right.append(name in truth)
        if code is not None and name is not None:
            codes.add(code)
            classes.add(name)
    return _Places(is_right, len(truth))


def score_places(places: _Places) -> dict[str, float]:
    """Return the figures of one list.

    >>> score_places(_Places([True, False, True], 4))["average_precision"]     # (1/1 + 2/3) / 4
    0.41666666666666663
    """
    is_right, true = places
    right, size = sum(is_right), len(is_right)
    precise, found = 0.0, 0
    for place, hit in enumerate(is_right, start=1):
        found += hit
        precise += found / place if hit else 0.0
    return {
        **{f"recall_at_{k}": sum(is_right[:k]) / true for k in KS},
        "recall": right / true,
        "precision": right / size if size else 0.0,
        "f1": 2 * right / (size + true),
        "average_precision": precise / true,
    }


def _measure_level(places: Sequence[_Places], patients: Indices) -> ListLevel:
    scores = [score_places(one) for one in places]
    names = list(scores[0]) if scores else []
    values = np.array([[one[name] for name in names] for one in scores], np.float64).reshape(len(scores), len(names))
    means = values.mean(axis=0) if len(scores) else np.zeros(len(names))
    intervals: dict[str, Interval | None] = dict.fromkeys(names)
    if len(scores) > 1:
        spread = measure_spread((values.sum(axis=0) - values) / (len(scores) - 1), patients)
        enough = np.minimum((values > 0).sum(axis=0), (values < 1).sum(axis=0)) >= FEWEST_NOTES
        for name, mean, error, freedom, holds in zip(
            names, means.tolist(), spread.standard_errors.tolist(), spread.freedom.tolist(), enough, strict=True
        ):
            intervals[name] = estimate_interval(mean, error, freedom) if holds else None
    return ListLevel(means=dict(zip(names, means.tolist(), strict=True)), interval=intervals)


def _measure_chapters(lists: Sequence[PredictedList], *, show_all: bool) -> list[ListChapter]:
    """Return the codes of each chapter, over all lists: true ones, and recall and precision of full codes.

    A chapter is withheld as a whole where a small group of patients has such codes, right, missed or wrong ones.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    patients: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in lists:
        true, listed = set(one.truth), {code for code in one.listed if code is not None}
        groups = {"true": true, "right": true & listed, "missed": true - listed, "wrong": listed - true}
        for name, codes in groups.items():
            for code in codes:
                counts[name][code.chapter.number] += 1
                patients[name, code.chapter.number].add(one.note_id.partition("-")[0])
    rows = []
    for chapter in CHAPTERS:
        number = chapter.number
        people = [len(patients[name, number]) for name in ("true", "right", "missed", "wrong")]
        if not show_all and any(map(is_small, people)):
            rows.append(ListChapter(chapter=number, true=None, recall=None, precision=None))
            continue
        of_stays, right, wrong = (counts[name][number] for name in ("true", "right", "wrong"))
        rows.append(
            ListChapter(
                chapter=number,
                true=of_stays,
                recall=right / of_stays if of_stays else None,
                precision=right / (right + wrong) if right + wrong else None,
            )
        )
    return rows


def _count_severity(lists: Iterable[PredictedList]) -> SeverityErrors:
    """Count the wrong codes, and apart those for which the stay has the same disease in another severity, unlisted."""
    errors, pairs = 0, Counter[str]()
    for one in lists:
        listed = dict.fromkeys(code for code in one.listed if code is not None)
        missed = [code for code in one.truth if code not in listed]
        for code in (code for code in listed if code not in one.truth):
            errors += 1
            other = next((each for each in missed if differs_in_severity(code, each)), None)
            if other is not None:
                missed.remove(other)
                pairs[f"{code} for {other}"] += 1
    shown = dict(sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN_PAIRS])
    return SeverityErrors(errors=errors, severity_only=pairs.total(), pairs=shown)
