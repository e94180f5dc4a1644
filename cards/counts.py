"""Collect every count of rows that a dataset's card shows, under the key that card, figures and YAML use.

    shown = collect_counts(statistics, record).select_published(everything=False)
    shown["rows", "traces", "train"], shown["chapter", 9, "all"], shown["lost", 2, "not ICD-10"]

All tables form one system, since a reader sees them together: the cohort's rows are divided by chapter, split and
whether a trace was kept, and funnel, reasons, flags and scores are tied to the same rows (see deepicd.small_counts).
"""

from collections import Counter

from cards.dataset_statistics import Cell, Statistics
from deepicd.icd10cm import CHAPTERS
from deepicd.records import Record
from deepicd.schema import SPLITS
from deepicd.small_counts import Counts, Key
from deepicd.stage_records import BuildCounts, BuildRecord, DistillCounts, DistillRecord

BUCKETS = (("1", 1), ("2–9", 9), ("10–99", 99), ("100 and more", None))  # name, largest number of rows of a code
CHAPTER_OF_FLAG = {"symptom first": 18, "Z code first": 21}  # flags that mean a chapter
# Cost of withholding a count; a cell of a table costs its own count.
WHOLE, SPLIT, STEP, CHAPTER, TRACES = 1e9, 1e8, 1e6, 30, 3


def collect_counts(statistics: Statistics, record: Record) -> Counts:
    """Return the counts of a dataset folder and of the records of the stages before it."""
    counts = Counts()
    for cell, rows in statistics.cells.items():
        counts.add_group(cell, rows)
        counts.guard([cell])
    _add_rows(counts, statistics)
    _add_chapters(counts, statistics)
    _add_codes(counts, statistics)
    _add_funnel(counts, statistics, record.require_upstream(BuildRecord).counts)
    distilled = record.require_upstream(DistillRecord)
    _add_traces(counts, statistics, distilled.counts, has_rollouts=distilled.n > 1)
    _add_scores(counts, statistics)
    return counts


def _add_rows(counts: Counts, statistics: Statistics) -> None:
    """Add the rows of each split in `grpo`, which is the cohort, and in `traces`, which has the same rows as `sft`."""
    cohort, kept = list(statistics.cells), [cell for cell in statistics.cells if cell[2]]
    for config, cells, weight in (("grpo", cohort, 2), ("traces", kept, 1)):
        counts.show(("rows", config, "all"), cells, people=_count_patients(statistics, cells), cost=WHOLE * weight)
        for split in SPLITS:
            part = [cell for cell in cells if cell[1] == split]
            counts.show(("rows", config, split), part, people=_count_patients(statistics, part), cost=SPLIT * weight)
    lost = [cell for cell in statistics.cells if not cell[2]]
    counts.show("rejected", lost, cost=STEP)
    for split in SPLITS:
        counts.guard([cell for cell in lost if cell[1] == split])
    counts.show_part("patients", _count_patients(statistics, cohort), cohort, cost=STEP)


def _add_chapters(counts: Counts, statistics: Statistics) -> None:
    """Add the rows of each chapter, by split and with a trace."""
    for chapter in CHAPTERS:
        cells = [cell for cell in statistics.cells if cell[0] == chapter.number]
        parts = {split: [cell for cell in cells if cell[1] == split] for split in SPLITS}
        parts |= {"all": cells, "traces": [cell for cell in cells if cell[2]]}
        for name, part in parts.items():
            weight = {"all": CHAPTER, "traces": TRACES}.get(name, 1)
            rows = sum(statistics.cells[cell] for cell in part)
            counts.show(
                ("chapter", chapter.number, name),
                part,
                people=_count_patients(statistics, part),
                cost=rows * weight or None,
            )
        counts.guard([cell for cell in cells if not cell[2]])


def _add_codes(counts: Counts, statistics: Statistics) -> None:
    """Add the codes by their number of rows: a code with one row stands for one patient."""
    groups: list[Key] = []
    at_least = 1
    for name, most in BUCKETS:
        number = sum(at_least <= rows and (most is None or rows <= most) for rows in statistics.codes.values())
        groups.append(counts.add_group(("codes", name), number))
        counts.show(("codes", name), groups[-1:])
        at_least = (most or 0) + 1
    counts.show(("codes", "all"), groups, cost=WHOLE)


