"""A figure of a run over time: rows settled, and rows an hour. Drawn where matplotlib is installed (extra `report`)."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.engines import metrics


def draw(out: Path, digest: str) -> Path | None:
    """OUT/progress/<digest>.png; None where there is nothing to draw, or nothing to draw it with."""
    samples = metrics.read_series(out, digest)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if len(samples) < 3:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    rows, rate = figure.subplots(2, sharex=True)
    unit, seconds = _unit(samples[-1]["seconds"])
    at = [sample["seconds"] / seconds for sample in samples]
    rows.plot(at, [sample["rows"] for sample in samples], label="settled")
    rows.plot(at, [sample["kept"] for sample in samples], label="kept", linestyle="--")
    rows.set_ylabel("rows")
    rows.legend(frameon=False)
    rate.step(at[1:], [_rate(*pair) for pair in pairwise(samples)], where="pre")
    rate.set_ylabel("rows an hour")
    rate.set_ylim(bottom=0)
    rate.set_xlabel(f"{unit} at work, pauses between sessions left out")
    path = out / metrics.FOLDER / f"{digest}.png"
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, format="png", dpi=120)
    return path


def _rate(one: dict[str, Any], other: dict[str, Any]) -> float:
    seconds = other["seconds"] - one["seconds"]
    return (other["rows"] - one["rows"]) / seconds * 3600 if seconds > 0 else 0.0


def _unit(seconds: float) -> tuple[str, int]:
    return ("hours", 3600) if seconds > 7200 else ("minutes", 60) if seconds > 300 else ("seconds", 1)
