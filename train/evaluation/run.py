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
from typing import Any

from deepicd import records, storage
from deepicd.answer_form import THINK, THINK_END
from deepicd.engines import ledger, metrics
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import METRICS_FILE, Averaging, Metrics, read_metrics
from deepicd.icd10cm import Code
from deepicd.log import RUN_LOG
from deepicd.schema import PREDICTIONS
from deepicd.stage_records import EvaluateCounts, EvaluateRecord
from deepicd.storage import Origin
from train.data import EvaluationSplit, load_evaluation_split
from train.evaluation.answers import EvaluatedModel, generate_answers
from train.evaluation.metrics import LEVELS
from train.evaluation.predictions import (
    NO_ANSWER,
    Prediction,
    Reading,
    extract_code,
    read_predictions,
    read_predictions_origin,
)
from train.evaluation.report import render_report
from train.evaluation.results import EvaluatedNote, MetricSettings, build_chapters, build_results
from train.run_folder import read_model_origin

REPORT_FILE, FIGURE_FILE, PREDICTIONS_FILE = "report.md", "chapters.png", "predictions.parquet"
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
    dataset: str | None = None
    split: str = "test"
    limit: int | None = None
    averaging: Averaging = "truth"
    reading: Reading = "form"
    opening: str = ""
    resamples: int = 1000
    bootstrap_seed: int = 42
    against: Path | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of the run's plan."""
        shared = ("name", "split", "limit", "averaging", "reading", "opening", "resamples", "bootstrap_seed")
        return {name: getattr(self, name) for name in shared} | (self.model.options if self.model else {})


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
        notes = _match_answers(inputs.predictions, inputs.split, settings)
        other = _read_other_run(settings.against, notes) if settings.against else []
        with records.fresh_folder(settings.out, plan, inputs.origin, overwrite=overwrite) as run:
            run.counts = _write_outputs(run, settings, inputs, notes, other)
        return run.record
    if inputs.split is None:
        raise DeepicdError("A model needs notes to answer.", "Name the dataset: --dataset DIR_OR_REPOSITORY")
    questions = inputs.split.questions[: settings.limit]
    unanswered = [EvaluatedNote(question.note_id, question.code, None, NO_ANSWER, None) for question in questions]
    other = _read_other_run(settings.against, unanswered) if settings.against else []  # before anything is generated
    with _open_ledger_folder(settings.out, plan, inputs.origin, overwrite=overwrite) as run:
        answers, generation = generate_answers(settings.model, inputs.split, settings.out, settings.limit)
        notes = _match_answers(answers, inputs.split, settings)
        counts = _write_outputs(run, settings, inputs, notes, other)
        run.counts = counts.model_copy(update={"generation": generation})
        if settings.model.responsibility:
            run.notes.append(f"Said by who ran it: {settings.model.responsibility}")
    return run.record


def _check_settings(settings: EvaluationSettings) -> None:
    if (settings.predictions is None) == (settings.model is None):
        raise DeepicdError(
            "An evaluation needs either a file of predictions or a model.", "Give --predictions FILE or --model NAME."
        )
    if settings.dataset is None and (settings.model or settings.averaging == "vocabulary"):
        raise DeepicdError("This needs the dataset.", "Name it: --dataset DIR_OR_REPOSITORY")
    if settings.predictions and settings.limit:
        raise DeepicdError(
            "A file of predictions is always evaluated as a whole.", "Leave --limit out, or shorten the file."
        )
    if settings.against and not (settings.against / PREDICTIONS_FILE).is_file():
        raise DeepicdError(
            f"{settings.against} holds no {PREDICTIONS_FILE}.", "Point --against at the --out of another evaluation."
        )


def _read_inputs(settings: EvaluationSettings) -> Inputs:
    predictions = read_predictions(settings.predictions) if settings.predictions else []
    split, paths, origins = None, {}, []
    if settings.predictions:
        paths["predictions"] = settings.predictions
    if settings.dataset:
        split = load_evaluation_split(settings.dataset, settings.split, with_messages=settings.model is not None)
        paths["dataset"] = split.config_folder
        origins.append(split.origin)
    elif settings.predictions:
        origins.append(read_predictions_origin(settings.predictions))
    if settings.against:
        paths["against"] = settings.against / PREDICTIONS_FILE
        origins.append(storage.read_origin(paths["against"]))
    if settings.model:
        origins.append(read_model_origin(settings.model.recipe.model))
    return Inputs(split, predictions, paths, storage.combine_origins(origins))


@contextmanager
def _open_ledger_folder(
    out: Path, plan: records.Plan[EvaluateRecord], origin: Origin, *, overwrite: bool
) -> Iterator[records.Run[EvaluateRecord]]:
    """Yield a folder that keeps its ledger. Refuses one that holds anything that evaluations do not write."""
    is_unfinished = out.is_dir() and records.read(out) is None and (out / ledger.FOLDER).is_dir()
    if not is_unfinished or any(not path.name.startswith(".") and path.name not in OWN_NAMES for path in out.iterdir()):
        records.refuse_other_content(out, plan, overwrite=overwrite)
    with records.resumable_folder(out, plan, origin) as run:
        yield run


