"""The card's figures, drawn from counts alone: blue on white, legible without colour; same counts, same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepicd import store
from deepicd.icd10cm import CHAPTERS

BLUE, GREY = "#0072B2", "#777777"  # Okabe and Ito's palette: told apart by every kind of colour vision
DPI = 144
SHORT = 46  # characters of a chapter title beside its bar


def chapter_distribution(path: Path, chapters: Mapping[int, int | None], total: int) -> None:
    """A bar a chapter, I to XXII from top to bottom, its share of all samples (`total`) written at its end."""
    figure = Figure(figsize=(8.6, 6.4), layout="constrained")
    axes = figure.add_subplot()
    shown = [chapters[chapter.number] or 0 for chapter in CHAPTERS]
    places = range(len(CHAPTERS))
    axes.barh(places, shown, color=BLUE, height=0.72)
    for place, chapter in enumerate(CHAPTERS):
        count = chapters[chapter.number]
        label = "withheld" if count is None else f"{count:,} ({count / total:.1%})" if count else "0"
        axes.annotate(label, (count or 0, place), xytext=(4, 0), textcoords="offset points", va="center", size=8)
    axes.set_yticks(places, [f"{chapter.roman}  {_short(chapter.title)}" for chapter in CHAPTERS], size=8)
    axes.set_ylim(len(CHAPTERS) - 0.4, -0.6)  # I at the top
    axes.set_xlim(0, max(shown) * 1.16 or 1)
    axes.set_xlabel("samples (all splits)")
    axes.set_title("First diagnoses by ICD-10-CM chapter", loc="left", size=11)
    _finish(figure, path)


def trace_lengths(path: Path, words: Sequence[int], *, smallest_bin: int) -> None:
    """A histogram of words a trace; bins of fewer than `smallest_bin` traces are left empty."""
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    heights, edges = np.histogram(words, bins=30)
    axes.stairs(np.where(heights >= smallest_bin, heights, 0), edges, fill=True, color=BLUE)
    axes.set_ylim(0, max(heights) * 1.15)  # room for the label
    mean = float(np.mean(words))
    axes.axvline(mean, color=GREY, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"mean {mean:.0f}", (mean, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0),
        textcoords="offset points", va="top", size=9, color=GREY,
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("words a trace")
    axes.set_ylabel("traces")
    axes.set_title("Length of the reasoning traces", loc="left", size=11)
    _finish(figure, path)


def _short(title: str) -> str:
    return title if len(title) <= SHORT else f"{title[: SHORT - 1].rsplit(' ', 1)[0]} …"


def _finish(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with store.atomic(path) as tmp:
        figure.savefig(tmp, dpi=DPI, format="png", metadata={"Software": None})
