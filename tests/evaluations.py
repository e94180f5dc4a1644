"""A small dataset folder to evaluate on, and what an evaluation says."""

import json
from pathlib import Path
from typing import Any

from cohorts import write_cohort

from builders.dataset.assemble import assemble
from deepicd.storage import Origin
from distill import run
from distill.recipe import Recipe

CODES = ("I214", "I2510", "J189", "E1165")


def dataset(folder: Path, origin: Origin = "synthetic", rows: int = 100) -> Path:
    """A fifth of the rows is in its test split."""
    cohort = write_cohort(folder / "cohort", rows, origin, CODES)
    run.distill(cohort, folder / "traces", Recipe(name="test", engine="rehearsal", model="rehearsal"))
    assemble(cohort, folder / "traces", folder / "dataset")
    return folder / "dataset"


def metrics(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())
