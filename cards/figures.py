"""Draw the figures of cards from nothing but the values that the card shows. The same values give the same bytes.

Colours are the palette of Okabe and Ito, safe for colour-blind readers, with a hatch or a word beside each so that the
figures stay legible in grey. A withheld count has the word instead of a bar.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cards.dataset_statistics import Bin
from cards.rendering import WITHHELD
from deepicd import storage
from deepicd.evaluation_metrics import ChapterMetrics
from deepicd.icd10cm import CHAPTERS

BLUE, SKY, ORANGE, GREY, PALE = "#0072B2", "#56B4E9", "#E69F00", "#666666", "#D9D9D9"
DPI = 144
TITLE_LENGTH = 46  # characters of a chapter title beside its bar
THIRDS = (("most frequent third", BLUE, ""), ("middle third", SKY, "//"), ("rarest third", ORANGE, ".."))

Rows = Sequence[tuple[str, str, int | None]]
"""Roman numeral and title of a chapter, or of the rare ones together, and its rows; None where withheld."""


def draw_chapter_distribution(path: Path, chapters: Rows, total: int | None) -> None:
    """Draw one bar per chapter, I to XXII from top to bottom, with its share of all samples at its end."""
    figure, axes = new_figure(1.2 + 0.236 * len(chapters))
    names = [f"{roman}  {_shorten(title)}" for roman, title, _ in chapters]
    _draw_bars(axes, names, [rows for *_, rows in chapters], total)
    axes.set_xlabel("samples (all splits)")
    axes.set_title("First diagnoses by ICD-10-CM chapter", loc="left", size=11)
    save_figure(figure, path)


def draw_chapter_spread(path: Path, chapters: Rows) -> None:
    """Draw the chapters from the most frequent down, coloured by the third of the samples in which each begins.

    The order is that of DeepICD-R1, Figure 4. Withheld chapters come last.
    """
    known = sorted(((roman, rows) for roman, _, rows in chapters if rows), key=lambda entry: -entry[1])
    hidden = [roman for roman, _, rows in chapters if rows is None]
    rows = [own for _, own in known]
    before = [reached - own for reached, own in zip(accumulate(rows), rows, strict=True)]
    thirds: list[list[str]] = [[], [], []]
    figure, axes = new_figure(3.6)
    for place, ((roman, own), start) in enumerate(zip(known, before, strict=True)):
        third = min(int(3 * start / sum(rows)), 2)
        thirds[third].append(roman)
        _, colour, hatch = THIRDS[third]
        axes.bar(place, own, color=colour, hatch=hatch, edgecolor="white", width=0.8)
    thirds[2] += hidden
    for place in range(len(known), len(known) + len(hidden)):
        axes.annotate(WITHHELD, (place, 0), xytext=(0, 3), textcoords="offset points", rotation=90, ha="center",
                      size=8, color=GREY)  # fmt: skip
    axes.set_xlim(-0.7, len(known) + len(hidden) - 0.3)
    axes.set_xticks(range(len(known) + len(hidden)), [*(roman for roman, _ in known), *hidden], size=8)
    for (name, colour, hatch), members in zip(THIRDS, thirds, strict=True):
        size = f"{len(members)} chapter{'s' if len(members) != 1 else ''}"
        axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", label=f"{name}: {size}")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    format_thousands(axes.yaxis)
    axes.set_ylabel("samples")
    axes.set_xlabel("ICD-10-CM chapter, from the most frequent down")
    axes.set_title("How the samples spread over the chapters", loc="left", size=11)
    save_figure(figure, path)


def draw_descriptions(path: Path, requested: Mapping[str, int], described: Mapping[str, int]) -> None:
    """Draw requested (pale) and described (blue) codes by chapter, as in DeepICD-R1, Figure 3."""
    figure, axes = new_figure(3.6)
    places = range(len(CHAPTERS))
    names = [str(chapter.number) for chapter in CHAPTERS]
    axes.bar(places, [requested.get(name, 0) for name in names], color=PALE, width=0.8, label="requested")
    axes.bar(places, [described.get(name, 0) for name in names], color=BLUE, width=0.5, label="described")
    axes.set_xticks(places, [chapter.roman for chapter in CHAPTERS], size=8)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    format_thousands(axes.yaxis)
    axes.set_ylabel("codes")
    axes.set_xlabel("ICD-10 chapter")
    axes.set_title("Codes with a description", loc="left", size=11)
    save_figure(figure, path)


def draw_trace_lengths(path: Path, bins: Sequence[Bin], mean: float) -> None:
    """Draw a histogram of words per trace."""
    figure, axes = new_figure(3.2)
    for each in bins:
        axes.bar(
            each.low, each.count, width=each.high - each.low, align="edge", color=BLUE, edgecolor="white", linewidth=0.6
        )
    axes.set_ylim(0, max(each.count for each in bins) * 1.15)  # room for the label
    axes.axvline(mean, color="black", linestyle="--", linewidth=1.2)
    axes.annotate(f"mean {mean:.0f}", (mean, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0),
                  textcoords="offset points", va="top", size=9, color=GREY)  # fmt: skip
    for end, sign in ((bins[0], "<"), (bins[-1], "≥")):
        if end.open:
            edge = end.high if sign == "<" else end.low
            axes.annotate(f"{sign} {edge}", ((end.low + end.high) / 2, end.count), xytext=(0, 3),
                          textcoords="offset points", ha="center", size=8, color=GREY)  # fmt: skip
    format_thousands(axes.yaxis)
    axes.set_xlabel("words per trace")
    axes.set_ylabel("traces")
    axes.set_title("Length of the reasoning traces", loc="left", size=11)
    save_figure(figure, path)


def draw_funnel(path: Path, steps: Sequence[tuple[str, int | None]]) -> None:
    """Draw one bar per step, from all notes to the rows that have a trace."""
    figure, axes = new_figure(0.9 + 0.34 * len(steps))
    first = next((rows for _, rows in steps if rows), None)
    _draw_bars(axes, [name for name, _ in steps], [rows for _, rows in steps], first)
    axes.patches[-1].set_facecolor(ORANGE)
    axes.patches[-1].set_hatch("//")
    axes.patches[-1].set_edgecolor("white")
    axes.set_xlabel("rows left, and their share of all notes")
    axes.set_title("From discharge notes to traces", loc="left", size=11)
    save_figure(figure, path)


def draw_losses(path: Path, points: Sequence[tuple[int, float]]) -> None:
    """Draw the training loss by step."""
    figure, axes = new_figure(3.0)
    axes.plot([step for step, _ in points], [loss for _, loss in points], color=BLUE, linewidth=1.5)
    axes.set_ylim(bottom=0)
    format_thousands(axes.xaxis)
    axes.set_xlabel("step")
    axes.set_ylabel("loss of the completions")
    axes.set_title("Training loss", loc="left", size=11)
    save_figure(figure, path)


def draw_chapter_f1(path: Path, chapters: Sequence[ChapterMetrics], *, samples: bool) -> None:
    """Draw the F1 of each chapter with its interval, most frequent first, below its number of samples (Figure 4)."""
    ordered = sorted(chapters, key=lambda chapter: -(chapter.samples or 0)) if samples else list(chapters)
    places, names = range(len(ordered)), [chapter.roman for chapter in ordered]
    figure = Figure(figsize=(8.6, 4.6 if samples else 3.0), layout="constrained")
    panels = figure.subplots(2 if samples else 1, 1, sharex=True, squeeze=False)[:, 0]
    if samples:
        panels[0].bar(places, [chapter.samples or 0 for chapter in ordered], color=PALE, width=0.8)
        panels[0].set_ylabel("test samples")
        format_thousands(panels[0].yaxis)
    axes = panels[-1]
    for place, chapter in zip(places, ordered, strict=True):
        if interval := chapter.f1_interval:
            axes.plot([place, place], [100 * end for end in interval], color=ORANGE, linewidth=2)
    axes.plot(places, [100 * (chapter.f1 or 0.0) for chapter in ordered], "o", color=BLUE, markersize=6)
    axes.set_ylim(0, 105)
    axes.set_xticks(places, names, size=8)
    axes.set_ylabel("F1, %")
    axes.set_xlabel(f"ICD-10-CM chapter{', the most frequent first' if samples else ''}")
    panels[0].set_title("F1 by chapter", loc="left", size=11)
    save_figure(figure, path)


def _draw_bars(axes: Axes, names: Sequence[str], values: Sequence[int | None], total: int | None) -> None:
    """Draw horizontal bars from top to bottom, with count and share at their ends."""
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
    """Cut a title between two words."""
    return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1].rsplit(' ', 1)[0]} …"


def format_thousands(axis: Axis) -> None:
    """Label an axis with a few whole numbers."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_tick_params(labelsize=9)


def new_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of a card's width."""
    figure = Figure(figsize=(8.6, height), layout="constrained")
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure without metadata that differs between runs."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, dpi=DPI, format="png", metadata={"Software": None})
