"""The figures of a model's card, in the manner of the dataset's (cards.figures)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cards.figures import BLUE, ORANGE, PALE, format_thousands, new_figure, save_figure


def draw_losses(path: Path, points: Sequence[tuple[int, float]]) -> None:
    """The loss of training, by step."""
    figure, axes = new_figure(3.0)
    axes.plot([step for step, _ in points], [loss for _, loss in points], color=BLUE, linewidth=1.5)
    axes.set_ylim(bottom=0)
    format_thousands(axes.xaxis)
    axes.set_xlabel("step")
    axes.set_ylabel("loss of the completions")
    axes.set_title("Training loss", loc="left", size=11)
    save_figure(figure, path)


def draw_chapter_f1(path: Path, chapters: Sequence[Mapping[str, Any]], *, samples: bool) -> None:
    """F1 of each chapter, the most frequent first, with its interval; above it how many samples it has (Figure 4)."""
    from matplotlib.figure import Figure

    ordered = sorted(chapters, key=lambda chapter: -(chapter["samples"] or 0)) if samples else list(chapters)
    places, names = range(len(ordered)), [chapter["roman"] for chapter in ordered]
    figure = Figure(figsize=(8.6, 4.6 if samples else 3.0), layout="constrained")
    panels = figure.subplots(2 if samples else 1, 1, sharex=True, squeeze=False)[:, 0]
    if samples:
        panels[0].bar(places, [chapter["samples"] for chapter in ordered], color=PALE, width=0.8)
        panels[0].set_ylabel("test samples")
        format_thousands(panels[0].yaxis)
    axes = panels[-1]
    for place, chapter in zip(places, ordered, strict=True):
        if interval := chapter.get("f1_interval"):
            axes.plot([place, place], [100 * end for end in interval], color=ORANGE, linewidth=2)
    axes.plot(places, [100 * chapter["f1"] for chapter in ordered], "o", color=BLUE, markersize=6)
    axes.set_ylim(0, 105)
    axes.set_xticks(places, names, size=8)
    axes.set_ylabel("F1, %")
    axes.set_xlabel(f"ICD-10-CM chapter{', the most frequent first' if samples else ''}")
    panels[0].set_title("How well each chapter is told", loc="left", size=11)
    save_figure(figure, path)
