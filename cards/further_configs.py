"""What a dataset's card says of the config multi: how many other diagnoses of a stay its note supports.

The stays are divided by that number, all of them, so their counts enter the one system of the card's counts
(cards.counts) as the judge's scores do. Which codes they are, and totals of codes, are not shown.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deepicd.schema import CONFIGS
from deepicd.small_counts import Counts, Key
from deepicd.storage import open_parquet

CONFIG = "multi"
BUCKETS = (("none", 0), ("1–2", 2), ("3–5", 5), ("6 and more", None))  # name, largest number of other diagnoses
_BATCH = 4096


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
        for batch in open_parquet(path, CONFIGS[CONFIG]).iter_batches(_BATCH, columns=["note_id", "icd_codes"]):
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
