"""Count what the configs `multi` and `verified` say, exactly; cards.counts decides what may be shown.

Of `multi`: how many other diagnoses of a stay its note supports. The stays are divided by that number, all of them, so
their counts enter the one system of the card's counts as the judge's scores do. Which codes they are, and totals of
codes, are not shown. Of `verified`: what was borne out, why traces fail, and lift by chapter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

from deepicd.schema import FURTHER_CONFIGS
from deepicd.small_counts import Counts, Key
from deepicd.storage import open_parquet

BUCKETS = (("none", 0), ("1–2", 2), ("3–5", 5), ("6 and more", None))  # name, largest number of other diagnoses
BATCH = 1024  # rows in memory at once


@dataclass
class OtherDiagnoses:
    """Stays by the number of other diagnoses that their note supports."""

    rows: Counter[str] = field(default_factory=Counter)
    patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, bucket: str, patient: str) -> None:
        self.rows[bucket] += 1
        self.patients[bucket].add(patient)


def name_bucket(number: int) -> str:
    """Return the bucket of a number of other diagnoses."""
    return next(name for name, most in BUCKETS if most is None or number <= most)


def count_other_diagnoses(paths: Iterable[Path]) -> OtherDiagnoses:
    """Count the rows of the config's files by bucket, exactly."""
    counted = OtherDiagnoses()
    for path in paths:
        for batch in open_parquet(path, FURTHER_CONFIGS["multi"]).iter_batches(BATCH, columns=["note_id", "icd_codes"]):
            for note_id, codes in zip(batch["note_id"].to_pylist(), batch["icd_codes"].to_pylist(), strict=True):
                counted.add(name_bucket(len(codes) - 1), note_id.partition("-")[0])
    return counted


def add_other_diagnoses(counts: Counts, counted: OtherDiagnoses, cohort: Iterable[Key]) -> None:
    """Add the stays of each bucket to a card's counts; together they are the cohort."""
    if not counted.rows:
        return
    groups = {name: counts.add_group(("others", name), counted.rows[name]) for name, _ in BUCKETS}
    for name, group in groups.items():
        counts.show(group, [group], people=len(counted.patients[name]))
    counts.tie(groups.values(), list(cohort))


VERDICTS = ("confirmed", "refuted", "untouched")
COLUMNS = ("note_id", "chapter", "forecasts", "lift", "failed_for")

Kind = tuple[str, str]
"""Category and verdict of an expectation."""
Failure = frozenset[str]
"""All reasons for which one trace fails: each trace has one such set, so that the sets divide the traces."""


@dataclass
class VerifiedStatistics:
    """Exact counts of the config `verified`."""

    forecasts: Counter[Kind] = field(default_factory=Counter)
    patients: dict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))
    failures: Counter[Failure] = field(default_factory=Counter)
    failure_patients: dict[Failure, set[str]] = field(default_factory=lambda: defaultdict(set))
    lifts: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))  # chapter → of each row
    lift_patients: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, row: Mapping[str, Any]) -> None:
        patient = intern(row["note_id"].partition("-")[0])
        for one in row["forecasts"] or ():
            kind = one["category"], one["verdict"]
            self.forecasts[kind] += 1
            self.patients[kind].add(patient)
        if failure := frozenset(row["failed_for"] or ()):
            self.failures[failure] += 1
            self.failure_patients[failure].add(patient)
        if row["lift"] is not None:
            self.lifts[row["chapter"]].append(row["lift"])
            self.lift_patients[row["chapter"]].add(patient)

    @property
    def categories(self) -> list[str]:
        return sorted({category for category, _ in self.forecasts})

    @property
    def reasons(self) -> list[str]:
        """Return why traces fail."""
        return sorted(set[str]().union(*self.failures))

    @property
    def figures(self) -> list[str]:
        """Return the names of the figures for which there is data."""
        return [*(["borne_out"] if self.forecasts else []), *(["lift"] if self.lifts else []), "selection"]


def read_verified(paths: Sequence[Path]) -> VerifiedStatistics | None:
    """Return the counts of the files of the config; None without files."""
    if not paths:
        return None
    statistics = VerifiedStatistics()
    for path in paths:
        for batch in open_parquet(path, FURTHER_CONFIGS["verified"]).iter_batches(BATCH, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                statistics.add(row)
    return statistics
