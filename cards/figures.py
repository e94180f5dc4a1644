"""The figures of a dataset's card, drawn from the counts that the card shows and nothing else; same counts, same bytes.

Okabe and Ito's palette, which every kind of colour vision tells apart, with a hatch or a word beside each colour, so
that they are legible in grey too. A withheld count has no bar but the word.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cards.dataset_statistics import Bin
from deepicd import storage
from deepicd.icd10cm import CHAPTERS

BLUE, SKY, ORANGE, GREY, PALE = "#0072B2", "#56B4E9", "#E69F00", "#666666", "#D9D9D9"
DPI = 144
SHORT = 46  # characters of a chapter title beside its bar
WITHHELD = "withheld"
THIRDS = (("most frequent third", BLUE, ""), ("middle third", SKY, "//"), ("rarest third", ORANGE, ".."))

Rows = Mapping[int, int | None]
"""Chapter → rows; None where withheld."""


def draw_chapter_distribution(path: Path, chapters: Rows, total: int | None) -> None:
    """A bar a chapter, I to XXII from top to bottom, its share of all samples written at its end."""
    figure, axes = new_figure(6.4)
    shown = [chapters[chapter.number] for chapter in CHAPTERS]
    _draw_bars(axes, [f"{chapter.roman}  {_shorten(chapter.title)}" for chapter in CHAPTERS], shown, total)
    axes.set_xlabel("samples (all splits)")
    axes.set_title("First diagnoses by ICD-10-CM chapter", loc="left", size=11)
    save_figure(figure, path)


def draw_chapter_spread(path: Path, chapters: Rows) -> list[list[int]]:
    """Chapters from the most frequent down, each in the third of the samples it falls into; chapters by third.

    As DeepICD-R1, Figure 4, orders them. Withheld chapters stand last: together they are rarer than the others.
    """
    known = sorted((number for number, rows in chapters.items() if rows), key=lambda number: -(chapters[number] or 0))
    hidden = [number for number, rows in chapters.items() if rows is None]
    rows = [chapters[number] or 0 for number in known]
    before = [reached - own for reached, own in zip(accumulate(rows), rows, strict=True)]
    thirds: list[list[int]] = [[], [], []]
    figure, axes = new_figure(3.6)
    for place, (number, start) in enumerate(zip(known, before, strict=True)):
        third = min(int(3 * start / sum(rows)), 2)
        thirds[third].append(number)
        _, colour, hatch = THIRDS[third]
        axes.bar(place, chapters[number] or 0, color=colour, hatch=hatch, edgecolor="white", width=0.8)
    thirds[2] += hidden
    for place in range(len(known), len(known) + len(hidden)):
        axes.annotate(WITHHELD, (place, 0), xytext=(0, 3), textcoords="offset points", rotation=90, ha="center",
                      size=8, color=GREY)  # fmt: skip
    axes.set_xlim(-0.7, len(known) + len(hidden) - 0.3)
    romans = {chapter.number: chapter.roman for chapter in CHAPTERS}
    axes.set_xticks(range(len(known) + len(hidden)), [romans[number] for number in known + hidden], size=8)
    for (name, colour, hatch), of in zip(THIRDS, thirds, strict=True):
        several = f"{len(of)} chapter{'s' if len(of) != 1 else ''}"
        axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", label=f"{name}: {several}")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    format_thousands(axes.yaxis)
    axes.set_ylabel("samples")
    axes.set_xlabel("ICD-10-CM chapter, from the most frequent down")
    axes.set_title("How the samples spread over the chapters", loc="left", size=11)
    save_figure(figure, path)
    return thirds


def draw_descriptions(path: Path, asked: Mapping[str, int], described: Mapping[str, int]) -> None:
    """Codes asked for (pale) and found described (blue) by chapter: as DeepICD-R1, Figure 3."""
    figure, axes = new_figure(3.6)
    places = range(len(CHAPTERS))
    names = [str(chapter.number) for chapter in CHAPTERS]
    axes.bar(places, [asked.get(name, 0) for name in names], color=PALE, width=0.8, label="asked for")
    axes.bar(places, [described.get(name, 0) for name in names], color=BLUE, width=0.5, label="described")
    axes.set_xticks(places, [chapter.roman for chapter in CHAPTERS], size=8)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    format_thousands(axes.yaxis)
    axes.set_ylabel("codes")
    axes.set_xlabel("ICD-10 chapter")
    axes.set_title("Codes with a description", loc="left", size=11)
    save_figure(figure, path)


def draw_trace_lengths(path: Path, bins: Sequence[Bin], mean: float) -> None:
    """A histogram of words a trace."""
    figure, axes = new_figure(3.2)
    for one in bins:
        axes.bar(
            one.low, one.count, width=one.high - one.low, align="edge", color=BLUE, edgecolor="white", linewidth=0.6
        )
    axes.set_ylim(0, max(one.count for one in bins) * 1.15)  # room for the label
    axes.axvline(mean, color="black", linestyle="--", linewidth=1.2)
    axes.annotate(f"mean {mean:.0f}", (mean, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0),
                  textcoords="offset points", va="top", size=9, color=GREY)  # fmt: skip
    for one, sign in ((bins[0], "<"), (bins[-1], "≥")):
        if one.open:
            edge = one.high if sign == "<" else one.low
            axes.annotate(f"{sign} {edge}", ((one.low + one.high) / 2, one.count), xytext=(0, 3),
                          textcoords="offset points", ha="center", size=8, color=GREY)  # fmt: skip
    format_thousands(axes.yaxis)
    axes.set_xlabel("words a trace")
    axes.set_ylabel("traces")
    axes.set_title("Length of the reasoning traces", loc="left", size=11)
    save_figure(figure, path)


def draw_funnel(path: Path, steps: Sequence[tuple[str, int | None]]) -> None:
    """A bar a step, from all notes to the rows that have a trace."""
    figure, axes = new_figure(0.9 + 0.34 * len(steps))
    first = next((rows for _, rows in steps if rows), None)
    _draw_bars(axes, [name for name, _ in steps], [rows for _, rows in steps], first)
    axes.patches[-1].set_facecolor(ORANGE)
    axes.patches[-1].set_hatch("//")
    axes.patches[-1].set_edgecolor("white")
    axes.set_xlabel("rows left, and their share of all notes")
    axes.set_title("From discharge notes to traces", loc="left", size=11)
    save_figure(figure, path)


def _draw_bars(axes: Axes, names: Sequence[str], values: Sequence[int | None], total: int | None) -> None:
    """Horizontal bars from top to bottom, with count and share at their ends."""
    places = range(len(names))
    axes.barh(places, [value or 0 for value in values], color=BLUE, height=0.72)
    for place, value in enumerate(values):
        share = f" ({value / total:.1%})" if value and total else ""
        axes.annotate(WITHHELD if value is None else f"{value:,}{share}", (value or 0, place), xytext=(4, 0),
                      textcoords="offset points", va="center", size=8, color=GREY if value is None else "black",
                      style="italic" if value is None else "normal")  # fmt: skip
    axes.set_yticks(places, names, size=8)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first at the top
    axes.set_xlim(0, max(value or 0 for value in values) * 1.22 or 1)
    format_thousands(axes.xaxis)


def _shorten(title: str) -> str:
    return title if len(title) <= SHORT else f"{title[: SHORT - 1].rsplit(' ', 1)[0]} …"


def format_thousands(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_tick_params(labelsize=9)


def new_figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.6, height), layout="constrained")
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, dpi=DPI, format="png", metadata={"Software": None})
