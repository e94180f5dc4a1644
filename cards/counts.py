"""Collect every count of rows that a dataset's card shows, under the key that card, figures and YAML use.

    rows = list_chapter_rows(statistics, merge=True)
    shown = collect_counts(statistics, record, rows).select_published(everything=False)
    shown["rows", "traces", "train"], shown["chapter", 9, "all"], shown["lost", 2, "not ICD-10"]

All tables form one system, since a reader sees them together: the cohort's rows are divided by chapter, split and
whether a trace was kept, and funnel, reasons, flags and scores are tied to the same rows (see deepicd.small_counts).
A group is small in rows or in patients. Where a record counts rows alone, the fewest patients are assumed that so many
rows can come from; where nothing is known of the patients, one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cards.dataset_statistics import Cell, Statistics
from cards.further_configs import VERDICTS, VerifiedStatistics, add_other_diagnoses
from deepicd.icd10cm import CHAPTERS
from deepicd.schema import SPLITS
from deepicd.small_counts import Counts, Key, is_small
from deepicd.stage_records import (
    AssembleRecord,
    BuildCounts,
    BuildRecord,
    DistillCounts,
    DistillRecord,
    JudgeRecord,
    VerifyRecord,
)

BUCKETS = (("1", 1), ("2–9", 9), ("10–99", 99), ("100 and more", None))  # name, largest number of rows of a code
CHAPTER_OF_FLAG = {"symptom first": 18, "Z code first": 21}  # flags that mean a chapter
# Cost of withholding a count; a cell of a table costs its own count.
WHOLE, SPLIT, STEP, CHAPTER, TRACES = 1e9, 1e8, 1e6, 30, 3
MEAN_SCORE, PLACES = ("mean", "score"), 2  # the judge's mean, with its decimal places
MEAN = 20.0  # cost of withholding it
OTHER = "other"


@dataclass(frozen=True, slots=True)
class ChapterRow:
    """A row of the table of chapters: one chapter, or the rare ones together."""

    key: int | str
    """The number of the chapter, or 'other'."""
    roman: str
    title: str
    numbers: tuple[int, ...]


def list_chapter_rows(statistics: Statistics, *, merge: bool) -> list[ChapterRow]:
    """Return the rows of the table of chapters. `merge`: the rare ones in one row, before cells are withheld.

    Rare is a chapter of whose five numbers (all, by split, with a trace) two or more are small. One alone stays.
    """
    rare = [chapter for chapter in CHAPTERS if merge and _is_rare(statistics, chapter.number)]
    rare = rare if len(rare) > 1 else []
    rows = [ChapterRow(each.number, each.roman, each.title, (each.number,)) for each in CHAPTERS if each not in rare]
    if rare:
        names = ", ".join(chapter.roman for chapter in rare)
        rows.append(ChapterRow(OTHER, "other", f"chapters: {names}", tuple(chapter.number for chapter in rare)))
    return rows


def _is_rare(statistics: Statistics, number: int) -> bool:
    cells = [cell for cell in statistics.cells if cell[0] == number]
    parts = _divide(cells).values()
    return sum(is_small(statistics.count_patients(part)) for part in parts) > 1


def _divide(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the columns of the table of chapters: the rows of all splits, of each, and those with a trace."""
    return {
        "all": list(cells),
        **{split: [cell for cell in cells if cell[1] == split] for split in SPLITS},
        "traces": [cell for cell in cells if cell[2]],
    }


