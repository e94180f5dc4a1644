"""Every count of rows that a dataset's card shows, under the name that card, figures and YAML find it by.

    shown = counts(found, record).published(everything=False)
    shown["rows", "traces", "train"], shown["chapter", 9, "all"], shown["lost", 2, "not ICD-10"]

One system for all tables: the cohort's rows are divided by chapter, split and whether a trace was kept, and funnel,
reasons, flags and scores are tied to the same rows, since a reader sees them side by side (see deepicd.small_counts).
"""

from collections import Counter
from typing import Any

from cards.dataset_statistics import Statistics
from deepicd.icd10cm import CHAPTERS
from deepicd.records import Record
from deepicd.schema import SPLITS
from deepicd.small_counts import Counts, Key
from deepicd.stage_records import BuildCounts, BuildRecord, DistillCounts, DistillRecord

BUCKETS = (("1", 1), ("2–9", 9), ("10–99", 99), ("100 and more", None))  # rows a code has, up to
CHAPTER_OF_FLAG = {"symptom first": 18, "Z code first": 21}  # flags that are another name for a chapter
# What withholding costs the reader; a cell of a table costs its own count.
WHOLE, SPLIT, STEP, CHAPTER, TRACES = 1e9, 1e8, 1e6, 30, 3


def collect_counts(found: Statistics, record: Record) -> Counts:
    """The counts of a dataset folder and of the records of the stages before it."""
    every = Counts()
    for cell, rows in found.cells.items():
        every.group(cell, rows)
        every.guard([cell])
    _add_rows(every, found)
    _add_chapters(every, found)
    _add_codes(every, found)
    _add_funnel(every, found, record.upstream(BuildRecord).counts)
    _add_traces(every, found, record.upstream(DistillRecord).counts)
    _add_scores(every, found)
    return every


def _add_rows(every: Counts, found: Statistics) -> None:
    """Rows of each split: of `grpo`, the cohort, and of `traces`, which are those of `sft` too."""
    cohort, kept = list(found.cells), [cell for cell in found.cells if cell[2]]
    for config, cells, weight in (("grpo", cohort, 2), ("traces", kept, 1)):
        every.show(("rows", config, "all"), cells, people=_count_patients(found, cells), cost=WHOLE * weight)
        for split in SPLITS:
            part = [cell for cell in cells if cell[1] == split]
            every.show(("rows", config, split), part, people=_count_patients(found, part), cost=SPLIT * weight)
    lost = [cell for cell in found.cells if not cell[2]]
    every.show("rejected", lost, cost=STEP)
    for split in SPLITS:
        every.guard([cell for cell in lost if cell[1] == split])
    every.part("patients", _count_patients(found, cohort), cohort, cost=STEP)


def _add_chapters(every: Counts, found: Statistics) -> None:
    for chapter in CHAPTERS:
        cells = [cell for cell in found.cells if cell[0] == chapter.number]
        parts = {split: [cell for cell in cells if cell[1] == split] for split in SPLITS}
        parts |= {"all": cells, "traces": [cell for cell in cells if cell[2]]}
        for name, part in parts.items():
            weight = {"all": CHAPTER, "traces": TRACES}.get(name, 1)
            rows = sum(found.cells[cell] for cell in part)
            every.show(
                ("chapter", chapter.number, name),
                part,
                people=_count_patients(found, part),
                cost=rows * weight or None,
            )
        every.guard([cell for cell in cells if not cell[2]])


def _add_codes(every: Counts, found: Statistics) -> None:
    """Codes by how many rows they have: a code with one row is a patient."""
    groups: list[Key] = []
    at_least = 1
    for name, most in BUCKETS:
        number = sum(at_least <= rows and (most is None or rows <= most) for rows in found.codes.values())
        groups.append(every.group(("codes", name), number))
        every.show(("codes", name), groups[-1:])
        at_least = (most or 0) + 1
    every.show(("codes", "all"), groups, cost=WHOLE)


def _add_funnel(every: Counts, found: Statistics, build: BuildCounts) -> None:
    """Rows left after each step, what it lost and why; and the rows that carry a flag."""
    steps, cohort = build.funnel.steps, list(found.cells)
    base: list[Key] = list(cohort) if steps[-1].rows == found.samples else [every.group("cohort", steps[-1].rows)]
    left = {len(steps) - 1: base}
    for place in range(len(steps) - 1, 0, -1):
        step = steps[place]
        lost = [every.group(("lost", place, reason), rows) for reason, rows in step.lost.items()]
        if rest := steps[place - 1].rows - step.rows - sum(step.lost.values()):
            lost.append(every.group(("lost", place, "unaccounted"), rest))
        for group in lost:
            every.show(group, [group])
        every.guard(lost)
        left[place - 1] = left[place] + lost
    for place in range(len(steps)):
        every.show(("funnel", place), left[place], cost=STEP * (10 if place in (0, len(steps) - 1) else 1))
    for flag, rows in build.flags.items():
        every.part(("flag", flag), rows, cohort)
        if chapter := CHAPTER_OF_FLAG.get(flag):
            every.tie([("part", ("flag", flag))], [cell for cell in cohort if cell[0] == chapter])


def _add_traces(every: Counts, found: Statistics, distill: DistillCounts) -> None:
    """Why rows have no trace, why attempts were rejected, what the teacher was not shown."""
    kept = [cell for cell in found.cells if cell[2]]
    lost = [cell for cell in found.cells if not cell[2]]
    rejected = sum(found.cells[cell] for cell in lost)
    for reason, rows in distill.reasons.items():
        every.part(("reason", reason), rows, lost)
    reasons: list[Key] = [("part", ("reason", reason)) for reason in distill.reasons]
    if (more := sum(distill.reasons.values()) - rejected) >= 0 and reasons:  # each row has one at least
        every.tie(reasons, [*lost, every.group("further reasons", more)])
    made = distill.attempts - sum(found.cells[cell] for cell in kept)
    failed: list[Key] = [every.group("failed attempts", max(made, 0))]
    every.show("attempts", [*kept, *failed], cost=STEP)
    every.guard(failed)
    for reason, attempts in distill.attempts_rejected_for.items():
        every.part(("attempts", reason), attempts, failed)
        earlier = attempts - distill.reasons.get(reason, 0)
        if reason in distill.reasons and earlier >= 0:
            last = [("part", ("reason", reason)), every.group(("earlier", reason), earlier)]
            every.tie([("part", ("attempts", reason))], last)
    for reason, rows in distill.unanswered.items():
        every.part(("unanswered", reason), rows, lost)
    every.part("without_description", distill.without_description, list(found.cells))
    every.part("without_guidelines", distill.without_guidelines, list(found.cells))
    every.part("shortened", distill.shortened, list(found.cells))


def _add_scores(every: Counts, found: Statistics) -> None:
    """Traces by the judge's score, rounded, and those without one."""
    kept = [cell for cell in found.cells if cell[2]]
    by_score: Counter[Any] = Counter(found.scores)
    by_score["none"] = sum(found.cells[cell] for cell in kept) - by_score.total()
    groups = [every.group(("score", score), by_score[score]) for score in (1, 2, 3, 4, 5, "none")]
    for group in groups:
        every.show(group, [group])
    every.tie(groups, kept)


def _count_patients(found: Statistics, cells: list[Any]) -> int:
    return len(set().union(*(found.patients[cell] for cell in cells)))
