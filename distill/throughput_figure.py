"""A figure of a run over time: settled rows, and rows per hour. Needs matplotlib (extra `report`)."""

from itertools import pairwise
from pathlib import Path

from deepicd import storage
from deepicd.engines import metrics
from deepicd.engines.metrics import Sample


def draw_throughput(out: Path, digest: str) -> Path | None:
    """Write OUT/progress/<digest>.png; None where there are too few samples, or no matplotlib."""
    series = metrics.read_series(out, digest)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if len(series) < 3:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    rows, rate = figure.subplots(2, sharex=True)
    unit, seconds = _choose_unit(series[-1]["seconds"])
    times = [sample["seconds"] / seconds for sample in series]
    rows.plot(times, [sample["rows"] for sample in series], label="settled")
    rows.plot(times, [sample["kept"] for sample in series], label="kept", linestyle="--")
    rows.set_ylabel("rows")
    rows.legend(frameon=False)
    rate.step(times[1:], [_compute_rows_per_hour(*pair) for pair in pairwise(series)], where="pre")
    rate.set_ylabel("rows per hour")
    rate.set_ylim(bottom=0)
    rate.set_xlabel(f"{unit} of running, without the time between sessions")
    path = out / metrics.FOLDER / f"{digest}.png"
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, format="png", dpi=120)
    return path


def _compute_rows_per_hour(earlier: Sample, later: Sample) -> float:
    seconds = later["seconds"] - earlier["seconds"]
    return (later["rows"] - earlier["rows"]) / seconds * 3600 if seconds > 0 else 0.0


def _choose_unit(seconds: float) -> tuple[str, int]:
    return ("hours", 3600) if seconds > 7200 else ("minutes", 60) if seconds > 300 else ("seconds", 1)
