"""The audit's figure: for each signal, the share of notes that have it, by extraction."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from builders.cohort.leakage import ANY, EXTRACTIONS, SIGNALS
from deepicd import storage

# Okabe and Ito's palette: told apart by every kind of colour vision; hatching tells them apart in print
STYLES = {"default": ("#0072B2", ""), "paper": ("#56B4E9", "//"), "published": ("#E69F00", "xx")}
MEANING = {
    "any signal": "any signal",
    "title": "its title",
    "synonym": "a synonym",
    "code": "its code",
    "outcome": "words of the\nstay's end",
    "course": "a sentence of the\nhospital course",
}


def draw(path: Path, leakage: Mapping[str, Mapping[str, Mapping[str, int]]], *, smallest: int) -> None:
    """Counts under `smallest` are drawn as none."""
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    columns = ["any signal", *SIGNALS]
    width = 0.8 / len(leakage)
    for number, (extraction, sections) in enumerate(leakage.items()):
        whole = sections.get(ANY, {"notes": 0})
        shown = [count if (count := whole.get(column, 0)) >= smallest else 0 for column in columns]
        shares = [count / (whole["notes"] or 1) for count in shown]
        places = [place + (number - (len(leakage) - 1) / 2) * width for place in range(len(columns))]
        color, hatch = STYLES[extraction]
        bars = axes.bar(
            places, shares, width, color=color, hatch=hatch, edgecolor="white", label=EXTRACTIONS[extraction]
        )
        axes.bar_label(bars, [f"{share:.1%}" for share in shares], size=7, padding=2)
    axes.set_xticks(range(len(columns)), [MEANING[column] for column in columns], size=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("share of admission notes")
    axes.margins(y=0.12)
    axes.set_title("Admission notes that may give their first diagnosis away by …", loc="left", size=11)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, dpi=144, format="png", metadata={"Software": None})
