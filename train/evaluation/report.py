"""An evaluation in words and tables: report.md, rendered from metrics.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from deepicd.evaluation_metrics import METRICS_FILE, Difference, Interval, Metrics, read_metrics
from deepicd.icd10cm import CHAPTERS
from train.evaluation.comparison import FEWEST_DIFFERING
from train.evaluation.intervals import FEWEST_NOTES
from train.evaluation.metric_vector import GROUPS
from train.evaluation.metrics import LEVELS
from train.evaluation.several import KS
from train.evaluation.tables import REASONING_COLUMNS, list_reasoning_cells

CONVENTIONS = {
    "truth": "the classes that occur in the truth; NIL is a wrong prediction and no class",
    "union": "the classes that occur in the truth or among the predictions, NIL too",
    "vocabulary": "every class of the dataset and, below chapter level, NIL",
}
LEVEL_NAMES = {"chapter": "chapter", "category": "category (3 characters)", "full": "full code"}
WITHHELD_MEAN = "The mean is withheld: a count below would follow from it."


def render_report(name: str, metrics: Metrics) -> str:
    """Return the Markdown of a run called `name`."""
    return "\n".join(_render_lines(name, metrics)) + "\n"


def _render_lines(name: str, metrics: Metrics) -> Iterator[str]:
    yield f"# {name}"
    yield ""
    yield f"{metrics.rows:,} notes. Means are over {CONVENTIONS[metrics.averaging]}."
    yield (
        f"In brackets: {metrics.intervals.confidence:.0%} intervals of the mean score over test sets of this size"
        f" (leaving out one of {metrics.intervals.patients:,} patients at a time). There is none where fewer than"
        f" {FEWEST_NOTES} notes are right, or fewer than {FEWEST_NOTES} wrong: there no interval covers."
    )
    yield ""
    yield "| level | classes | macro precision | macro recall | macro F1 | accuracy |"
    yield "|---|---:|---:|---:|---:|---:|"
    for level in LEVELS:
        figures = metrics.get_level(level)
        cells = [
            format_percent(figures.macro_precision, figures.interval["macro_precision"]),
            format_percent(figures.macro_recall, figures.interval["macro_recall"]),
            format_percent(figures.macro_f1, figures.interval["macro_f1"]),
            format_percent(figures.accuracy, figures.interval["accuracy"]),
        ]
        yield f"| {LEVEL_NAMES[level]} | {figures.classes:,} | {' | '.join(cells)} |"
    for reason in dict.fromkeys(metrics.intervals.missing.values()):
        names = [name.replace(".", " ") for name, why in metrics.intervals.missing.items() if why == reason]
        yield from ("", f"No interval ({reason}): {', '.join(names).replace('_', ' ')}.")
    yield from _render_several(metrics)
    yield from _render_conventions(metrics)
    yield from _render_answers(metrics)
    yield from _render_depth(metrics)
    yield from _render_severity(metrics)
    yield from _render_chapters(metrics)
    yield from _render_terciles(metrics)
    yield from _render_reasoning(metrics)
    yield from _render_subgroups(metrics)
    yield from _render_comparison(metrics)


def format_percent(value: float | None, interval: Interval | None = None) -> str:
    """Return a share in percent, with its interval if it has one.

    >>> format_percent(0.5431, [0.52, 0.561]), format_percent(None)
    ('54.3 [52.0, 56.1]', 'withheld')
    """
    if value is None:
        return "withheld"
    return f"{100 * value:.1f}" + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else "")


def _format_count(value: int | None) -> str:
    return "withheld" if value is None else f"{value:,}"


LIST_COLUMNS = {
    **{f"recall_at_{k}": f"recall at {k}" for k in KS},
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "average_precision": "MAP",
}


def _render_several(metrics: Metrics) -> Iterator[str]:
    if (several := metrics.several) is None:
        return
    yield from ("", "## Lists of diagnoses", "")
    listed, true = ("–" if mean is None else f"{mean:.1f}" for mean in (several.listed, several.true))
    repeated = "–" if several.repeated is None else f"{several.repeated:.1%}"
    yield (
        f"An answer lists {listed} codes on the average, a stay has {true} that its note"
        f" supports; {repeated} of what is listed stands in the list already (–: withheld). Means over the notes,"
        " in per cent. The table above, and all others, are about the first code."
    )
    yield from ("", f"| level | {' | '.join(LIST_COLUMNS.values())} |", f"|---|{'---:|' * len(LIST_COLUMNS)}")
    for name, level in several.levels.items():
        cells = [format_percent(level.means[key], level.interval[key]) for key in LIST_COLUMNS if key in level.means]
        yield f"| {LEVEL_NAMES[name]} | {' | '.join(cells)} |"
    yield from ("", "By chapter of the codes, over all lists:", "")
    yield from ("| chapter | true codes | recall | precision |", "|---|---:|---:|---:|")
    for row in several.chapters:
        if row.true == 0 and row.precision is None:
            continue
        roman, shares = CHAPTERS[row.chapter - 1].roman, (row.recall, row.precision)
        is_withheld = row.true is None
        cells = ["–" if share is None and not is_withheld else format_percent(share) for share in shares]
        yield f"| {roman} | {_format_count(row.true)} | {' | '.join(cells)} |"
    if several.severity:
        yield from ("", f"Of {several.severity.errors:,} wrong codes in the lists, {several.severity.severity_only:,}"
                    " name a disease of the stay in another severity.")  # fmt: skip
    if several.comparison:
        yield from ("", "Lists of the other run, compared as below:")
        yield from _render_differences(several.comparison)


def _render_conventions(metrics: Metrics) -> Iterator[str]:
    yield from ("", "## The same by other conventions", "")
    yield "Macro F1 (classes), in per cent. Figures are comparable under one convention only."
    yield from ("", "| mean over | chapter | category | full code |", "|---|---:|---:|---:|")
    for averaging, levels in metrics.conventions.items():
        cells = [f"{format_percent(levels[level].macro_f1)} ({levels[level].classes:,})" for level in LEVELS]
        yield f"| {CONVENTIONS[averaging]} | {' | '.join(cells)} |"


def _render_answers(metrics: Metrics) -> Iterator[str]:
    answers = metrics.answers
    yield from ("", "## Answers", "")
    number = answers.predict_a_code
    start = "A number that is withheld, out" if number is None else f"{number:,}"
    yield f"{start} of {metrics.rows:,} answers predict a code. The others:"
    yield from ("", "| reason | answers |", "|---|---:|")
    for reason, count in sorted(answers.problems.items()):
        yield f"| {reason} | {_format_count(count)} |"
    yield ""
    nil = ", ".join(f"{LEVEL_NAMES[level]} {_format_count(answers.nil[level])}" for level in LEVELS)
    yield f"NIL (no code, or one outside the vocabulary): {nil}."


def _render_depth(metrics: Metrics) -> Iterator[str]:
    depth = metrics.prefix_depth
    yield from ("", "## Characters shared with the true code", "")
    if depth.mean is None or depth.mean_share is None:
        yield WITHHELD_MEAN
    else:
        yield f"{depth.mean:.2f} on the average, {depth.mean_share:.0%} of the true code."
    yield from ("", f"| characters | {' | '.join(depth.rows)} |", f"|---|{'---:|' * len(depth.rows)}")
    yield f"| answers | {' | '.join(_format_count(number) for number in depth.rows.values())} |"


def _render_severity(metrics: Metrics) -> Iterator[str]:
    severity = metrics.severity
    if severity is None or not severity.errors:
        return
    share = severity.severity_only / severity.errors
    yield from ("", "## Errors of severity", "")
    yield (
        f"{severity.severity_only:,} of {severity.errors:,} wrong codes ({share:.0%}) name the right disease in another"
        " severity: with or without exacerbation, mild or severe, unstable or not."
    )
    if severity.pairs:
        yield from ("", "| predicted for true | answers |", "|---|---:|")
        yield from (f"| {pair} | {answers:,} |" for pair, answers in severity.pairs.items())


def _render_chapters(metrics: Metrics) -> Iterator[str]:
    yield from ("", "## By chapter", "", "![Samples and F1 of each chapter](chapters.png)", "")
    yield "| chapter | samples | precision | recall | F1 | category right | full code right |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in metrics.chapters:
        if row.samples == 0:
            continue
        cells = [
            format_percent(row.precision),
            format_percent(row.recall),
            format_percent(row.f1, row.f1_interval),
            format_percent(row.category_accuracy),
            format_percent(row.full_accuracy),
        ]
        yield f"| {row.roman} {row.title} | {_format_count(row.samples)} | {' | '.join(cells)} |"


def _render_terciles(metrics: Metrics) -> Iterator[str]:
    if not metrics.terciles:
        return
    yield from ("", "## Common and rare classes", "")
    yield (
        "Classes by how often they occur in the training split: the head holds the first third of its rows, the tail"
        " the last, with the classes that it has not."
    )
    yield from ("", "| level | group | classes | samples | macro F1 | accuracy |", "|---|---|---:|---:|---:|---:|")
    for level, groups in metrics.terciles.items():
        for name in GROUPS:
            group = groups[name]
            cells = [format_percent(group.macro_f1, group.f1_interval), format_percent(group.accuracy)]
            yield f"| {level} | {name} | {group.classes:,} | {_format_count(group.samples)} | {' | '.join(cells)} |"


def _render_reasoning(metrics: Metrics) -> Iterator[str]:
    if metrics.reasoning is None:
        return
    yield from ("", "## Reasoning", "")
    yield (
        "Words and weighing sentences are means per trace, the rest are per cent: of traces, of words, and of the"
        " numbers, drugs and quotations in the traces. –: withheld, nothing to count, or no dataset with"
        " the notes. In brackets: 95 % intervals over patients, of each run alone; metrics.json has those of chapters."
    )
    yield from ("", f"| | {' | '.join(REASONING_COLUMNS)} |", f"|---|{'---:|' * len(REASONING_COLUMNS)}")
    rows = {"all": metrics.reasoning.overall}
    if metrics.reasoning_before:
        rows["the other run"] = metrics.reasoning_before
    rows |= {CHAPTERS[int(number) - 1].roman: row for number, row in metrics.reasoning.chapters.items()}
    for name, row in rows.items():
        cells = list_reasoning_cells(row, with_intervals=name in ("all", "the other run"))
        yield f"| {name} | {' | '.join(cells)} |"


def _render_subgroups(metrics: Metrics) -> Iterator[str]:
    if metrics.subgroups is None:
        return
    yield from ("", "## By group of patients", "")
    yield (
        "Compare accuracies: macro F1 falls with the number of notes. The interval of the largest gap is simultaneous"
        " over all pairs of groups in its column; columns and levels are several looks at the same notes."
    )
    for column, table in metrics.subgroups.items():
        accuracies = " | ".join(f"accuracy, {level}" for level in LEVELS)
        means = " | ".join(f"macro F1, {level}" for level in LEVELS)
        yield from ("", f"| {column.replace('_', ' ')} | samples | {accuracies} | {means} |", f"|---|{'---:|' * 7}")
        for name, group in table.groups.items():
            shares = [format_percent(group.accuracy[level], group.accuracy_interval.get(level)) for level in LEVELS]
            shares += [format_percent(group.macro_f1.get(level), group.f1_interval.get(level)) for level in LEVELS]
            yield f"| {name.replace('|', '/')} | {_format_count(group.samples)} | {' | '.join(shares)} |"
        gaps = {level: gap for level, gap in table.gaps.items() if gap}
        if gaps:
            texts = [
                f"{level} {format_percent(gap.difference, gap.interval)} ({gap.higher} over {gap.lower})"
                for level, gap in gaps.items()
            ]
            yield from ("", f"Largest gaps in percentage points: {'; '.join(texts)}.")


def _render_comparison(metrics: Metrics) -> Iterator[str]:
    if metrics.comparison is None:
        return
    yield from ("", "## Compared with another run on the same notes", "")
    yield (
        "Difference in percentage points, with its interval and two-sided p, from swapping the answers of the two runs"
        f" for random patients. Where fewer than {FEWEST_DIFFERING} patients tell them apart there is none."
    )
    yield from _render_differences(metrics.comparison)


def _render_differences(differences: Mapping[str, Difference]) -> Iterator[str]:
    yield from ("", "| measure | this run | the other | difference | p |", "|---|---:|---:|---:|---:|")
    for name, figures in differences.items():
        ours, theirs = format_percent(figures.ours), format_percent(figures.theirs)
        difference = format_percent(figures.difference, figures.interval)
        p_value = "" if figures.p is None else f"{figures.p:.3f}"
        yield f"| {name.replace('.', ' ').replace('_', ' ')} | {ours} | {theirs} | {difference} | {p_value} |"


def format_summary(folder: Path) -> str:
    """Return the figures of the three levels as lines for a terminal."""
    figures = read_metrics(folder / METRICS_FILE)
    lines = [f"{'':10}{'classes':>9}{'precision':>11}{'recall':>9}{'F1':>9}{'accuracy':>10}   (macro, in %)"]
    for name in LEVELS:
        level = figures.get_level(name)
        shares = (level.macro_precision, level.macro_recall, level.macro_f1, level.accuracy)
        cells = [f"{100 * share:.1f}" for share in shares]
        lines.append(f"{name:10}{level.classes:>9,}{cells[0]:>11}{cells[1]:>9}{cells[2]:>9}{cells[3]:>10}")
    if figures.several:
        means = figures.several.levels["full"].means
        shown = ("recall_at_5", "precision", "f1", "average_precision")
        listed = ", ".join(f"{LIST_COLUMNS[name]} {100 * means[name]:.1f}" for name in shown if name in means)
        lines.append(f"lists of full codes: {listed} (means over notes, in %; above, the first code)")
    return "\n".join(lines)
