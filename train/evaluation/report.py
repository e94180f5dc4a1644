"""An evaluation in words and tables: report.md, rendered from metrics.json and the run's record, never typed."""

from collections.abc import Iterator, Mapping
from typing import Any

from train.evaluation.bootstrap import GROUPS
from train.evaluation.metrics import LEVELS

CONVENTIONS = {
    "truth": "the classes that occur in the truth; NIL is a wrong prediction and no class",
    "union": "the classes that occur in the truth or among the predictions, NIL too",
    "vocabulary": "every class of the dataset and, below chapter level, NIL",
}
LEVEL_NAMES = {"chapter": "chapter", "category": "category (3 characters)", "full": "full code"}


WITHHELD_MEAN = "The mean is withheld: a count below would follow from it."


def render_report(name: str, found: Mapping[str, Any]) -> str:
    """The Markdown of a run called `name`."""
    return "\n".join(_lines(name, found)) + "\n"


def _lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {name}"
    yield ""
    yield f"{found['rows']:,} notes. Means are over {CONVENTIONS[found['averaging']]}."
    if found["bootstrap"]["resamples"]:
        yield (
            f"In brackets: {found['bootstrap']['confidence']:.0%} intervals of {found['bootstrap']['resamples']:,}"
            f" bootstrap samples of the notes (seed {found['bootstrap']['seed']})."
        )
    yield ""
    yield "| level | classes | macro precision | macro recall | macro F1 | accuracy |"
    yield "|---|---:|---:|---:|---:|---:|"
    for level in LEVELS:
        of, near = found[level], found[level]["interval"]
        cells = [
            format_percent(of[metric], near[metric])
            for metric in ("macro_precision", "macro_recall", "macro_f1", "accuracy")
        ]
        yield f"| {LEVEL_NAMES[level]} | {of['classes']:,} | {' | '.join(cells)} |"
    yield from _conventions(found)
    yield from _answers(found)
    yield from _depth(found)
    yield from _chapters(found)
    yield from _terciles(found)
    yield from _comparison(found)


def format_percent(value: float | None, near: Any = None) -> str:
    """
    >>> format_percent(0.5431, [0.52, 0.561]), format_percent(None)
    ('54.3 [52.0, 56.1]', 'withheld')
    """
    if value is None:
        return "withheld"
    return f"{100 * value:.1f}" + (f" [{100 * near[0]:.1f}, {100 * near[1]:.1f}]" if near else "")


def _count(value: int | None) -> str:
    return "withheld" if value is None else f"{value:,}"


def _conventions(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## The same by other conventions", "")
    yield "Macro F1 (classes), in per cent. Figures are comparable under one convention only."
    yield from ("", "| mean over | chapter | category | full code |", "|---|---:|---:|---:|")
    for averaging, levels in found["conventions"].items():
        cells = [f"{format_percent(levels[level]['macro_f1'])} ({levels[level]['classes']:,})" for level in LEVELS]
        yield f"| {CONVENTIONS[averaging]} | {' | '.join(cells)} |"


def _answers(found: Mapping[str, Any]) -> Iterator[str]:
    answers = found["answers"]
    yield from ("", "## Answers", "")
    predict = answers["predict_a_code"]
    some = "A number that is withheld, out" if predict is None else f"{predict:,}"
    yield f"{some} of {found['rows']:,} answers predict a code. The others:"
    yield from ("", "| reason | answers |", "|---|---:|")
    for reason, number in sorted(answers["problems"].items()):
        yield f"| {reason} | {_count(number)} |"
    yield ""
    nil = ", ".join(f"{LEVEL_NAMES[level]} {_count(answers['nil'][level])}" for level in LEVELS)
    yield f"NIL (no code, or one outside the vocabulary): {nil}."


def _depth(found: Mapping[str, Any]) -> Iterator[str]:
    depth = found["prefix_depth"]
    yield from ("", "## Characters shared with the true code", "")
    told = depth["mean"] is not None
    yield f"{depth['mean']:.2f} on the average, {depth['mean_share']:.0%} of the true code." if told else WITHHELD_MEAN
    yield from ("", f"| characters | {' | '.join(depth['rows'])} |", f"|---|{'---:|' * len(depth['rows'])}")
    yield f"| answers | {' | '.join(_count(number) for number in depth['rows'].values())} |"


def _chapters(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## By chapter", "", "![Samples and F1 of each chapter](chapters.png)", "")
    yield "| chapter | samples | precision | recall | F1 | category right | full code right |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in found["chapters"]:
        if row["samples"] == 0:
            continue
        cells = [
            format_percent(row["precision"]),
            format_percent(row["recall"]),
            format_percent(row["f1"], row["f1_interval"]),
            format_percent(row["category_accuracy"]),
            format_percent(row["full_accuracy"]),
        ]
        yield f"| {row['roman']} {row['title']} | {_count(row['samples'])} | {' | '.join(cells)} |"


def _terciles(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["terciles"]:
        return
    yield from ("", "## Common and rare classes", "")
    yield (
        "Classes by how often they occur in the training split: the head holds the first third of its rows, the tail"
        " the last, with the classes that it has not."
    )
    yield from ("", "| level | group | classes | samples | macro F1 | accuracy |", "|---|---|---:|---:|---:|---:|")
    for level, groups in found["terciles"].items():
        for group in GROUPS:
            of = groups[group]
            cells = [format_percent(of["macro_f1"], of["f1_interval"]), format_percent(of["accuracy"])]
            yield f"| {level} | {group} | {of['classes']:,} | {_count(of['samples'])} | {' | '.join(cells)} |"


def _comparison(found: Mapping[str, Any]) -> Iterator[str]:
    if "comparison" not in found:
        return
    yield from ("", "## Compared with another run on the same notes", "")
    yield (
        "Difference in percentage points, with the interval of the paired bootstrap; p: how often its samples"
        " contradict the sign, both tails."
    )
    yield from ("", "| measure | this run | the other | difference | p |", "|---|---:|---:|---:|---:|")
    for name, of in found["comparison"].items():
        apart = format_percent(of["difference"], of["interval"])
        odds = "" if of["p"] is None else f"{of['p']:.3f}"
        ours, theirs = format_percent(of["ours"]), format_percent(of["theirs"])
        yield f"| {name.replace('.', ' ')} | {ours} | {theirs} | {apart} | {odds} |"