def _add_funnel(counts: Counts, statistics: Statistics, build: BuildCounts) -> None:
    """Add the rows left after each step, the rows lost by reason, and the rows with a flag."""
    steps, cohort = build.funnel.steps, list(statistics.cells)
    base: list[Key] = (
        list(cohort) if steps[-1].rows == statistics.samples else [counts.add_group("cohort", steps[-1].rows)]
    )
    left = {len(steps) - 1: base}
    for place in range(len(steps) - 1, 0, -1):
        step = steps[place]
        lost = [counts.add_group(("lost", place, reason), rows) for reason, rows in step.lost.items()]
        if rest := steps[place - 1].rows - step.rows - sum(step.lost.values()):
            lost.append(counts.add_group(("lost", place, "unaccounted"), rest))
        for group in lost:
            counts.show(group, [group])
        counts.guard(lost)
        left[place - 1] = left[place] + lost
    for place in range(len(steps)):
        counts.show(("funnel", place), left[place], cost=STEP * (10 if place in (0, len(steps) - 1) else 1))
    for flag, rows in build.flags.items():
        counts.show_part(("flag", flag), rows, cohort)
        if chapter := CHAPTER_OF_FLAG.get(flag):
            counts.tie([("part", ("flag", flag))], [cell for cell in cohort if cell[0] == chapter])


def _add_traces(counts: Counts, statistics: Statistics, distill: DistillCounts, *, has_rollouts: bool) -> None:
    """Add why rows have no trace, why attempts were rejected, and what the teacher was not shown."""
    kept = [cell for cell in statistics.cells if cell[2]]
    lost = [cell for cell in statistics.cells if not cell[2]]
    rejected = sum(statistics.cells[cell] for cell in lost)
    for reason, rows in distill.reasons.items():
        counts.show_part(("reason", reason), rows, lost)
    reasons: list[Key] = [("part", ("reason", reason)) for reason in distill.reasons]
    if (more := sum(distill.reasons.values()) - rejected) >= 0 and reasons:  # each row has at least one
        counts.tie(reasons, [*lost, counts.add_group("further reasons", more)])
    rows_kept = sum(statistics.cells[cell] for cell in kept)
    more_rollouts = max(sum(int(number) * rows for number, rows in distill.rollouts_kept.items()) - rows_kept, 0)
    further: list[Key] = [counts.add_group("further rollouts", more_rollouts)] if has_rollouts else []
    rejected_attempts = distill.attempts - rows_kept - more_rollouts
    failed: list[Key] = [counts.add_group("failed attempts", max(rejected_attempts, 0))]
    counts.show("attempts", [*kept, *further, *failed], cost=STEP)
    counts.guard(failed)
    if further:
        counts.show("rollouts", [*kept, *further], cost=STEP)
        counts.guard(further)
        counts.guard([*further, *failed])
    for reason, attempts in distill.attempts_rejected_for.items():
        counts.show_part(("attempts", reason), attempts, failed)
        earlier = attempts - distill.reasons.get(reason, 0)
        if reason in distill.reasons and earlier >= 0:
            last = [("part", ("reason", reason)), counts.add_group(("earlier", reason), earlier)]
            counts.tie([("part", ("attempts", reason))], last)
    for reason, rows in distill.unanswered.items():  # a row may have a kept rollout and an unanswered one
        counts.show_part(("unanswered", reason), rows, list(statistics.cells) if further else lost)
    counts.show_part("without_description", distill.without_description, list(statistics.cells))
    counts.show_part("without_guidelines", distill.without_guidelines, list(statistics.cells))
    counts.show_part("shortened", distill.shortened, list(statistics.cells))


def _add_scores(counts: Counts, statistics: Statistics) -> None:
    """Add the traces by the judge's rounded score, and those without one."""
    kept = [cell for cell in statistics.cells if cell[2]]
    by_score: Counter[int | str] = Counter(statistics.scores)
    by_score["none"] = sum(statistics.cells[cell] for cell in kept) - by_score.total()
    groups = [counts.add_group(("score", score), by_score[score]) for score in (1, 2, 3, 4, 5, "none")]
    for group in groups:
        counts.show(group, [group])
    counts.tie(groups, kept)


def _count_patients(statistics: Statistics, cells: list[Cell]) -> int:
    return len(set().union(*(statistics.patients[cell] for cell in cells)))
