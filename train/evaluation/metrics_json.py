"""Compute metrics.json from answers: all figures of an evaluation (deepicd.evaluation_metrics).

For credentialed rows, counts under ten, counts that would reveal one, and scores of so few rows are null. The scores of
the three levels are exact: a card that shows them withholds what they would reveal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepicd.evaluation_metrics import (
    AnswerCounts,
    Averaging,
    BootstrapSettings,
    ChapterMetrics,
    ConventionMetrics,
    Difference,
    GroupMetrics,
    Interval,
    LevelMetrics,
    LevelName,
    Metrics,
    PrefixDepth,
)
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.small_counts import suppress_small
from deepicd.storage import Origin
from train.evaluation.bootstrap import GROUPS, METRICS, MetricVector, compute_intervals, compute_p_values, draw_samples
from train.evaluation.metrics import (
    AVERAGINGS,
    LEVELS,
    Numbers,
    average_classes,
    count_classes,
    score_classes,
    select_classes,
)
from train.evaluation.predictions import NO_ANSWER, EvaluatedNote
from train.evaluation.suppression import AnswerOutcome, suppress_counts, suppress_shares

CONFIDENCE = 0.95

Intervals = Mapping[str, Interval]
"""Name of a figure → its interval; empty without samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """How notes are measured."""

    averaging: Averaging = "truth"
    vocabulary: set[Code] | None = None
    """The codes of the dataset; None without one."""
    train: Sequence[Code] = ()
    """The codes of its training rows."""
    resamples: int = 1000
    seed: int = 42
    origin: Origin = "mimic"

    @property
    def shows_all(self) -> bool:
        """Whether small counts may be shown."""
        return self.origin != "mimic"

    def build_vector(self, notes: Sequence[EvaluatedNote]) -> MetricVector:
        return MetricVector(
            [note.truth for note in notes],
            [note.predicted for note in notes],
            averaging=self.averaging,
            vocabulary=self.vocabulary,
            train=self.train,
        )


def compute_metrics(
    notes: Sequence[EvaluatedNote], settings: MetricSettings, other: Sequence[EvaluatedNote] = ()
) -> Metrics:
    """Return the content of metrics.json. `other`: the same notes as answered by another run, to compare with."""
    vectors = [settings.build_vector(notes), *([settings.build_vector(other)] if other else [])]
    vector = vectors[0]
    samples = draw_samples(vectors, settings.resamples, settings.seed)
    values = dict(zip(vector.names, vector.compute().tolist(), strict=True))
    intervals = dict(zip(vector.names, compute_intervals(samples[0], CONFIDENCE), strict=False))  # {} without samples
    depth, answers = _count_answers(notes, vector, settings)
    metrics = Metrics(
        chapter=_build_level("chapter", vector, values, intervals),
        category=_build_level("category", vector, values, intervals),
        full=_build_level("full", vector, values, intervals),
        rows=len(notes),
        origin=settings.origin,
        averaging=settings.averaging,
        bootstrap=BootstrapSettings(resamples=settings.resamples, seed=settings.seed, confidence=CONFIDENCE),
        conventions=_build_conventions(vector, with_vocabulary=settings.vocabulary is not None),
        chapters=build_chapters(vector, intervals, settings),
        terciles=_build_terciles(vector, values, intervals, settings) if settings.train else None,
        prefix_depth=depth,
        answers=answers,
    )
    if not other:
        return metrics
    theirs = dict(zip(vector.names, vectors[1].compute().tolist(), strict=True))
    return metrics.model_copy(update={"comparison": _compare(values, theirs, samples[0] - samples[1], vector.names)})


def _build_level(
    level: LevelName, vector: MetricVector, values: Mapping[str, float], intervals: Intervals
) -> LevelMetrics:
    rows = vector.levels[level]
    return LevelMetrics(
        **{metric: values[f"{level}.{metric}"] for metric in METRICS},
        classes=int(select_classes(rows, count_classes(rows), vector.averaging).sum()),
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
            over = select_classes(level, counts[name], averaging)
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
    vector: MetricVector, values: Mapping[str, float], intervals: Intervals, settings: MetricSettings
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
                macro_f1=values[figure] if is_shown else None,
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


def _compare(
    ours: Mapping[str, float], theirs: Mapping[str, float], differences: Numbers, names: Sequence[str]
) -> dict[str, Difference]:
    intervals = compute_intervals(differences, CONFIDENCE)
    p_values = compute_p_values(differences).tolist() if len(differences) else []
    return {
        name: Difference(
            ours=ours[name],
            theirs=theirs[name],
            difference=ours[name] - theirs[name],
            interval=intervals[index] if intervals else None,
            p=p_values[index] if p_values else None,
        )
        for index, name in enumerate(names)
        if name.split(".")[1] in METRICS
    }