def collect_counts(statistics: Statistics, record: AssembleRecord, rows: Sequence[ChapterRow]) -> Counts:
    """Return the counts of a dataset folder and of the records of the stages before it."""
    counts = Counts()
    for cell, number in statistics.cells.items():
        counts.add_group(cell, number)
        counts.guard([cell], people=statistics.count_patients([cell]))
    _add_rows(counts, statistics)
    _add_chapters(counts, statistics, rows)
    _add_codes(counts, statistics)
    _add_funnel(counts, statistics, record.require_upstream(BuildRecord).counts)
    rollouts = _add_traces(counts, statistics, record.require_upstream(DistillRecord))
    if statistics.verified:
        kept = [cell for cell in statistics.cells if cell[2]]
        parts = RowParts(counts, statistics, kept, record.require_upstream(DistillRecord).rollouts)
        add_verification(counts, statistics.verified, record, parts, rollouts)
    _add_scores(counts, statistics, record.find_upstream(JudgeRecord))
    add_other_diagnoses(counts, statistics.others, statistics.cells)
    return counts


def _add_rows(counts: Counts, statistics: Statistics) -> None:
    """Add the rows of each split in `grpo`, which is the cohort, and in `traces`, which has the same rows as `sft`."""
    cohort, kept = list(statistics.cells), [cell for cell in statistics.cells if cell[2]]
    people = statistics.count_patients
    for config, cells, weight in (("grpo", cohort, 2), ("traces", kept, 1)):
        counts.show(("rows", config, "all"), cells, people=people(cells), cost=WHOLE * weight)
        for split in SPLITS:
            part = [cell for cell in cells if cell[1] == split]
            counts.show(("rows", config, split), part, people=people(part), cost=SPLIT * weight)
    lost = [cell for cell in statistics.cells if not cell[2]]
    counts.show("rejected", lost, people=people(lost), cost=STEP)
    for split in SPLITS:
        part = [cell for cell in lost if cell[1] == split]
        counts.guard(part, people=people(part))
    several = statistics.count_patients_with_several_rows()  # whose further rows are the rest
    counts.show_part("patients", people(cohort), cohort, rest_people=several, cost=STEP)


def _add_chapters(counts: Counts, statistics: Statistics, rows: Sequence[ChapterRow]) -> None:
    """Add the rows of each chapter, by split and with a trace."""
    for row in rows:
        cells = [cell for cell in statistics.cells if cell[0] in row.numbers]
        for name, part in _divide(cells).items():
            weight = {"all": CHAPTER, "traces": TRACES}.get(name, 1)
            number = sum(statistics.cells[cell] for cell in part)
            people = statistics.count_patients(part)
            counts.show(("chapter", row.key, name), part, people=people, cost=number * weight or None)
        for chapter in row.numbers:
            for name, part in _divide([cell for cell in cells if cell[0] == chapter]).items():
                unkept = [cell for cell in part if not cell[2]]
                counts.guard(part, people=statistics.count_patients(part))
                if name in ("all", *SPLITS):
                    counts.guard(unkept, people=statistics.count_patients(unkept))


def _add_codes(counts: Counts, statistics: Statistics) -> None:
    """Add the codes by their number of rows: a code with one row stands for one patient."""
    groups: list[Key] = []
    at_least = 1
    for name, most in BUCKETS:
        codes = [code for code, rows in statistics.codes.items() if at_least <= rows and (most is None or rows <= most)]
        groups.append(counts.add_group(("codes", name), len(codes)))
        people = len(set().union(*(statistics.code_patients[code] for code in codes)))
        counts.show(("codes", name), groups[-1:], people=people)
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
        lost = {counts.add_group(("lost", place, reason), rows): reason for reason, rows in step.lost.items()}
        if rest := steps[place - 1].rows - step.rows - sum(step.lost.values()):
            lost[counts.add_group(("lost", place, "unaccounted"), rest)] = "unaccounted"
        people = [build.lost_patients.get(reason, 1) for reason in lost.values()]
        for group, number in zip(lost, people, strict=True):
            counts.show(group, [group], people=number)
        counts.guard(lost, people=max(people, default=0))
        left[place - 1] = [*left[place], *lost]
    for place in range(len(steps)):
        counts.show(("funnel", place), left[place], cost=STEP * (10 if place in (0, len(steps) - 1) else 1))
    for flag, rows in build.flags.items():
        counts.show_part(
            ("flag", flag), rows, cohort,
            people=build.flag_patients.get(flag, 1),
            rest_people=statistics.count_fewest_patients(statistics.samples - rows, cohort),
        )  # fmt: skip
        if chapter := CHAPTER_OF_FLAG.get(flag):
            counts.tie([("part", ("flag", flag))], [cell for cell in cohort if cell[0] == chapter])