def _match_answers(
    predictions: Iterable[Prediction], split: EvaluationSplit | None, settings: EvaluationSettings
) -> list[EvaluatedNote]:
    """Return every note with its answer, sorted. Raises DeepicdError if answers and split do not belong together."""
    if split is None:
        ordered = sorted(predictions, key=lambda prediction: prediction.note_id)
        if without_truth := sum(prediction.truth is None for prediction in ordered):
            raise DeepicdError(
                f"{without_truth:,} predictions have no icd_code, and no dataset supplies the true codes.",
                "Put the true code under icd_code, or name the dataset: --dataset DIR_OR_REPOSITORY",
            )
        return [
            _evaluate_note(prediction.note_id, prediction.truth, prediction.text, settings)
            for prediction in ordered
            if prediction.truth
        ]
    answers = {prediction.note_id: prediction for prediction in predictions}
    truths = {question.note_id: question.code for question in split.questions[: settings.limit]}
    if unknown := len(answers.keys() - truths.keys()):
        raise DeepicdError(
            f"{unknown:,} of {len(answers):,} predictions answer notes that are not in the split {split.split!r}.",
            "Name the split (--split) and the dataset that were answered.",
        )
    if differing := sum(answer.truth not in (None, truths[note_id]) for note_id, answer in answers.items()):
        raise DeepicdError(
            f"{differing:,} of {len(answers):,} predictions have another icd_code than the dataset.",
            "icd_code is the true code, not the predicted one. Was another version of the dataset answered?",
        )
    if missing := len(truths) - len(answers):
        logger.warning("%s of %s notes have no answer: they count as wrong.", f"{missing:,}", f"{len(truths):,}")
    texts = {note_id: answer.text for note_id, answer in answers.items()}
    return [_evaluate_note(note_id, truth, texts.get(note_id), settings) for note_id, truth in truths.items()]


def _evaluate_note(note_id: str, truth: Code, text: str | None, settings: EvaluationSettings) -> EvaluatedNote:
    result = extract_code(text, settings.reading, settings.opening)
    code, problem = (result, None) if isinstance(result, Code) else (None, result)
    return EvaluatedNote(note_id, truth, code, problem, text)


def _read_other_run(folder: Path, notes: Sequence[EvaluatedNote]) -> list[EvaluatedNote]:
    """Return another run's answers to the same notes, in the same order. Raises DeepicdError for other notes."""
    table = storage.read_table(folder / PREDICTIONS_FILE, PREDICTIONS).to_pylist()
    theirs = {
        row["note_id"]: EvaluatedNote(
            row["note_id"],
            Code(row["icd_code"]),
            Code(row["predicted"]) if row["predicted"] else None,
            row["problem"],
            None,
        )
        for row in table
    }
    ours = {note.note_id: note.truth for note in notes}
    if ours != {note_id: note.truth for note_id, note in theirs.items()}:
        shared = len(ours.keys() & theirs.keys())
        raise DeepicdError(
            f"The two runs answer different questions: {shared:,} notes are in both, of {len(ours):,} here and"
            f" {len(theirs):,} there.",
            "Compare runs on the same split of the same dataset.",
        )
    return [theirs[note.note_id] for note in notes]


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
        resamples=settings.resamples,
        seed=settings.bootstrap_seed,
        origin=inputs.origin,
    )
    results = build_results(notes, metric_settings, other)
    storage.write_json(run.folder / METRICS_FILE, results.dump())
    _warn_about_opening(notes)
    storage.write_text(run.folder / REPORT_FILE, render_report(settings.name, results))
    theirs = build_chapters(metric_settings.build_vector(other), {}, metric_settings) if other else ()
    draw_chapters(run.folder / FIGURE_FILE, results.chapters, theirs)
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


def _warn_about_opening(notes: Sequence[EvaluatedNote]) -> None:
    """Warn if most answers look as if the prompt had opened their think block."""
    unopened = sum(
        bool(note.problem and note.text and THINK_END in note.text and THINK not in note.text) for note in notes
    )
    if 2 * unopened > len(notes):
        logger.warning(
            "Most answers (%s) close a think block that they do not open. If the prompt opened it, add: --opening '%s'",
            f"{unopened:,}",
            THINK,
        )


def format_summary(folder: Path) -> str:
    """Return the figures of the three levels as lines for a terminal."""
    results: Metrics = read_metrics(folder / METRICS_FILE)
    lines = [f"{'':10}{'classes':>9}{'precision':>11}{'recall':>9}{'F1':>9}{'accuracy':>10}   (macro, in %)"]
    for name in LEVELS:
        level = results.level(name)
        shares = (level.macro_precision, level.macro_recall, level.macro_f1, level.accuracy)
        cells = [f"{100 * share:.1f}" for share in shares]
        lines.append(f"{name:10}{level.classes:>9,}{cells[0]:>11}{cells[1]:>9}{cells[2]:>9}{cells[3]:>10}")
    return "\n".join(lines)
