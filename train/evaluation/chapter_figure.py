"""DeepICD-R1, Figure 4, of a run of one's own: samples and F1 of each chapter. Same numbers, same bytes.

Told apart by place and shape as well as by colour (Okabe and Ito's palette), so that it can be read without colours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepicd import storage

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#777777"
DPI = 144
SHORT = 44  # characters of a chapter's title


def draw_chapters(path: Path, table: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]] = ()) -> None:
    """Two panels over the same chapters, I at the top: bars of samples, dots of F1 with their intervals.

    `table`: `chapters` of metrics.json; `other`: those of the run it is compared with, as hollow squares, no interval.
    """
    figure = Figure(figsize=(10.4, 6.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
    _samples(left, table)
    if other:
        _scores(right, other, 0.18, color=VERMILION, marker="s", filled=False, label="compared with")
    _scores(right, table, -0.18 if other else 0.0, color=BLUE, marker="o", filled=True, label="this run")
    if other:
        right.legend(loc="lower right", frameon=False, fontsize=8)
    left.set_yticks(range(len(table)), [f"{row['roman']}  {_short(row['title'])}" for row in table], size=8)
    left.set_ylim(len(table) - 0.4, -0.6)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, dpi=DPI, format="png", metadata={"Software": None})


def _samples(axes: Axes, table: Sequence[Mapping[str, Any]]) -> None:
    shown = [row["samples"] or 0 for row in table]
    axes.barh(range(len(table)), shown, color=BLUE, height=0.72)
    for place, row in enumerate(table):
        label = "withheld" if row["samples"] is None else f"{row['samples']:,}"
        axes.annotate(label, (shown[place], place), xytext=(4, 0), textcoords="offset points", va="center", size=8)
    axes.set_xlim(0, max(shown) * 1.2 or 1)
    axes.set_xlabel("samples")
    axes.set_title("Samples by chapter", loc="left", size=11)


def _scores(
    axes: Axes,
    table: Sequence[Mapping[str, Any]],
    shift: float,
    *,
    color: str,
    marker: str,
    filled: bool,
    label: str,
) -> None:
    told = [(place + shift, row) for place, row in enumerate(table) if row["f1"] is not None]
    for place, row in told:
        if row["f1_interval"]:
            axes.hlines(place, *row["f1_interval"], color=color, linewidth=1.4, alpha=0.6)
    places, values = [place for place, _ in told], [row["f1"] for _, row in told]
    axes.plot(
        values, places, marker, color=color, markersize=6, markerfacecolor=color if filled else "white", label=label
    )
    if filled:
        for place, row in told:
            end = max(row["f1"], (row["f1_interval"] or [0, 0])[1])
            axes.annotate(
                f"{row['f1']:.2f}", (end, place), xytext=(6, 0), textcoords="offset points", va="center", size=8
            )
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_xlabel("F1 (line: 95 % interval of this run)")
    axes.set_title("F1 by chapter", loc="left", size=11)


def _short(title: str) -> str:
    return title if len(title) <= SHORT else f"{title[: SHORT - 1].rsplit(' ', 1)[0]} …"
