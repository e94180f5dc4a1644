"""The figures a card shows, counted from the dataset's parquet files and the records of the stages.

Of credentialed data no count of patients under ten is shown, nor one that a total would give away. The rows of configs
and splits are exact all the same: they stand in the YAML, and the loader checks them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from deepicd.cells import SMALLEST_CELL, suppressed
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import DATASET, SPLITS
from deepicd.store import Origin, parquet_file

# DeepICD-R1, Table 2 and the dataset section.
PAPER = {
    "samples": 93_142,
    "codes": 6_368,
    "words_mean": 477.3,
    "words_min": 31,
    "words_max": 883,
    "train": 65_228,
    "validation": 9_260,
    "test": 18_654,
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one dataset folder; None stands for a suppressed cell."""

    rows: dict[str, dict[str, int]]  # config → split → rows
    files: dict[str, dict[str, list[str]]]  # config → split → paths in the folder
    codes: int
    chapters: dict[int, int | None]  # 1–22 → rows of `grpo`, that is of the whole cohort
    words: list[int]  # of every trace, sorted

    @property
    def samples(self) -> int:
        return sum(self.rows["traces"].values())


def statistics(folder: Path, origin: Origin) -> Statistics:
    """Count a dataset folder. Raises DeepicdError where a config or split is missing or not of our schema."""
    files = {
        config: {split: found for split in SPLITS if (found := sorted((folder / config).glob(f"{split}-*.parquet")))}
        for config in DATASET
    }
    lacking = [config for config, by_split in files.items() if not any(by_split.values())]
    if lacking:
        raise DeepicdError(
            f"{folder} is no dataset folder: it lacks {', '.join(lacking)}.",
            "Make it first: deepicd assemble --cohort DIR --traces DIR OUT",
        )
    rows = {
        config: {
            split: sum(parquet_file(path, DATASET[config]).metadata.num_rows for path in paths)
            for split, paths in by_split.items()
        }
        for config, by_split in files.items()
    }
    truths = [
        row["reward_model"]["ground_truth"]
        for paths in files["grpo"].values()
        for path in paths
        for row in pq.read_table(path, columns=["reward_model"]).to_pylist()
    ]
    return Statistics(
        rows=rows,
        files={
            config: {
                split: [path.relative_to(folder).as_posix() for path in paths] for split, paths in by_split.items()
            }
            for config, by_split in files.items()
        },
        codes=len(set(truths)),
        chapters=chapters(truths, origin),
        words=sorted(
            word_count
            for paths in files["traces"].values()
            for path in paths
            for word_count in pq.read_table(path, columns=["words"])["words"].to_pylist()
        ),
    )


def chapters(codes: Sequence[str], origin: Origin) -> dict[int, int | None]:
    """Rows of each of the 22 chapters, small cells suppressed where the rows are credentialed."""
    counted = Counter(Code(code).chapter.number for code in codes)
    every = {chapter.number: counted[chapter.number] for chapter in CHAPTERS}
    return suppressed(every) if origin == "mimic" else dict(every)


def funnel_steps(steps: Sequence[Mapping[str, Any]], origin: Origin) -> list[dict[str, Any]]:
    """The funnel for the card: of credentialed data, steps that lose one to nine rows are joined to their neighbour."""
    if origin != "mimic":
        return [dict(step) for step in steps]
    shown: list[dict[str, Any]] = []
    for step in steps:
        if shown and 0 < shown[-1]["rows"] - step["rows"] < SMALLEST_CELL:
            shown.pop()
        shown.append({**step, "lost": suppressed(step["lost"])})
    return shown
