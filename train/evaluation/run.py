"""`deepicd evaluate`: answers against true codes, from a file or generated here by a model.

    OUT/metrics.json           all figures (deepicd.evaluation_metrics)
    OUT/report.md, chapters.png
    OUT/predictions.parquet    what was predicted for each note; --against compares another run with it
    OUT/lists.parquet          with the config multi: true and predicted codes of each note
    OUT/run.json
    OUT/ledger/…               with a model: every answer as it arrives (deepicd.engines.ledger)

A note of the split without an answer counts as NIL, a wrong prediction, and the log says how many there are: leaving
them out would flatter a model that answers only the easy notes. An answer to a note outside the split is an error.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepicd import records, storage
from deepicd.engines import ledger, metrics
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import (
    METRICS_FILE,
    ListMetrics,
    Metrics,
    Reasoning,
    ReasoningMetrics,
    Subgroups,
    read_metrics,
)
from deepicd.log import RUN_LOG
from deepicd.schema import PREDICTIONS
from deepicd.stage_records import EvaluateCounts, EvaluateRecord
from deepicd.storage import Origin
from deepicd.text_store import TextStore, open_text_store
from train.data import EvaluationSplit, iterate_notes, read_notes, read_true_lists
from train.evaluation.answers import generate_answers
from train.evaluation.inputs import EvaluationSettings, Inputs, check_settings, read_inputs
from train.evaluation.metrics_json import MetricSettings, build_chapters, compute_metrics
from train.evaluation.predictions import (
    PREDICTIONS_FILE,
    EvaluatedNote,
    Prediction,
    read_other_run,
)
from train.evaluation.reading import NO_ANSWER, explain_problems, find_advice
from train.evaluation.reasoning import measure_traces, summarize
from train.evaluation.report import render_report
from train.evaluation.several import LISTS_FILE, PredictedList, measure_lists, read_lists, write_lists
from train.evaluation.subgroups import measure_subgroups, name_terciles, read_columns

REPORT_FILE, FIGURE_FILE = "report.md", "chapters.png"
OWN_NAMES = {METRICS_FILE, REPORT_FILE, FIGURE_FILE, PREDICTIONS_FILE, LISTS_FILE, RUN_LOG, ledger.FOLDER,
             metrics.FOLDER}  # fmt: skip
"""What an evaluation that was killed may have left."""

logger = logging.getLogger(__name__)


def evaluate(settings: EvaluationSettings, *, overwrite: bool = False) -> EvaluateRecord:
    """Measure and write everything; return the record. Raises DeepicdError before anything is generated or written."""
    check_settings(settings)
    with open_text_store(settings.out) as texts:
        return _evaluate(settings, texts, overwrite=overwrite)


def _evaluate(settings: EvaluationSettings, texts: TextStore, *, overwrite: bool) -> EvaluateRecord:
    inputs = read_inputs(settings, texts)
    if settings.config and settings.against and inputs.split:
        read_lists(settings.against, read_true_lists(inputs.split))  # fails before anything is generated
    plan = records.plan_run(EvaluateRecord, options=settings.options, inputs=inputs.paths)
    finished = records.find_finished(settings.out, plan)
    if finished and not (finished.counts.generation and finished.counts.generation.unanswered):
        return finished
    if settings.model is None:
        predictions = _predict(settings, inputs) if settings.baseline else inputs.predictions
        notes = settings.match_answers(predictions, inputs.split)
        other = read_other_run(settings.against, notes) if settings.against else []
        with records.open_fresh_folder(settings.out, plan, inputs.origin, overwrite=overwrite) as run:
            run.counts = _write_outputs(run, settings, inputs, notes, other)
        return run.record
    if inputs.split is None:
        raise DeepicdError("A model needs notes to answer.", "Name the dataset: --dataset DIR_OR_REPOSITORY")
    questions = inputs.split.questions[: settings.limit]
    if settings.subgroups:
        read_columns(settings.subgroups, [question.note_id for question in questions])
    unanswered = [EvaluatedNote(question.note_id, question.code, None, NO_ANSWER, None) for question in questions]
    other = read_other_run(settings.against, unanswered) if settings.against else []  # before anything is generated
    with _open_ledger_folder(settings.out, plan, inputs.origin, overwrite=overwrite) as run:
        answers, generation = generate_answers(settings.model, inputs.split, settings.out, settings.limit, texts)
        notes = settings.match_answers(answers, inputs.split)
        counts = _write_outputs(run, settings, inputs, notes, other)
        run.counts = counts.model_copy(update={"generation": generation})
        if settings.model.responsibility:
            run.notes.append(f"Said by who ran it: {settings.model.responsibility}")
    return run.record


def _predict(settings: EvaluationSettings, inputs: Inputs) -> list[Prediction]:
    """Train the baseline on the training split and return its predictions for the split."""
    if settings.dataset is None or settings.baseline is None:
        return []
    from train.evaluation.baselines import train_baseline

    predict = train_baseline(settings.baseline, read_notes(settings.dataset, "train"), model=settings.encoder)
    notes = read_notes(settings.dataset, settings.split)[: settings.limit]
    codes = predict([note.note for note in notes])
    return [Prediction(note.note_id, None, None, code.value) for note, code in zip(notes, codes, strict=True)]


@contextmanager
def _open_ledger_folder(
    out: Path, plan: records.Plan[EvaluateRecord], origin: Origin, *, overwrite: bool
) -> Iterator[records.Run[EvaluateRecord]]:
    """Yield a folder that keeps its ledger. Refuses one that holds anything that evaluations do not write."""
    is_unfinished = out.is_dir() and records.read(out) is None and (out / ledger.FOLDER).is_dir()
    if not is_unfinished or any(not path.name.startswith(".") and path.name not in OWN_NAMES for path in out.iterdir()):
        records.refuse_other_content(out, plan, overwrite=overwrite)
    with records.open_resumable_folder(out, plan, origin) as run:
        yield run


def _write_outputs(
    run: records.Run[EvaluateRecord],
    settings: EvaluationSettings,
    inputs: Inputs,
    notes: Sequence[EvaluatedNote],
    other: Sequence[EvaluatedNote],
) -> EvaluateCounts:
    """Write metrics, report, figure and predictions."""
    from train.evaluation.chapter_figure import draw_chapters

    metric_settings = MetricSettings(
        averaging=settings.averaging,
        vocabulary=inputs.split.vocabulary if inputs.split else None,
        train=inputs.split.train if inputs.split else (),
        origin=inputs.origin,
    )
    figures = compute_metrics(notes, metric_settings, other)
    if settings.subgroups:
        figures = figures.model_copy(
            update={"subgroups": _measure_subgroups(settings.subgroups, notes, metric_settings)}
        )
    figures = figures.model_copy(update=_measure_reasoning(settings, notes, metric_settings))
    if settings.config and inputs.split:
        figures = figures.model_copy(update={"several": _measure_lists(run, settings, inputs.split, notes)})
    storage.write_json(run.folder / METRICS_FILE, figures.dump())
    for line in _explain_unread(settings, notes, figures):
        logger.warning("%s", line)
    storage.write_text(run.folder / REPORT_FILE, render_report(settings.name, figures))
    theirs = build_chapters(metric_settings.build_vector(other), {}, metric_settings) if other else ()
    draw_chapters(run.folder / FIGURE_FILE, figures.chapters, theirs)
    rows = (
        {
            "note_id": note.note_id,
            "icd_code": note.truth.value,
            "predicted": note.predicted.value if note.predicted else None,
            "problem": note.problem,
            "overlap": note.overlap,
            "completion": note.text.read().encode(errors="replace").decode() if note.text is not None else None,
        }
        for note in notes
    )
    storage.write_parquet(run.folder / PREDICTIONS_FILE, rows, PREDICTIONS, inputs.origin)
    missing = sum(note.problem == NO_ANSWER for note in notes)
    if missing:
        run.notes.append(f"{missing:,} notes without an answer count as wrong.")
    return EvaluateCounts(rows=len(notes), answered=len(notes) - missing)


def _measure_lists(
    run: records.Run[EvaluateRecord],
    settings: EvaluationSettings,
    split: EvaluationSplit,
    notes: Sequence[EvaluatedNote],
) -> ListMetrics:
    """Write the lists of all answers, and return their figures."""
    truths = read_true_lists(split)
    opening = settings.opening
    lists = [PredictedList(note.note_id, truths[note.note_id], note.list_codes(settings.answer_reading, opening))
             for note in notes]  # fmt: skip
    theirs = read_lists(settings.against, truths) if settings.against else {}
    write_lists(run.folder, lists, split.origin)
    other = [theirs[one.note_id] for one in lists] if theirs else ()
    return measure_lists(lists, show_all=split.origin != "mimic", other=other)


def _measure_subgroups(cohort: Path, notes: Sequence[EvaluatedNote], settings: MetricSettings) -> dict[str, Subgroups]:
    note_ids = [note.note_id for note in notes]
    columns, vector = read_columns(cohort, note_ids), settings.build_vector(notes)
    if terciles := name_terciles(vector):
        columns["frequency"] = terciles
    return measure_subgroups(vector, columns, show_all=settings.shows_all)


def _measure_reasoning(
    settings: EvaluationSettings, notes: Sequence[EvaluatedNote], metric_settings: MetricSettings
) -> dict[str, Reasoning | ReasoningMetrics | None]:
    """Return the fields of metrics.json about traces; the other run's are those in its own file."""
    measures = measure_traces(_pair_with_notes(settings, notes), settings.opening)
    measures.sort(key=lambda one: one.note_id)  # sums of floats depend on the order
    reasoning = summarize(measures, show_all=metric_settings.shows_all)
    before = read_metrics(settings.against / METRICS_FILE).reasoning if settings.against else None
    return {"reasoning": reasoning, "reasoning_before": before.overall if before else None}


def _pair_with_notes(
    settings: EvaluationSettings, notes: Sequence[EvaluatedNote]
) -> Iterator[tuple[EvaluatedNote, str | None]]:
    """Yield the answers that have a text with their admission notes, which only a dataset has."""
    answered = {note.note_id: note for note in notes if note.text}
    if settings.dataset is None:
        yield from ((note, None) for note in answered.values())
    elif answered:
        for row in iterate_notes(settings.dataset, settings.split):
            if answer := answered.get(row.note_id):
                yield answer, row.note


def _explain_unread(settings: EvaluationSettings, notes: Sequence[EvaluatedNote], figures: Metrics) -> Iterator[str]:
    """Yield why answers predict no code, and what would read more of them."""
    if line := explain_problems(figures.answers.problems, len(notes)):
        yield line
    opening = settings.model.opening if settings.model else settings.opening
    texts = (note.text.read() if note.text is not None else None for note in notes)
    if advice := find_advice(
        texts, reading=settings.answer_reading, opening=opening, is_model=settings.model is not None
    ):
        yield advice
