"""One look for all figures: fonts, colours, sizes, titles. Only what draws imports it: matplotlib is slow to load.

    with open_figure(Path("out/chapters.png"), height=3.6) as figure:
        axes = figure.add_subplot()
        draw_bars(axes, ["Circulatory", "Digestive"], [120, 80], ["120 (60%)", "80 (40%)"])
        set_title(axes, "Circulatory diseases are the largest chapter", "samples by chapter")

A title states the finding, a grey line below it what is drawn, with its unit. Colours are the palette of Okabe and Ito,
safe for colour-blind readers; series also differ in hatch, shape or word, so that figures stay legible in grey. The Hub
shows a card 740 pixels wide: the smallest text has 11 of them there. The same values give the same bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepicd import storage
from deepicd.icd10cm import SHORT_NAMES
from deepicd.small_counts import WITHHELD

BLUE, SKY, ORANGE, VERMILION, GREY, PALE = "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#666666", "#D9D9D9"
WIDTH, DPI = 7.6, 144  # inches, pixels per inch: 1,094 pixels
SMALL, TEXT, TITLE = 8.0, 9.0, 11.5  # points
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": TEXT,
    "axes.titlesize": TITLE,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', ['{BLUE}', '{ORANGE}', '{SKY}', '{VERMILION}'])",
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "hatch.color": "white",
    "lines.linewidth": 1.5,
    "savefig.dpi": DPI,
}


@contextmanager
def open_figure(path: Path, height: float) -> Iterator[Figure]:
    """Yield an empty figure, `height` in inches, and write it without metadata that differs between runs."""
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        with storage.atomic_write(path) as tmp:
            figure.savefig(tmp, format="png", metadata={"Software": None})


def set_title(axes: Axes, finding: str, what: str = "") -> None:
    """Set a title that states the finding, and below it in grey what is drawn."""
    axes.set_title(finding, pad=20 if what else 8)
    if what:
        axes.annotate(what, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", color=GREY)


def draw_bars(axes: Axes, names: Sequence[str], values: Sequence[int | None], labels: Sequence[str]) -> None:
    """Draw horizontal bars from top to bottom with a label at the end of each, and the word for a withheld value."""
    axes.barh(range(len(names)), [value or 0 for value in values], color=BLUE, height=0.72)
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        is_hidden = value is None
        axes.annotate(WITHHELD if is_hidden else label, (value or 0, place), xytext=(4, 0), textcoords="offset points",
                      va="center", size=SMALL, color=GREY if is_hidden else "black",
                      style="italic" if is_hidden else "normal")  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first at the top
    axes.set_xlim(0, max((value or 0 for value in values), default=0) * 1.22 or 1)
    format_thousands(axes.xaxis)


def name_chapter(roman: str, title: str) -> str:
    """Return the number and the short name of a chapter, or the title of a row that is none."""
    return f"{roman}  {SHORT_NAMES.get(roman, title)}"


def describe_f1(chapters: Iterable[tuple[str, float | None]]) -> str:
    """Return the range of F1 over chapters, given by number, as a title."""
    scores = sorted((f1, roman) for roman, f1 in chapters if f1 is not None)
    if not scores:
        return "No chapter has an F1"
    (low, worst), (high, best) = scores[0], scores[-1]
    if low == high:
        return f"F1 is {high:.0%} in each chapter that has one"
    return f"F1 ranges from {low:.0%} ({SHORT_NAMES[worst]}) to {high:.0%} ({SHORT_NAMES[best]})"


def format_thousands(axis: Axis) -> None:
    """Label an axis with a few whole numbers."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
