"""Compute metrics.json from answers: all figures of an evaluation (deepicd.evaluation_metrics).

For credentialed rows, counts under ten, counts that would reveal one, and scores of so few rows are null. The scores of
the three levels are exact: a card that shows them withholds what they would reveal.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepicd.evaluation_metrics import (
    AnswerCounts,
    Averaging,
    ChapterMetrics,
    ConventionMetrics,
    GroupMetrics,
    IntervalMethod,
    LevelMetrics,
    LevelName,
    Metrics,
    PrefixDepth,
    SeverityErrors,
)
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.severity import differs_in_severity
from deepicd.small_counts import suppress_small
from deepicd.storage import Origin
from train.evaluation.comparison import compare_runs
from train.evaluation.intervals import CONFIDENCE, Intervals, number_patients
from train.evaluation.metric_vector import GROUPS, METRICS, MetricVector
from train.evaluation.metrics import (
    AVERAGINGS,
    LEVELS,
    average_classes,
    count_classes,
    score_classes,
    select_classes,
)
from train.evaluation.predictions import EvaluatedNote
from train.evaluation.reading import NO_ANSWER
from train.evaluation.suppression import AnswerOutcome, suppress_counts, suppress_shares

SHOWN_PAIRS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """How notes are measured."""

    averaging: Averaging = "truth"
    vocabulary: set[Code] | None = None
    """The codes of the dataset; None without one."""
    train: Sequence[Code] = ()
    """The codes of its training rows."""
    origin: Origin = "mimic"

    @property
    def shows_all(self) -> bool:
        """Whether small counts may be shown."""
        return self.origin != "mimic"

    def build_vector(self, notes: Sequence[EvaluatedNote]) -> MetricVector:
        return MetricVector.build(
            [note.truth for note in notes],
            [note.predicted for note in notes],
            patients=number_patients([note.note_id for note in notes]),
            averaging=self.averaging,
            vocabulary=self.vocabulary,
            train=self.train,
        )


def count_right_patients(notes: Sequence[EvaluatedNote]) -> dict[str, int]:
    """Return the patients by the deepest level to which an answer of theirs is right."""
    patients: dict[str, set[str]] = {name: set() for name in ("full", "category", "chapter", "none")}
    for note in notes:
        truth, code = note.truth, note.predicted
        if code is None or code.chapter != truth.chapter:
            name = "none"
        elif code.category != truth.category:
            name = "chapter"
        else:
            name = "full" if code == truth else "category"
        patients[name].add(note.note_id.partition("-")[0])
    return {name: len(members) for name, members in patients.items()}


def compute_metrics(
    notes: Sequence[EvaluatedNote], settings: MetricSettings, other: Sequence[EvaluatedNote] = ()
) -> Metrics:
    """Return the content of metrics.json. `other`: the same notes as answered by another run, to compare with."""
    vector = settings.build_vector(notes)
    intervals, missing = vector.estimate_intervals()
    depth, answers = _count_answers(notes, vector, settings)
    return Metrics(
        chapter=_build_level("chapter", vector, intervals),
        category=_build_level("category", vector, intervals),
        full=_build_level("full", vector, intervals),
        rows=len(notes),
        origin=settings.origin,
        averaging=settings.averaging,
        intervals=IntervalMethod(patients=len(np.unique(vector.patients)), confidence=CONFIDENCE, missing=missing),
        conventions=_build_conventions(vector, with_vocabulary=settings.vocabulary is not None),
        chapters=build_chapters(vector, intervals, settings),
        terciles=_build_terciles(vector, intervals, settings) if settings.train else None,
        prefix_depth=depth,
        answers=answers,
        right_patients=count_right_patients(notes),
        severity=count_severity_errors(notes) if settings.shows_all else None,
        comparison=compare_runs(vector, settings.build_vector(other)) if other else None,
    )


def _build_level(level: LevelName, vector: MetricVector, intervals: Intervals) -> LevelMetrics:
    rows = vector.levels[level]
    return LevelMetrics(
        **{metric: vector.values[f"{level}.{metric}"] for metric in METRICS},
        classes=int(select_classes(rows.known, count_classes(rows), vector.averaging).sum()),
        interval={metric: intervals.get(f"{level}.{metric}") for metric in METRICS},
    )


def _build_conventions(
    vector: MetricVector, *, with_vocabulary: bool
) -> dict[Averaging, dict[LevelName, ConventionMetrics]]:
    """Return the same means by every convention that applies."""
    counts = {name: count_classes(level) for name, level in vector.levels.items()}
    scores = {name: score_classes(level_counts) for name, level_counts in counts.items()}
    conventions: dict[Averaging, dict[LevelName, ConventionMetrics]] = {}
    for averaging in AVERAGINGS:
        if averaging == "vocabulary" and not with_vocabulary:
            continue
        conventions[averaging] = {}
        for name, level in vector.levels.items():
            over = select_classes(level.known, counts[name], averaging)
            means = average_classes(scores[name], over)
            conventions[averaging][name] = ConventionMetrics(**means, classes=int(over.sum()))
    return conventions


def build_chapters(vector: MetricVector, intervals: Intervals, settings: MetricSettings) -> list[ChapterMetrics]:
    """Return a row per chapter of the tabular list."""
    truth = vector.levels["chapter"].truth  # the classes of this level are the chapters, in their order
    counts = count_classes(vector.levels["chapter"])
    scores = score_classes(counts)
    samples = {chapter.number: int(counts.true[index]) for index, chapter in enumerate(CHAPTERS)}
    shown: dict[int, int | None] = dict(samples) if settings.shows_all else suppress_small(samples)
    right = {name: np.bincount(truth[level.is_right], minlength=len(CHAPTERS)) for name, level in vector.levels.items()}
    shares = {
        name: suppress_shares(
            dict(zip(samples, level_right.tolist(), strict=False)), shown, show_all=settings.shows_all
        )
        for name, level_right in right.items()
    }
    rows = []
    for index, chapter in enumerate(CHAPTERS):
        recall = shares["chapter"][chapter.number]
        is_shown = recall is not None
        rows.append(
            ChapterMetrics(
                chapter=chapter.number,
                roman=chapter.roman,
                title=chapter.title,
                samples=shown[chapter.number],
                precision=float(scores.precision[index]) if is_shown else None,
                recall=recall,
                f1=float(scores.f1[index]) if is_shown else None,
                f1_interval=intervals.get(f"chapter.{chapter.number:02d}.f1") if is_shown else None,
                category_accuracy=shares["category"][chapter.number],
                full_accuracy=shares["full"][chapter.number],
            )
        )
    return rows


def _build_terciles(
    vector: MetricVector, intervals: Intervals, settings: MetricSettings
) -> dict[LevelName, dict[str, GroupMetrics]]:
    """Return head, middle and tail of the training rows, at category and full code."""
    terciles: dict[LevelName, dict[str, GroupMetrics]] = {}
    for level, groups in vector.groups.items():
        counts = count_classes(vector.levels[level])
        samples = {name: int(counts.true[members].sum()) for name, members in groups.items()}
        right = {name: int(counts.right[members].sum()) for name, members in groups.items()}
        shown: dict[str, int | None] = dict(samples) if settings.shows_all else suppress_small(samples)
        accuracies = suppress_shares(right, shown, show_all=settings.shows_all)
        terciles[level] = {}
        for name in GROUPS:
            is_shown, figure = accuracies[name] is not None, f"{level}.{name}.macro_f1"
            terciles[level][name] = GroupMetrics(
                samples=shown[name],
                classes=int((counts.true[groups[name]] > 0).sum()),
                macro_f1=vector.values[figure] if is_shown else None,
                f1_interval=intervals.get(figure) if is_shown else None,
                accuracy=accuracies[name],
            )
    return terciles


def _count_answers(
    notes: Sequence[EvaluatedNote], vector: MetricVector, settings: MetricSettings
) -> tuple[PrefixDepth, AnswerCounts]:
    """Return how many characters predictions share with the truth, and why other answers predict nothing."""
    is_nil = [vector.levels[level].predicted == len(vector.levels[level].classes) for level in LEVELS]
    known_levels = (~np.logical_or.accumulate(is_nil)).sum(axis=0).tolist()
    outcomes = [
        AnswerOutcome(note.problem, known, note.overlap) for note, known in zip(notes, known_levels, strict=True)
    ]
    problems = sorted({NO_ANSWER, *(note.problem for note in notes if note.problem)})
    counts = suppress_counts(outcomes, problems, LEVELS, show_all=settings.shows_all)
    depths = counts.select("depth")
    has_mean = None not in depths.values()  # a mean is one more equation, which would reveal a withheld depth
    depth = PrefixDepth(
        mean=sum(note.overlap for note in notes) / len(notes) if has_mean else None,
        mean_share=sum(note.overlap / len(note.truth.value) for note in notes) / len(notes) if has_mean else None,
        rows={str(characters): number for characters, number in depths.items()},
    )
    answers = AnswerCounts(
        predict_a_code=counts["predict"], problems=counts.select("problem"), nil=counts.select("nil")
    )
    return depth, answers


def count_severity_errors(notes: Sequence[EvaluatedNote]) -> SeverityErrors:
    """Return how many wrong codes differ from the true one in severity only."""
    wrong = [(note.predicted, note.truth) for note in notes if note.predicted not in (None, note.truth)]
    pairs = Counter(
        f"{predicted} for {truth}" for predicted, truth in wrong if predicted and differs_in_severity(predicted, truth)
    )
    frequent = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_PAIRS]
    return SeverityErrors(errors=len(wrong), severity_only=pairs.total(), pairs=dict(frequent))
