"""Figures of lists of codes against the codes of a stay: recall at k, precision, F1, average precision, by chapter.

    lists = [PredictedList("1-DS-1", (I214, I10), (I214, J449))]       # true codes, listed codes
    measure_lists(lists, show_all=True).levels["full"].means["recall_at_1"]      # 0.5

Each is computed per note and averaged over the notes. A code that is listed again, and a block without a code, takes a
place and is wrong; a note without an answer has an empty list, of which every figure is 0. At the level `category` a
code stands for its category. Average precision is the mean, over the true codes, of the precision down to the place
where each is listed, 0 for one that is not. Intervals leave out one patient at a time; two runs are compared by
swapping their answers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import Interval, ListChapter, ListLevel, ListLevelName, ListMetrics, SeverityErrors
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import LISTS
from deepicd.severity import differs_in_severity
from deepicd.small_counts import Counts, Key, is_small
from deepicd.storage import Origin
from train.evaluation.comparison import compare_means
from train.evaluation.intervals import FEWEST_NOTES, estimate_interval, measure_ratio, number_patients
from train.evaluation.metrics import Indices, Numbers

KS = (1, 3, 5, 10)
SHOWN_PAIRS = 10
LISTS_FILE = "lists.parquet"
LEVELS: Mapping[ListLevelName, Callable[[Code], str]] = {
    "category": lambda code: code.category,
    "full": lambda code: code.value,
}
PLACES = {"listed": 1, "true": 1, "repeated": 3}
"""Of a mean over credentialed rows."""
PARTS = ("right", "missed", "wrong")
FURTHER = ("further", 0)
"""The places of lists that hold no code, or one again."""
CodeCounts = defaultdict[tuple[str, int], Counter[int]]
"""(part, chapter) or FURTHER → index of a list → codes."""


class PredictedList(NamedTuple):
    """The codes of one stay, and those that an answer lists."""

    note_id: str
    truth: tuple[Code, ...]
    listed: tuple[Code | None, ...]
    """None for a block without a code."""


def write_lists(folder: Path, lists: Iterable[PredictedList], origin: Origin) -> None:
    """Write the lists of an evaluation."""
    rows = (
        {
            "note_id": one.note_id,
            "icd_codes": [code.value for code in one.truth],
            "predicted": [code.value if code else None for code in one.listed],
        }
        for one in lists
    )
    storage.write_parquet(folder / LISTS_FILE, rows, LISTS, origin)


def read_lists(folder: Path, truths: Mapping[str, tuple[Code, ...]]) -> dict[str, PredictedList]:
    """Return note_id → the list of another evaluation. Raises DeepicdError unless its true codes are these."""
    if not (folder / LISTS_FILE).is_file():
        raise DeepicdError(
            f"{folder} holds no {LISTS_FILE}.",
            "Lists are compared with lists: evaluate the other run with --config multi, or this one without.",
        )
    rows = storage.read_table(folder / LISTS_FILE, LISTS, LISTS.names).to_pylist()
    lists = {
        row["note_id"]: PredictedList(
            row["note_id"],
            tuple(map(Code, row["icd_codes"])),
            tuple(Code(code) if code else None for code in row["predicted"]),
        )
        for row in rows
    }
    if differing := sum(
        note_id not in truths or set(truths[note_id]) != set(one.truth) for note_id, one in lists.items()
    ):
        raise DeepicdError(
            f"{differing:,} of {len(lists):,} lists of the other run answer other notes, or have other true codes.",
            "Compare runs on the same split of the same dataset.",
        )
    return lists


class _Places(NamedTuple):
    """What stands at each place of a list, at one level."""

    is_right: list[bool]
    """Whether a place has a true class that no earlier place has."""
    true: int
    """True classes."""


def measure_lists(
    lists: Sequence[PredictedList], *, show_all: bool, other: Sequence[PredictedList] = ()
) -> ListMetrics:
    """Return all figures of some lists, compared with `other` ones. `show_all`: whether small counts may be shown."""
    patients = number_patients([one.note_id for one in lists])
    scores = {level: score_lists(lists, level) for level in LEVELS}
    counts = _count_codes(lists)
    withheld = frozenset[Key]() if show_all else _find_withheld(lists, counts, patients)
    means = {
        "listed": _average(len(one.listed) for one in lists),
        "true": _average(len(one.truth) for one in lists),
        "repeated": _average(_share_repeated(one.listed) for one in lists),
    }
    differences = {
        f"{level}.{name}": difference
        for level in LEVELS
        for name, difference in compare_means(scores[level], score_lists(other, level), patients).items()
    } if other else None  # fmt: skip
    return ListMetrics(
        **{
            name: mean if show_all else None if name in withheld else round(mean, PLACES[name])
            for name, mean in means.items()
        },
        levels={level: _measure_level(of_level, patients) for level, of_level in scores.items()},
        chapters=_measure_chapters(counts, withheld),
        severity=_count_severity(lists) if show_all else None,
        comparison=differences,
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


def score_lists(lists: Sequence[PredictedList], level: ListLevelName) -> dict[str, Numbers]:
    """Return the figures of each list at a level, by name."""
    scores = [score_places(_find_places(one, LEVELS[level])) for one in lists]
    return {name: np.array([one[name] for one in scores]) for name in scores[0]} if scores else {}


def _measure_level(scores: Mapping[str, Numbers], patients: Indices) -> ListLevel:
    means: dict[str, float] = {}
    intervals: dict[str, Interval | None] = {}
    for name, values in scores.items():
        means[name], spread = measure_ratio(values, np.ones(len(values)), patients)
        is_covered = min((values > 0).sum(), (values < 1).sum()) >= FEWEST_NOTES
        intervals[name] = estimate_interval(means[name], spread) if is_covered else None
    return ListLevel(means=means, interval=intervals)


def _measure_chapters(counts: CodeCounts, withheld: frozenset[Key]) -> list[ListChapter]:
    """Return the codes of each chapter over all lists: true ones, and recall and precision of full codes.

    A chapter is withheld as a whole where one of its counts has to be.
    """
    rows = []
    for number in (chapter.number for chapter in CHAPTERS):
        if withheld & {(name, number) for name in ("true", *PARTS)}:
            rows.append(ListChapter(chapter=number, true=None, recall=None, precision=None))
            continue
        right, missed, wrong = (counts[name, number].total() for name in PARTS)
        true, listed = right + missed, right + wrong
        rows.append(
            ListChapter(
                chapter=number,
                true=true,
                recall=right / true if true else None,
                precision=right / listed if listed else None,
            )
        )
    return rows


def _count_codes(lists: Sequence[PredictedList]) -> CodeCounts:
    counts: CodeCounts = defaultdict(Counter)
    for index, one in enumerate(lists):
        true, listed = set(one.truth), {code for code in one.listed if code is not None}
        for name, codes in zip(PARTS, (true & listed, true - listed, listed - true), strict=True):
            for code in codes:
                counts[name, code.chapter.number][index] += 1
        counts[FURTHER][index] += len(one.listed) - len(listed)
    return counts


def _find_withheld(lists: Sequence[PredictedList], counts: CodeCounts, patients: Indices) -> frozenset[Key]:
    """Return the means, and the ('true', chapter) and (part, chapter) that must not be shown. All, if the solver fails.

    A mean times the rows is the sum of the chapters' codes. It counts as that sum even where it is shown rounded.
    """
    system = Counts()

    def count_people(indices: Iterable[int]) -> int:
        return len({int(patients[index]) for index in indices})

    def show(key: Key, groups: Sequence[tuple[str, int]], cost: float | None) -> None:
        people = count_people(index for group in groups for index, codes in counts[group].items() if codes)
        system.show(key, groups, people=people, cost=cost)

    every = [(name, chapter.number) for chapter in CHAPTERS for name in PARTS]
    for group in (*every, FURTHER):
        system.add_group(group, counts[group].total())
    for number in (chapter.number for chapter in CHAPTERS):
        of_chapter = [(name, number) for name in PARTS]
        cost = float(sum(counts[group].total() for group in of_chapter)) or None
        for group in of_chapter:
            show(group, [group], cost)
        show(("true", number), [group for group in of_chapter if group[0] != "wrong"], cost)
    system.guard([FURTHER], people=count_people(index for index, codes in counts[FURTHER].items() if codes))
    show("true", [group for group in every if group[0] != "wrong"], 1e9)
    show("listed", [*(group for group in every if group[0] != "missed"), FURTHER], 1e6)
    published = system.select_published(everything=False).counts
    repeating = [index for index, one in enumerate(lists) if _share_repeated(one.listed)]
    others = set(range(len(lists))).difference(repeating)
    few = {"repeated"} if is_small(count_people(repeating)) or is_small(count_people(others)) else set()
    return frozenset(key for key, value in published.items() if value is None) | few


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
