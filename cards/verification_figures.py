"""Draw what a verification found, from nothing but the values that the card shows."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from deepicd.figure_style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    SMALL,
    draw_bars,
    name_chapter,
    open_figure,
    set_title,
)
from deepicd.icd10cm import SHORT_NAMES
from deepicd.small_counts import WITHHELD

LOOKS = {"confirmed": (BLUE, ""), "refuted": (ORANGE, "//"), "untouched": (PALE, "")}

Kinds = Sequence[tuple[str, Mapping[str, int | None]]]
Lifts = Sequence[tuple[str, str, float | None]]
Steps = Sequence[tuple[str, int | None]]


def draw(folder: Path, names: Collection[str], kinds: Kinds, lifts: Lifts, steps: Steps) -> None:
    """Draw the named figures."""
    if "borne_out" in names:
        draw_borne_out(folder / "borne_out.png", kinds)
    if "lift" in names:
        draw_lift(folder / "lift.png", lifts)
    if "selection" in names:
        draw_selection(folder / "selection.png", steps)


def draw_borne_out(path: Path, kinds: Kinds) -> None:
    """Draw the share of each verdict among the expectations of a category, none where a count is withheld."""
    finding = "What the stays bear out"
    known = [counts for _, counts in kinds if None not in counts.values()]
    decided = sum((counts["confirmed"] or 0) + (counts["refuted"] or 0) for counts in known)
    if decided and len(known) == len(kinds):
        confirmed = sum(counts["confirmed"] or 0 for counts in known)
        finding = f"{confirmed / decided:.0%} of the expectations that the stays decide are borne out"
    with open_figure(path, 1.5 + 0.34 * len(kinds)) as figure:
        axes = figure.add_subplot()
        for place, (_, counts) in enumerate(kinds):
            total, left = counts["all"], 0.0
            if None in counts.values() or not total:
                axes.annotate(WITHHELD, (0, place), xytext=(4, 0), textcoords="offset points", va="center", size=SMALL,
                              color=GREY, style="italic")  # fmt: skip
                continue
            for verdict, (colour, hatch) in LOOKS.items():
                share = 100 * (counts[verdict] or 0) / total
                axes.barh(place, share, left=left, color=colour, hatch=hatch, height=0.72)
                left += share
            axes.annotate(
                f"{total:,}", (100, place), xytext=(4, 0), textcoords="offset points", va="center", size=SMALL
            )
        for verdict, (colour, hatch) in LOOKS.items():
            axes.barh(0, 0, color=colour, hatch=hatch, label=verdict)
        axes.set_yticks(range(len(kinds)), [category for category, _ in kinds])
        axes.set_ylim(len(kinds) - 0.4, -0.6)
        axes.set_xlim(0, 108)
        axes.set_xlabel("share of the expectations, %")
        figure.legend(loc="outside lower right", ncols=len(LOOKS))
        set_title(axes, finding, "expectations of the traces by what they name; their number at the end of each bar")


def draw_lift(path: Path, lifts: Lifts) -> None:
    """Draw the mean lift of each chapter: what the traces add to what the notes alone give."""
    known = [(lift, roman) for roman, _, lift in lifts if lift is not None]
    finding = "What traces add to their notes"
    if known:
        most, roman = max(known)
        finding = f"Traces add most to their notes in {SHORT_NAMES.get(roman, 'rare chapters')} ({most:+.1f})"
    with open_figure(path, 1.2 + 0.26 * len(lifts)) as figure:
        axes = figure.add_subplot()
        for place, (_, _, lift) in enumerate(lifts):
            axes.barh(place, lift or 0, color=BLUE if (lift or 0) >= 0 else ORANGE, height=0.72)
            text, below = (WITHHELD, False) if lift is None else (f"{lift:+.1f}", lift < 0)
            axes.annotate(text, (lift or 0, place), xytext=(-4 if below else 4, 0), textcoords="offset points",
                          ha="right" if below else "left", va="center", size=SMALL,
                          color=GREY if lift is None else "black")  # fmt: skip
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(range(len(lifts)), [name_chapter(roman, title) for roman, title, _ in lifts])
        axes.set_ylim(len(lifts) - 0.4, -0.6)
        low, high = min(0.0, *(lift for lift, _ in known), 0.0), max(0.5, *(lift for lift, _ in known), 0.5)
        axes.set_xlim(low - 0.12 * (high - low) * (low < 0), high * 1.2)
        axes.set_xlabel("mean lift, in levels")
        what = "level that the trace alone leads to, less that of the note alone (0 another chapter … 3 the code)"
        set_title(axes, finding, what)


def draw_selection(path: Path, steps: Steps) -> None:
    """Draw how many completions became traces of the dataset."""
    values = [number for _, number in steps]
    first, last = values[0], values[-1]
    finding = "From completions to the dataset"
    if first and last is not None:
        finding = f"{last / first:.0%} of the completions are in the dataset"
    labels = [f"{number or 0:,}" + (f" ({(number or 0) / first:.0%})" if first else "") for number in values]
    with open_figure(path, 1.0 + 0.36 * len(steps)) as figure:
        axes = figure.add_subplot()
        draw_bars(axes, [name for name, _ in steps], values, labels)
        set_title(axes, finding, "completions of the teacher left after each step, with their share")
