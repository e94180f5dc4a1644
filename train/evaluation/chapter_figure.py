"""DeepICD-R1, Figure 4, for your own run: samples and F1 of each chapter. The same numbers give the same bytes.

Series differ in position and shape as well as in color (Okabe and Ito's palette), so that the figure is readable
without colors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from deepicd.evaluation_metrics import ChapterMetrics
from deepicd.figure_style import (
    BLUE,
    GREY,
    SMALL,
    VERMILION,
    describe_f1,
    draw_bars,
    name_chapter,
    open_figure,
    set_title,
)


@dataclass(frozen=True, slots=True)
class Series:
    """How the scores of one run are drawn."""

    label: str
    color: str
    marker: str
    shift: float = 0.0
    is_main: bool = True
    """The main series has filled markers and its values next to them."""


def draw_chapters(path: Path, chapters: Sequence[ChapterMetrics], other: Sequence[ChapterMetrics] = ()) -> None:
    """Draw two panels over the same chapters, I at the top: bars of samples, dots of F1 with their intervals.

    `other`: the chapters of a run to compare with, drawn as hollow squares without intervals.
    """
    names = [name_chapter(row.roman, row.title) for row in chapters]
    samples = [row.samples for row in chapters]
    with open_figure(path, 6.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.3))
        if other:
            _draw_scores(right, other, Series("compared with", VERMILION, "s", shift=0.18, is_main=False))
        _draw_scores(right, chapters, Series("this run", BLUE, "o", shift=-0.18 if other else 0.0))
        draw_bars(left, names, samples, [f"{number or 0:,}" for number in samples])
        left.set_xlabel("samples")
        if other:
            figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2)
        set_title(left, describe_f1([(row.roman, row.f1) for row in chapters]), "test samples and F1 by chapter")


def _draw_scores(axes: Axes, chapters: Sequence[ChapterMetrics], series: Series) -> None:
    points = [
        (row.f1, place + series.shift, row.f1_interval) for place, row in enumerate(chapters) if row.f1 is not None
    ]
    for _, place, interval in points:
        if interval:
            axes.hlines(place, interval[0], interval[1], color=series.color, linewidth=1.4, alpha=0.6)
    axes.plot(
        [f1 for f1, _, _ in points],
        [place for _, place, _ in points],
        series.marker,
        color=series.color,
        markersize=6,
        markerfacecolor=series.color if series.is_main else "white",
        label=series.label,
    )
    if series.is_main:
        for f1, place, interval in points:
            end = max(f1, interval[1] if interval else 0)
            axes.annotate(f"{f1:.2f}", (end, place), xytext=(6, 0), textcoords="offset points", va="center", size=SMALL)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_xlabel("F1 (line: 95 % interval of this run)")