@dataclass(frozen=True)
class RowParts:
    """Shows parts of some rows of which a record does not say whose they are."""

    counts: Counts
    statistics: Statistics
    cells: Sequence[Cell]
    per_row: int = 1
    """The most that one row can be counted: its attempts."""

    def count_fewest_patients(self, number: int) -> int:
        """Return the fewest patients that a number of rows, or of attempts, can come from."""
        return self.statistics.count_fewest_patients(-(-max(number, 0) // self.per_row), self.cells)

    def show(self, key: Key, number: int, whole: Sequence[Key] | None = None) -> None:
        """Show a part of the rows, or of another group: attempts at them."""
        groups = list(self.cells) if whole is None else list(whole)
        rest = sum(self.counts.groups[name] for name in groups) - number
        few = self.count_fewest_patients
        self.counts.show_part(key, number, groups, people=few(number), rest_people=few(rest))


def _add_traces(counts: Counts, statistics: Statistics, record: DistillRecord) -> list[Key]:
    """Add why rows have no trace, why attempts were rejected, and what the teacher was not shown.

    Returns the groups that all kept traces are.
    """
    distill = record.counts
    cohort = list(statistics.cells)
    kept = [cell for cell in cohort if cell[2]]
    lost = [cell for cell in cohort if not cell[2]]
    rejected = sum(statistics.cells[cell] for cell in lost)
    of_cohort, of_lost = RowParts(counts, statistics, cohort), RowParts(counts, statistics, lost)
    most = max(record.get_option("attempts", int), distill.rare.get("attempts at most", 0))
    of_attempts = RowParts(counts, statistics, cohort, most * record.rollouts)
    for reason, rows in distill.reasons.items():
        of_lost.show(("reason", reason), rows)
    reasons: list[Key] = [("part", ("reason", reason)) for reason in distill.reasons]
    if (more := sum(distill.reasons.values()) - rejected) >= 0 and reasons:  # each row has at least one
        counts.tie(reasons, [*lost, counts.add_group("further reasons", more)])
    rollouts, failed = _add_attempts(counts, of_attempts, distill, kept, has_rollouts=record.rollouts > 1)
    for reason, attempts in distill.attempts_rejected_for.items():
        of_attempts.show(("attempts", reason), attempts, failed)
        earlier = attempts - distill.reasons.get(reason, 0)
        if reason in distill.reasons and earlier >= 0:
            last = [("part", ("reason", reason)), counts.add_group(("earlier", reason), earlier)]
            counts.tie([("part", ("attempts", reason))], last)
    for reason, rows in distill.unanswered.items():  # a row may have a kept rollout and an unanswered one
        (of_cohort if record.rollouts > 1 else of_lost).show(("unanswered", reason), rows)
    of_cohort.show("without_description", distill.without_description)
    of_cohort.show("without_guidelines", distill.without_guidelines)
    of_cohort.show("shortened", distill.shortened)
    return rollouts


def _add_attempts(
    counts: Counts, parts: RowParts, distill: DistillCounts, kept: list[Cell], *, has_rollouts: bool
) -> tuple[list[Key], list[Key]]:
    """Add the attempts and kept rollouts; return the groups of the kept rollouts, and of the attempts that failed."""
    few = parts.count_fewest_patients
    rows_kept = sum(parts.statistics.cells[cell] for cell in kept)
    more = max(sum(int(number) * rows for number, rows in distill.rollouts_kept.items()) - rows_kept, 0)
    # with one rollout per row there are more where the dataset lacks rows whose traces failed their verification
    further: list[Key] = [counts.add_group("further rollouts", more)] if has_rollouts or more else []
    rejected = max(distill.attempts - rows_kept - more, 0)
    failed: list[Key] = [counts.add_group("failed attempts", rejected)]
    counts.show("attempts", [*kept, *further, *failed], people=few(distill.attempts), cost=STEP)
    counts.guard(failed, people=few(rejected))
    if further:
        counts.show("rollouts", [*kept, *further], people=few(rows_kept + more), cost=STEP)
        counts.guard(further, people=few(more))
        counts.guard([*further, *failed], people=few(more + rejected))
    return [*kept, *further], failed


def _add_scores(counts: Counts, statistics: Statistics, judge: JudgeRecord | None) -> None:
    """Add the traces by the judge's rounded score, those without one, and the judge's mean."""
    kept = [cell for cell in statistics.cells if cell[2]]
    by_score: Counter[int | str] = Counter(statistics.scores)
    by_score["none"] = sum(statistics.cells[cell] for cell in kept) - by_score.total()
    groups = {score: counts.add_group(("score", score), by_score[score]) for score in (1, 2, 3, 4, 5, "none")}
    for score, group in groups.items():
        patients = statistics.score_patients[None if score == "none" else int(score)]
        counts.show(group, [group], people=len(patients))
    counts.tie(groups.values(), kept)
    if judge and judge.counts.mean is not None:
        values = {group: float(score) for score, group in groups.items() if score != "none"}
        counts.show_mean(MEAN_SCORE, values, judge.counts.mean, places=PLACES, cost=MEAN)


def add_verification(
    counts: Counts, verified: VerifiedStatistics, record: AssembleRecord, rows: RowParts, rollouts: Sequence[Key]
) -> None:
    """Add expectations by category and verdict, rows that fail by reason, and the verified ones of all kept traces.

    `rows`: of the config; `rollouts`: the groups that all kept traces are.
    """
    for category in verified.categories:
        kinds = [(category, verdict) for verdict in VERDICTS]
        groups = [counts.add_group(("forecast", *kind), verified.forecasts[kind]) for kind in kinds]
        for group, kind in zip(groups, kinds, strict=True):
            counts.show(group, [group], people=len(verified.patients[kind]))
        everyone = set().union(*(verified.patients[kind] for kind in kinds))
        counts.show(("forecast", category, "all"), groups, people=len(everyone))
    _add_failures(counts, verified, rows)
    if upstream := record.find_upstream(VerifyRecord):
        rows.show("verified traces", sum(upstream.counts.verified.values()), rollouts)
        # with one rollout per row these are the failing rows of the dataset, and readers know it
        if (rest := ("rest", "verified traces")) in counts.groups:
            counts.tie([rest], [("failure", failure) for failure in verified.failures])


def _add_failures(counts: Counts, verified: VerifiedStatistics, rows: RowParts) -> None:
    """Add the rows whose trace fails, by reason; guard those that fail for other reasons alone."""
    groups = {failure: counts.add_group(("failure", failure), number) for failure, number in verified.failures.items()}
    passed = sum(counts.groups[cell] for cell in rows.cells) - verified.failures.total()
    counts.tie([*groups.values(), counts.add_group("not failing", passed)], rows.cells)
    few = rows.count_fewest_patients
    counts.guard(groups.values(), people=len(set().union(*verified.failure_patients.values())))
    counts.guard(["not failing"], people=few(passed))
    for reason in verified.reasons:
        having = [failure for failure in groups if reason in failure]
        others = [failure for failure in groups if reason not in failure]
        number = sum(verified.failures[failure] for failure in having)
        people, of_others = (
            len(set().union(*(verified.failure_patients[failure] for failure in part))) for part in (having, others)
        )
        counts.show(("failed", reason), [groups[failure] for failure in having], people=people)
        counts.guard([groups[failure] for failure in others], people=of_others)
        counts.guard(
            [*(groups[failure] for failure in others), "not failing"],
            people=few(passed + verified.failures.total() - number),
        )
