"""A small dataset folder to evaluate on, and the metrics of an evaluation."""

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
    run.distill(cohort, folder / "traces", Recipe(name="test", engine="rehearsal", model="rehearsal"), rehearse=True)
    assemble(cohort, folder / "traces", folder / "dataset")
    return folder / "dataset"


LEVEL = {
    "macro_precision": 0.5, "macro_recall": 0.5, "macro_f1": 0.5, "accuracy": 0.5, "classes": 3, "interval": {},
}  # fmt: skip


def build_metrics(origin: Origin, **changes: Any) -> dict[str, Any]:
    """Return a complete metrics.json."""
    return {
        "chapter": LEVEL, "category": LEVEL, "full": LEVEL, "rows": 246, "origin": origin, "averaging": "truth",
        "intervals": {"patients": 246, "confidence": 0.95, "missing": {}}, "conventions": {}, "chapters": [],
        "terciles": None, "prefix_depth": {"mean": None, "mean_share": None, "rows": {}},
        "answers": {"predict_a_code": None, "problems": {}, "nil": {}}, **changes,
    }  # fmt: skip


def metrics(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())
