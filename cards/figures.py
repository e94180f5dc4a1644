"""Draw the figures of cards from nothing but the values that the card shows, in the style of deepicd.figure_style.

A withheld count has the word instead of a bar, and no title is made of it.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes

from cards.dataset_statistics import Bin
from deepicd.evaluation_metrics import ChapterMetrics
from deepicd.figure_style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    SKY,
    SMALL,
    describe_f1,
    draw_bars,
    format_thousands,
    name_chapter,
    open_figure,
    set_title,
)
from deepicd.icd10cm import CHAPTERS, SHORT_NAMES
from deepicd.small_counts import WITHHELD

THIRDS = (("first third", BLUE, ""), ("second third", SKY, "//"), ("last third", ORANGE, ".."))

Rows = Sequence[tuple[str, str, int | None]]
"""Roman numeral and title of a chapter, or of the rare ones together, and its rows; None where withheld."""
Steps = Sequence[tuple[str, int | None, Mapping[str, int | None]]]
"""A step of a funnel, the rows left after it, and the reason → rows lost at it; None where withheld."""


def draw_chapter_distribution(path: Path, chapters: Rows, total: int | None) -> None:
    """Draw one bar per chapter, I to XXII from top to bottom, with its share of all samples at its end."""
    values = [rows for *_, rows in chapters]
    known = [(rows, roman) for roman, _, rows in chapters if rows and roman in SHORT_NAMES]
    finding = "First diagnoses by chapter"
    if known and total:
        rows, roman = max(known)
        finding = f"{rows / total:.0%} of the first diagnoses are in one chapter, {SHORT_NAMES[roman]}"
    with open_figure(path, 1.2 + 0.24 * len(chapters)) as figure:
        axes = figure.add_subplot()
        names = [name_chapter(roman, title) for roman, title, _ in chapters]
        draw_bars(axes, names, values, [_format_share(rows, total) for rows in values])
        set_title(axes, finding, "samples of all splits by ICD-10-CM chapter, and their share")


def draw_chapter_spread(path: Path, chapters: Rows) -> None:
    """Draw the chapters from the most frequent down, coloured by the third of the samples in which each begins.

    The order is that of DeepICD-R1, Figure 4. Withheld chapters come last.
    """
    known = sorted(((roman, rows) for roman, _, rows in chapters if rows), key=lambda entry: -entry[1])
    hidden = [roman for roman, _, rows in chapters if rows is None]
    rows = [own for _, own in known]
    before = [reached - own for reached, own in zip(accumulate(rows), rows, strict=True)]
    places: list[list[int]] = [[], [], []]
    for place, start in enumerate(before):
        places[min(int(3 * start / sum(rows)), 2)].append(place)
    sizes = [len(places[0]), len(places[1]), len(places[2]) + len(hidden)]
    with open_figure(path, 3.4) as figure:
        axes = figure.add_subplot()
        for (name, colour, hatch), members, size in zip(THIRDS, places, sizes, strict=True):
            heights = [rows[place] for place in members]
            label = f"{name} of the samples: {_count(size, 'chapter')}"
            axes.bar(members, heights, color=colour, hatch=hatch, edgecolor="white", width=0.8, label=label)
        for place in range(len(known), len(known) + len(hidden)):
            axes.annotate(WITHHELD, (place, 0), xytext=(0, 3), textcoords="offset points", rotation=90, ha="center",
                          size=SMALL, color=GREY)  # fmt: skip
        axes.set_xlim(-0.7, len(known) + len(hidden) - 0.3)
        axes.set_xticks(range(len(known) + len(hidden)), [*(roman for roman, _ in known), *hidden])
        axes.legend(loc="upper right")
        format_thousands(axes.yaxis)
        axes.set_xlabel("ICD-10-CM chapter, the most frequent first")
        verb = "holds" if sizes[0] == 1 else "hold"
        finding = f"{_count(sizes[0], 'chapter')} {verb} the first third of the samples, {sizes[2]} the last"
        set_title(axes, finding, "samples by chapter")


def draw_code_frequency(path: Path, codes: Sequence[tuple[str, int | None]]) -> None:
    """Draw the number of codes that have 1, 2 to 9, … samples: the long tail."""
    values = [number for _, number in codes]
    total = None if None in values else sum(filter(None, values))
    finding = "Codes by their number of samples"
    if total and (rare := values[0]):
        finding = f"{rare / total:.0%} of {total:,} codes have one sample"
    with open_figure(path, 0.9 + 0.3 * len(codes)) as figure:
        axes = figure.add_subplot()
        names = [f"{name} sample{'s' * (name != '1')}" for name, _ in codes]
        draw_bars(axes, names, values, [_format_share(number, total) for number in values])
        set_title(axes, finding, "ICD-10-CM codes by their number of samples, and their share")


def draw_descriptions(path: Path, requested: Mapping[str, int], described: Mapping[str, int]) -> None:
    """Draw requested (pale) and described (blue) codes by chapter, as in DeepICD-R1, Figure 3."""
    places, names = range(len(CHAPTERS)), [str(chapter.number) for chapter in CHAPTERS]
    with open_figure(path, 3.4) as figure:
        axes = figure.add_subplot()
        axes.bar(places, [requested.get(name, 0) for name in names], color=PALE, width=0.8, label="requested")
        axes.bar(places, [described.get(name, 0) for name in names], color=BLUE, width=0.5, label="described")
        axes.set_xticks(places, [chapter.roman for chapter in CHAPTERS])
        axes.legend(loc="upper left")
        format_thousands(axes.yaxis)
        axes.set_xlabel("ICD-10 chapter")
        all_requested = sum(requested.values())
        share = sum(described.values()) / (all_requested or 1)
        set_title(axes, f"{share:.0%} of {_count(all_requested, 'code')} have a description", "codes by chapter")


def draw_trace_lengths(path: Path, bins: Sequence[Bin], mean: float) -> None:
    """Draw a histogram of words per trace."""
    with open_figure(path, 3.0) as figure:
        axes = figure.add_subplot()
        for each in bins:
            axes.bar(each.low, each.count, width=each.high - each.low, align="edge", color=BLUE, edgecolor="white",
                     linewidth=0.6)  # fmt: skip
        axes.set_ylim(0, max(each.count for each in bins) * 1.15)  # room for the label
        axes.axvline(mean, color="black", linestyle="--", linewidth=1.2)
        axes.annotate(f"mean {mean:.0f}", (mean, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0),
                      textcoords="offset points", va="top", size=SMALL, color=GREY)  # fmt: skip
        for end, sign in ((bins[0], "<"), (bins[-1], "≥")):
            if end.open:
                edge = end.high if sign == "<" else end.low
                axes.annotate(f"{sign} {edge}", ((end.low + end.high) / 2, end.count), xytext=(0, 3),
                              textcoords="offset points", ha="center", size=SMALL, color=GREY)  # fmt: skip
        format_thousands(axes.yaxis)
        axes.set_xlabel("words per trace")
        set_title(axes, f"A trace has {mean:.0f} words on average", "kept traces by their number of words")


def draw_funnel(path: Path, steps: Steps) -> None:
    """Draw the rows left after each step in blue, those lost at it hatched, with the reasons below the bar."""
    names, values = [name for name, *_ in steps], [rows for _, rows, _ in steps]
    first = next((rows for rows in values if rows), None)
    finding = "From discharge notes to traces"
    if values[0] and values[-1] is not None:
        finding = f"{values[-1]:,} of {values[0]:,} notes have a trace ({values[-1] / values[0]:.0%})"
    with open_figure(path, 1.0 + 0.5 * len(steps)) as figure:
        axes = figure.add_subplot()
        draw_bars(axes, names, values, [""] * len(steps))
        before = values[0]
        for place, (_, rows, lost) in enumerate(steps):
            if rows is not None:
                _draw_step(axes, place, (rows, before or rows), _format_share(rows, first))
            if lost:
                reasons = " · ".join(f"{reason} {WITHHELD if n is None else f'{n:,}'}" for reason, n in lost.items())
                axes.annotate(f"lost: {reasons}", (0, place + 0.36), xytext=(1, -5.5), textcoords="offset points",
                              va="center", size=SMALL - 1, color=GREY)  # fmt: skip
            before = rows
        axes.set_ylim(len(steps) - 0.2, -0.6)
        set_title(axes, finding, "notes left after each step, with their share; hatched: lost at the step")


def _draw_step(axes: Axes, place: int, rows: tuple[int, int], label: str) -> None:
    """Draw what a step lost beyond what it left, and its label behind both."""
    left, before = rows
    axes.barh(place, max(0, before - left), left=left, color=PALE, hatch="//", height=0.72)
    axes.annotate(label, (max(left, before), place), xytext=(4, 0), textcoords="offset points", va="center", size=SMALL)


def draw_losses(path: Path, points: Sequence[tuple[int, float]]) -> None:
    """Draw the training loss by step."""
    first, last = points[0][1], points[-1][1]
    with open_figure(path, 3.0) as figure:
        axes = figure.add_subplot()
        axes.plot([step for step, _ in points], [loss for _, loss in points], color=BLUE)
        axes.set_ylim(bottom=0)
        format_thousands(axes.xaxis)
        axes.set_xlabel("step")
        verb = "falls" if last < first else "does not fall:"
        set_title(axes, f"The training loss {verb} from {first:.2f} to {last:.2f}", "loss of the completions by step")


def draw_chapter_f1(path: Path, chapters: Sequence[ChapterMetrics], *, samples: bool) -> None:
    """Draw the F1 of each chapter with its interval, most frequent first, below its number of samples (Figure 4)."""
    ordered = sorted(chapters, key=lambda chapter: -(chapter.samples or 0)) if samples else list(chapters)
    places, names = range(len(ordered)), [chapter.roman for chapter in ordered]
    with open_figure(path, 4.6 if samples else 3.0) as figure:
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
        axes.set_xticks(places, names)
        axes.set_ylabel("F1, %")
        axes.set_xlabel(f"ICD-10-CM chapter{', the most frequent first' if samples else ''}")
        set_title(
            panels[0],
            describe_f1([(chapter.roman, chapter.f1) for chapter in ordered]),
            "F1 by chapter; line: 95% interval",
        )


def _format_share(value: int | None, total: int | None) -> str:
    share = f" ({value / total:.1%})" if value and total else ""
    return WITHHELD if value is None else f"{value:,}{share}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
