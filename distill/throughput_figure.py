"""A figure of a run over time: settled rows, and rows per hour. Needs matplotlib (extra `report`).

A process of its own draws it, since matplotlib takes half a second and 60 MiB; a run under a minute has no figure.
"""

import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from deepicd import storage
from deepicd.engines import metrics
from deepicd.engines.metrics import Sample

SHORTEST = 60.0  # seconds of running


def draw_throughput(out: Path, digest: str) -> None:
    """Write OUT/progress/<digest>.png; nothing for a short run, or without matplotlib."""
    series = metrics.read_series(out, digest)
    if len(series) < 3 or series[-1]["seconds"] < SHORTEST or find_spec("matplotlib") is None:
        return
    command = [sys.executable, "-m", "distill.throughput_figure", str(out), digest]
    # a run is finished without it; its error goes to the same stderr
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def write_figure(out: Path, digest: str) -> None:
    """Write the figure in this process."""
    from matplotlib.figure import Figure

    series = metrics.read_series(out, digest)
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


def _compute_rows_per_hour(earlier: Sample, later: Sample) -> float:
    seconds = later["seconds"] - earlier["seconds"]
    return (later["rows"] - earlier["rows"]) / seconds * 3600 if seconds > 0 else 0.0


def _choose_unit(seconds: float) -> tuple[str, int]:
    return ("hours", 3600) if seconds > 7200 else ("minutes", 60) if seconds > 300 else ("seconds", 1)


if __name__ == "__main__":
    write_figure(Path(sys.argv[1]), sys.argv[2])
