"""Count the rows of a dataset folder exactly; cards.counts decides which counts may be shown."""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING

from cards.further_configs import OtherDiagnoses, VerifiedStatistics, count_other_diagnoses, read_verified
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import CONFIGS, DATASET, SPLITS
from deepicd.storage import open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BINS = 40  # in a histogram
OF_COHORT = ("grpo", "multi")  # configs with every row of the cohort; the others have those with a kept trace
BATCH = 4096  # rows read at once, some 20 MB of notes

Cell = tuple[int, str, bool]
"""Chapter, split, whether the row has a kept trace: the finest division in the card's tables."""


@dataclass
class Statistics:
    """Exact counts of one dataset folder."""

    files: dict[str, dict[str, list[str]]]  # config → split → paths in the folder
    rows: dict[str, dict[str, int]]  # config → split → rows
    cells: Counter[Cell] = field(default_factory=Counter)
    patients: dict[Cell, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # patient → rows
    codes: Counter[str] = field(default_factory=Counter)  # first diagnosis → rows
    code_patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    note_words: list[int] = field(default_factory=list)  # per admission note, sorted
    words: list[int] = field(default_factory=list)  # per kept trace, sorted
    scores: Counter[int] = field(default_factory=Counter)  # judge's score, rounded → traces that have one
    others: OtherDiagnoses = field(default_factory=OtherDiagnoses)  # of the config multi
    score_patients: dict[int | None, set[str]] = field(default_factory=lambda: defaultdict(set))
    verified: VerifiedStatistics | None = None
    """None without the config."""
    _running_totals: dict[tuple[Cell, ...], "array[int]"] = field(default_factory=dict)  # of rows, by patient

    @property
    def samples(self) -> int:
        """Return the rows of the whole cohort."""
        return self.cells.total()

    def count_patients(self, cells: Iterable[Cell]) -> int:
        """Return the number of patients with rows in these cells."""
        return len(set().union(*(self.patients[cell] for cell in cells)))

    def count_patients_with_several_rows(self) -> int:
        """Return the number of patients with more than one row of the cohort."""
        return sum(rows > 1 for rows in self._count_rows_by_patient(self.cells).values())

    def count_fewest_patients(self, rows: int, cells: Iterable[Cell]) -> int:
        """Return the fewest patients that so many rows of these cells can come from, where it is unknown which."""
        if (key := tuple(cells)) not in self._running_totals:
            stays = sorted(self._count_rows_by_patient(key).values(), reverse=True)
            self._running_totals[key] = array("q", accumulate(stays))
        return bisect_left(self._running_totals[key], rows) + 1 if rows else 0

    def _count_rows_by_patient(self, cells: Iterable[Cell]) -> Counter[str]:
        total: Counter[str] = Counter()
        for cell in cells:
            total.update(self.patients[cell])
        return total


def read_statistics(folder: Path) -> Statistics:
    """Return the counts of a dataset folder. Raises DeepicdError for other folders, and where configs do not match."""
    files = {
        config: {split: paths for split in SPLITS if (paths := sorted((folder / config).glob(f"{split}-*.parquet")))}
        for config in CONFIGS
    }
    files = {config: by_split for config, by_split in files.items() if by_split or config in DATASET}
    if lacking := [config for config, by_split in files.items() if not by_split]:
        raise DeepicdError(
            f"{folder} is not a dataset folder: it lacks {', '.join(lacking)}.",
            "Create it first: deepicd assemble --cohort DIR --traces DIR OUT",
        )
    statistics = Statistics(
        files={
            config: {
                split: [path.relative_to(folder).as_posix() for path in paths] for split, paths in by_split.items()
            }
            for config, by_split in files.items()
        },
        rows={
            config: {
                split: sum(open_parquet(path, CONFIGS[config]).metadata.num_rows for path in paths)
                for split, paths in by_split.items()
            }
            for config, by_split in files.items()
        },
    )
    for config in statistics.rows:
        whole = "grpo" if config in OF_COHORT else "traces"
        if statistics.rows[config] != statistics.rows[whole]:
            raise _mismatch_error(folder, f"`{config}` has other rows than `{whole}`")
    statistics.verified = read_verified([path for paths in files.get("verified", {}).values() for path in paths])
    for split in SPLITS:
        _count_split(statistics, folder, split, files)
    statistics.others = count_other_diagnoses(path for paths in files.get("multi", {}).values() for path in paths)
    statistics.words.sort()
    statistics.note_words.sort()
    return statistics


def _count_split(statistics: Statistics, folder: Path, split: str, files: dict[str, dict[str, list[Path]]]) -> None:
    """Add the rows of a split."""
    import pyarrow.compute as pc

    kept = set()
    for batch in _read_batches(files["traces"].get(split, []), "traces", ["note_id", "words", "judge_score"]):
        kept |= set(batch["note_id"].to_pylist())
        statistics.words += batch["words"].to_pylist()
        for note_id, score in zip(batch["note_id"].to_pylist(), batch["judge_score"].to_pylist(), strict=True):
            rounded = None if score is None else round(score)
            statistics.score_patients[rounded].add(_get_patient(note_id))
            if rounded is not None:
                statistics.scores[rounded] += 1
    in_cohort = 0
    for batch in _read_batches(files["grpo"].get(split, []), "grpo", ["reward_model", "extra_info"]):
        truths, extra = batch["reward_model"].field("ground_truth").to_pylist(), batch["extra_info"]
        statistics.note_words += pc.list_value_length(pc.utf8_split_whitespace(extra.field("note"))).to_pylist()
        statistics.codes.update(truths)
        for code, note_id in zip(truths, extra.field("note_id").to_pylist(), strict=True):
            cell, patient = (Code(code).chapter.number, split, note_id in kept), _get_patient(note_id)
            statistics.cells[cell] += 1
            statistics.patients[cell][patient] += 1
            statistics.code_patients[code].add(patient)
            in_cohort += note_id in kept
    if in_cohort != len(kept):
        raise _mismatch_error(folder, f"{len(kept) - in_cohort:,} traces of {split} have no row in `grpo`")


def _get_patient(note_id: str) -> str:
    """Return the patient of a note: one object for all of a patient's rows, in every count."""
    return intern(note_id.partition("-")[0])


def _read_batches(paths: list[Path], config: str, columns: list[str]) -> "Iterator[pa.RecordBatch]":
    for path in paths:
        yield from open_parquet(path, DATASET[config]).iter_batches(BATCH, columns=columns)


def _mismatch_error(folder: Path, what: str) -> DeepicdError:
    return DeepicdError(
        f"The configs of {folder} do not match: {what}.",
        "Assemble the dataset again: deepicd assemble --cohort DIR --traces DIR OUT",
    )


def summarize_lengths(words: list[int], *, exact: bool) -> dict[str, float | None]:
    """Return mean, median and range of sorted lengths. The range, whose ends are single rows, only if `exact`."""
    if not words:
        return {}
    middle: dict[str, float | None] = {"mean": sum(words) / len(words), "median": words[len(words) // 2]}
    return middle | ({"min": words[0], "max": words[-1]} if exact else {"min": None, "max": None})


@dataclass(frozen=True, slots=True)
class Bin:
    """Lengths from `low` to below `high`; an `open` bin also holds all lengths beyond it."""

    low: int
    high: int
    count: int
    open: bool = False


def build_histogram(lengths: list[int], smallest: int) -> list[Bin]:
    """Return a histogram of sorted lengths whose bins hold 0 or at least `smallest`; [] if there are too few lengths.

    >>> build_histogram([5, 11, 12, 13, 25], 1)
    [Bin(low=5, high=10, count=1, open=False), Bin(low=10, high=15, count=3, open=False), Bin(low=15, high=20, \
count=0, open=False), Bin(low=20, high=25, count=0, open=False), Bin(low=25, high=30, count=1, open=False)]
    """
    if len(lengths) < smallest or not lengths:
        return []
    for width in (5, 10, 20, 25, 50, 100, 200, 500, 1_000, 5_000):
        if (lengths[-1] - lengths[0]) / width > MAX_BINS:
            continue
        counted = Counter(length // width for length in lengths)
        bins = [
            Bin(place * width, (place + 1) * width, counted[place]) for place in range(min(counted), max(counted) + 1)
        ]
        bins = _pool_first_bins(_pool_first_bins(bins, smallest)[::-1], smallest)[::-1]
        if all(entry.count == 0 or entry.count >= smallest for entry in bins):
            return bins
    return []


def _pool_first_bins(bins: list[Bin], smallest: int) -> list[Bin]:
    """Merge the first bins until they hold enough."""
    first, *rest = bins
    while first.count < smallest and rest:
        second, *rest = rest
        first = Bin(second.low, second.high, first.count + second.count, open=True)
    return [first, *rest]
