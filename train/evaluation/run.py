"""`deepicd evaluate`: answers against true codes, from a file or generated here by a model.

    OUT/metrics.json           all figures (deepicd.evaluation_metrics)
    OUT/report.md, chapters.png
    OUT/predictions.parquet    what was predicted for each note; --against compares another run with it
    OUT/run.json
    OUT/ledger/…               with a model: every answer as it arrives (deepicd.engines.ledger)

A note of the split without an answer counts as NIL, a wrong prediction, and the log says how many there are: leaving
them out would flatter a model that answers only the easy notes. An answer to a note outside the split is an error.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepicd import records, storage
from deepicd.engines import ledger, metrics
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import METRICS_FILE, Averaging, Metrics, Subgroups, read_metrics
from deepicd.log import RUN_LOG
from deepicd.schema import PREDICTIONS
from deepicd.stage_records import EvaluateCounts, EvaluateRecord
from deepicd.storage import Origin
from train.data import EvaluationSplit, load_evaluation_split, read_notes
from train.evaluation.answers import EvaluatedModel, generate_answers
from train.evaluation.baselines import Baseline
from train.evaluation.intervals import number_patients
from train.evaluation.metrics import LEVELS
from train.evaluation.metrics_json import MetricSettings, build_chapters, compute_metrics
from train.evaluation.predictions import (
    PREDICTIONS_FILE,
    EvaluatedNote,
    Prediction,
    find_predictions,
    match_answers,
    read_other_run,
    read_predictions,
    read_predictions_origin,
)
from train.evaluation.reading import NO_ANSWER, Reading, explain_problems, find_advice
from train.evaluation.report import render_report
from train.evaluation.subgroups import list_cohort_files, measure_subgroups, name_terciles, read_columns
from train.run_folder import read_model_origin

REPORT_FILE, FIGURE_FILE = "report.md", "chapters.png"
OWN_NAMES = {METRICS_FILE, REPORT_FILE, FIGURE_FILE, PREDICTIONS_FILE, RUN_LOG, ledger.FOLDER, metrics.FOLDER}
"""What an evaluation that was killed may have left."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is evaluated, and how."""

    out: Path
    name: str
    predictions: Path | None = None
    model: EvaluatedModel | None = None
    """The model that answers, if there is no file of predictions."""
    baseline: Baseline | None = None
    """Or the baseline that predicts, and the encoder that it fine-tunes."""
    encoder: str | None = None
    dataset: str | None = None
    split: str = "test"
    limit: int | None = None
    averaging: Averaging = "truth"
    reading: Reading = "form"
    opening: str = ""
    against: Path | None = None
    subgroups: Path | None = None
    """The cohort whose columns say to which groups a note belongs."""

    @property
    def options(self) -> dict[str, object]:
        """The options of the run's plan."""
        shared = ("name", "split", "limit", "averaging", "reading", "opening")
        options = {name: getattr(self, name) for name in shared} | (self.model.options if self.model else {})
        return options | ({"baseline": self.baseline, "encoder": self.encoder} if self.baseline else {})

    def match_answers(self, answers: Iterable[Prediction], split: EvaluationSplit | None) -> list[EvaluatedNote]:
        return match_answers(answers, split, limit=self.limit, reading=self.reading, opening=self.opening)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an evaluation reads: the split, if a dataset is given, and the predictions of a file."""

    split: EvaluationSplit | None
    predictions: list[Prediction]
    paths: dict[str, Path]
    """Role → file or folder."""
    origin: Origin
    """Of the notes, and of the rows that the model was trained on."""


def evaluate(settings: EvaluationSettings, *, overwrite: bool = False) -> EvaluateRecord:
    """Measure and write everything; return the record. Raises DeepicdError before anything is generated or written."""
    _check_settings(settings)
    inputs = _read_inputs(settings)
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
        answers, generation = generate_answers(settings.model, inputs.split, settings.out, settings.limit)
        notes = settings.match_answers(answers, inputs.split)
        counts = _write_outputs(run, settings, inputs, notes, other)
        run.counts = counts.model_copy(update={"generation": generation})
        if settings.model.responsibility:
            run.notes.append(f"Said by who ran it: {settings.model.responsibility}")
    return run.record


def _check_settings(settings: EvaluationSettings) -> None:
    if [settings.predictions, settings.model, settings.baseline].count(None) != 2:
        raise DeepicdError(
            "An evaluation needs a file of predictions, a model or a baseline, and only one of them.",
            "Give --predictions FILE or --model NAME.",
        )
    if settings.dataset is None and (settings.model or settings.baseline or settings.averaging == "vocabulary"):
        raise DeepicdError("This needs the dataset.", "Name it: --dataset DIR_OR_REPOSITORY")
    if settings.encoder and settings.baseline != "encoder":
        raise DeepicdError(f"{settings.baseline} learns from the notes alone.", "Leave --model out.")
    if settings.predictions and settings.limit:
        raise DeepicdError(
            "A file of predictions is always evaluated as a whole.", "Leave --limit out, or shorten the file."
        )
    if settings.against and not (settings.against / PREDICTIONS_FILE).is_file():
        raise DeepicdError(
            f"{settings.against} holds no {PREDICTIONS_FILE}.", "Point --against at the --out of another evaluation."
        )


def _read_inputs(settings: EvaluationSettings) -> Inputs:
    path = find_predictions(settings.predictions) if settings.predictions else None
    predictions = read_predictions(path) if path else []
    split, paths, origins = None, {}, []
    if path:
        paths["predictions"] = path
    if settings.dataset:
        split = load_evaluation_split(settings.dataset, settings.split, with_messages=settings.model is not None)
        paths["dataset"] = split.config_folder
        origins.append(split.origin)
    elif path:
        origins.append(read_predictions_origin(path))
    if settings.against:
        paths["against"] = settings.against / PREDICTIONS_FILE
        origins.append(storage.read_origin(paths["against"]))
    if settings.subgroups:
        for file in list_cohort_files(settings.subgroups):
            paths[f"subgroups_{file.stem}"] = file
            origins.append(storage.read_origin(file))
    models = (settings.model.recipe.model if settings.model else None, settings.encoder)
    origins += [read_model_origin(model) for model in models if model]
    return Inputs(split, predictions, paths, storage.combine_origins(origins))


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
    storage.write_json(run.folder / METRICS_FILE, figures.dump())
    for line in _explain_unread(settings, notes, figures):
        logger.warning("%s", line)
    storage.write_text(run.folder / REPORT_FILE, render_report(settings.name, figures))
    theirs = build_chapters(metric_settings.build_vector(other), {}, metric_settings) if other else ()
    draw_chapters(run.folder / FIGURE_FILE, figures.chapters, theirs)
    rows = [
        {
            "note_id": note.note_id,
            "icd_code": note.truth.value,
            "predicted": note.predicted.value if note.predicted else None,
            "problem": note.problem,
            "overlap": note.overlap,
            "completion": note.text.encode(errors="replace").decode() if note.text is not None else None,
        }
        for note in notes
    ]
    storage.write_parquet(run.folder / PREDICTIONS_FILE, rows, PREDICTIONS, inputs.origin)
    missing = sum(note.problem == NO_ANSWER for note in notes)
    if missing:
        run.notes.append(f"{missing:,} notes without an answer count as wrong.")
    return EvaluateCounts(rows=len(notes), answered=len(notes) - missing)


def _measure_subgroups(cohort: Path, notes: Sequence[EvaluatedNote], settings: MetricSettings) -> dict[str, Subgroups]:
    note_ids = [note.note_id for note in notes]
    columns, vector = read_columns(cohort, note_ids), settings.build_vector(notes)
    if terciles := name_terciles(vector):
        columns["frequency"] = terciles
    return measure_subgroups(vector, number_patients(note_ids), columns, show_all=settings.shows_all)


def _explain_unread(settings: EvaluationSettings, notes: Sequence[EvaluatedNote], figures: Metrics) -> Iterator[str]:
    """Yield why answers predict no code, and what would read more of them."""
    if line := explain_problems(figures.answers.problems, len(notes)):
        yield line
    opening = settings.model.opening if settings.model else settings.opening
    texts = [note.text for note in notes]
    if advice := find_advice(texts, reading=settings.reading, opening=opening, is_model=settings.model is not None):
        yield advice


def format_summary(folder: Path) -> str:
    """Return the figures of the three levels as lines for a terminal."""
    figures: Metrics = read_metrics(folder / METRICS_FILE)
    lines = [f"{'':10}{'classes':>9}{'precision':>11}{'recall':>9}{'F1':>9}{'accuracy':>10}   (macro, in %)"]
    for name in LEVELS:
        level = figures.get_level(name)
        shares = (level.macro_precision, level.macro_recall, level.macro_f1, level.accuracy)
        cells = [f"{100 * share:.1f}" for share in shares]
        lines.append(f"{name:10}{level.classes:>9,}{cells[0]:>11}{cells[1]:>9}{cells[2]:>9}{cells[3]:>10}")
    return "\n".join(lines)
