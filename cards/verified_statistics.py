"""Count what the config `verified` of a dataset says of its traces, exactly; cards.counts decides what may be shown."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

from deepicd.schema import FURTHER_CONFIGS
from deepicd.storage import open_parquet

CONFIG = "verified"
VERDICTS = ("confirmed", "refuted", "untouched")
COLUMNS = ("note_id", "chapter", "forecasts", "lift", "failed_for")
BATCH = 1024

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
        for batch in open_parquet(path, FURTHER_CONFIGS[CONFIG]).iter_batches(BATCH, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                statistics.add(row)
    return statistics
