"""The paper's Figure 3 for one's own harvest and cohort: texts a chapter, and what they explain of its stays."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from deepicd import storage
from deepicd.icd10cm import CHAPTERS
from deepicd.stage_records import CoverageCounts

# One hue from dark to light, the nearer the match the darker; grey for what has no text
COLOURS = {"exact": "#08306B", "5": "#2171B5", "4": "#6BAED6", "3": "#C6DBEF", "none": "#D9D9D9"}
LABELS = {"exact": "the code itself", "5": "5 characters", "4": "4 characters", "3": "3 characters", "none": "no text"}
DPI = 144


def draw(path: Path, counted: CoverageCounts) -> None:
    """Same counts, same bytes. A cell that was withheld does not count for its chapter's 100 %."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    texts, shares = figure.subplots(1, 2, sharey=True)
    places = range(len(CHAPTERS))
    described = [counted.described[str(chapter.number)] for chapter in CHAPTERS]
    texts.barh(places, described, color=COLOURS["5"], height=0.72)
    for place, number in zip(places, described, strict=True):
        texts.annotate(f"{number:,}", (number, place), xytext=(4, 0), textcoords="offset points", va="center", size=8)
    texts.set_yticks(places, [chapter.roman for chapter in CHAPTERS], size=8)
    texts.invert_yaxis()
    texts.set_xlim(0, max(described) * 1.16 or 1)
    texts.set_title("ICD-10-GM codes with a text", loc="left", size=11)
    left = [0.0] * len(CHAPTERS)
    for level, label in LABELS.items():
        widths = [_share(counted.chapters[str(chapter.number)], level) for chapter in CHAPTERS]
        shares.barh(places, widths, left=left, color=COLOURS[level], height=0.72, label=label)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    shares.set_xlim(0, 100)
    shares.set_xlabel("% of the chapter's stays")
    shares.set_title("First diagnoses by level of the match", loc="left", size=11)
    figure.legend(*shares.get_legend_handles_labels(), loc="outside lower right", ncols=5, frameon=False, fontsize=8)
    for axes in (texts, shares):
        axes.spines[["top", "right"]].set_visible(False)
    with storage.atomic_write(path) as tmp:
        figure.savefig(tmp, dpi=DPI, format="png", metadata={"Software": None})


def _share(cells: Mapping[str, int | None], level: str) -> float:
    """Per cent of what is shown; 0 for a chapter without stays and for a cell that is withheld."""
    return 100 * (cells[level] or 0) / (sum(filter(None, cells.values())) or 1)
