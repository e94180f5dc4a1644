"""A figure of a run over time: settled rows, and rows per hour. Needs matplotlib (extra `report`).

A process of its own draws it, since matplotlib takes half a second and 60 MiB; a run under a minute has no figure.
"""

import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

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
    from deepicd.figure_style import BLUE, ORANGE, format_thousands, open_figure, set_title

    series = metrics.read_series(out, digest)
    last = series[-1]
    unit, seconds = _choose_unit(last["seconds"])
    times = [sample["seconds"] / seconds for sample in series]
    with open_figure(out / metrics.FOLDER / f"{digest}.png", 4.6) as figure:
        rows, rate = figure.subplots(2, sharex=True)
        rows.plot(times, [sample["rows"] for sample in series], color=BLUE, label="settled")
        rows.plot(times, [sample["kept"] for sample in series], color=ORANGE, label="kept", linestyle="--")
        rows.set_ylabel("rows")
        rows.legend()
        rate.step(times[1:], [_compute_rows_per_hour(*pair) for pair in pairwise(series)], where="pre", color=BLUE)
        rate.set_ylabel("rows per hour")
        rate.set_ylim(bottom=0)
        rate.set_xlabel(f"{unit} of running, without the time between sessions")
        for axes in (rows, rate):
            format_thousands(axes.yaxis)
        per_hour = _compute_rows_per_hour(series[0], last)
        finding = f"{last['rows']:,} rows settled in {last['seconds'] / seconds:.1f} {unit}: {per_hour:,.0f} per hour"
        set_title(rows, finding, "rows settled and kept, and settled per hour")


def _compute_rows_per_hour(earlier: Sample, later: Sample) -> float:
    seconds = later["seconds"] - earlier["seconds"]
    return (later["rows"] - earlier["rows"]) / seconds * 3600 if seconds > 0 else 0.0


def _choose_unit(seconds: float) -> tuple[str, int]:
    return ("hours", 3600) if seconds > 7200 else ("minutes", 60) if seconds > 300 else ("seconds", 1)


if __name__ == "__main__":
    write_figure(Path(sys.argv[1]), sys.argv[2])
