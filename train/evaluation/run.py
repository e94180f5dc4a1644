"""`deepicd evaluate`: answers against true codes, from a file or from a model that is asked here.

    OUT/metrics.json           all figures (train.evaluation.results)
    OUT/report.md, chapters.png
    OUT/predictions.parquet    what was predicted for each note; another run is compared with it (--against)
    OUT/run.json
    OUT/ledger/…               with a model: every answer as it comes (deepicd.engines.ledger)

A note of the split without an answer counts as NIL, a wrong prediction, and is counted aloud: leaving it out would
flatter whoever answers the easy notes only. An answer to a note that the split has not is an error.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deepicd import records, storage
from deepicd.answer_form import THINK, THINK_END
from deepicd.engines import ledger, metrics
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import PREDICTIONS
from deepicd.stage_records import EvaluateCounts, EvaluateRecord
from deepicd.storage import Origin
from train.data import EvaluationSplit, load_evaluation_split
from train.evaluation import predictions, report, results
from train.evaluation.answers import EvaluatedModel, generate_answers
from train.evaluation.metrics import Averaging
from train.evaluation.predictions import NO_ANSWER, Prediction, Reading
from train.evaluation.results import EvaluatedNote, MetricSettings
from train.run_folder import read_model_origin

METRICS, REPORT, FIGURE = "metrics.json", "report.md", "chapters.png"
ANSWERED = "predictions.parquet"
OWN = {METRICS, REPORT, FIGURE, ANSWERED, ledger.FOLDER, metrics.FOLDER}
"""What an evaluation that was killed may have left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is evaluated, and how."""

    out: Path
    name: str
    predictions: Path | None = None
    model: EvaluatedModel | None = None
    """The model to ask instead."""
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
        shared = ("name", "split", "limit", "averaging", "reading", "opening", "resamples", "bootstrap_seed")
        return {name: getattr(self, name) for name in shared} | (self.model.options if self.model else {})


def evaluate(what: EvaluationSettings, *, overwrite: bool = False) -> EvaluateRecord:
    """Measure and write; the record. Raises DeepicdError before anything is asked or written."""
    if (what.predictions is None) == (what.model is None):
        raise DeepicdError(
            "An evaluation is of a file of predictions or of a model.", "Give --predictions FILE or --model NAME."
        )
    if what.dataset is None and (what.model or what.averaging == "vocabulary"):
        raise DeepicdError("That needs the dataset.", "Name it: --dataset DIR_OR_REPOSITORY")
    if what.predictions and what.limit:
        raise DeepicdError("A file of predictions is taken as a whole.", "Leave --limit out, or shorten the file.")
    given = predictions.read_predictions(what.predictions) if what.predictions else []
    asked = (
        load_evaluation_split(what.dataset, what.split, with_messages=what.model is not None) if what.dataset else None
    )
    origin = asked.origin if asked else predictions.read_predictions_origin(what.predictions or Path())
    inputs = {
        **({"predictions": what.predictions} if what.predictions else {}),
        **({"dataset": asked.config_folder} if asked else {}),
        **({"against": what.against / ANSWERED} if what.against else {}),
    }
    if what.against and not inputs["against"].is_file():
        raise DeepicdError(
            f"{what.against} holds no {ANSWERED}.", "Point --against at the --out of another evaluation."
        )
    if what.against:
        origin = storage.combine_origins([origin, storage.read_origin(inputs["against"])])
    if what.model:
        origin = storage.combine_origins([origin, read_model_origin(what.model.recipe.model)])
    plan = records.plan_run(EvaluateRecord, options=what.options, inputs=inputs)
    done = records.find_finished(what.out, plan)
    if done and not (done.counts.generation and done.counts.generation.unanswered):
        return done
    if what.model is None:
        rows = _answered(given, asked, what)
        other = _others(what.against, rows) if what.against else []
        with records.fresh_folder(what.out, plan, origin, overwrite=overwrite) as run:
            run.counts = _write(run, what, rows, other, asked, origin)
        return run.record
    assert asked is not None
    unasked = [EvaluatedNote(one.note_id, one.code, None, NO_ANSWER, None) for one in asked.questions[: what.limit]]
    other = _others(what.against, unasked) if what.against else []  # before anything is asked
    with _kept(what.out, plan, origin, overwrite=overwrite) as run:
        answers, generation = generate_answers(what.model, asked, what.out, what.limit)
        counts = _write(run, what, _answered(answers, asked, what), other, asked, origin)
        run.counts = counts.model_copy(update={"generation": generation})
        run.notes += [f"Said by who ran it: {what.model.taken}"] if what.model.taken else []
    return run.record


@contextmanager
def _kept(
    out: Path, plan: records.Plan[EvaluateRecord], origin: Origin, *, overwrite: bool
) -> Iterator[records.Run[EvaluateRecord]]:
    """A folder that keeps its ledger. Refuses one that holds anything else than what evaluations leave."""
    unfinished = out.is_dir() and records.read(out) is None and (out / ledger.FOLDER).is_dir()
    if not unfinished or any(not path.name.startswith(".") and path.name not in OWN for path in out.iterdir()):
        records.refuse_other_content(out, plan, overwrite=overwrite)
    with records.resumable_folder(out, plan, origin) as run:
        yield run


def _answered(
    given: Iterable[Prediction], asked: EvaluationSplit | None, what: EvaluationSettings
) -> list[EvaluatedNote]:
    """Every note with its answer, sorted. Raises DeepicdError where answers and split do not belong together."""
    if asked is None:
        known = sorted(given, key=lambda one: one.note_id)
        if lacking := sum(one.truth is None for one in known):
            raise DeepicdError(
                f"{lacking:,} predictions have no icd_code, and no dataset tells the truth.",
                "Put the true code under icd_code, or name the dataset: --dataset DIR_OR_REPOSITORY",
            )
        return [_row(one.note_id, one.truth, one.text, what) for one in known if one.truth]
    answers = {one.note_id: one for one in given}
    truths = {one.note_id: one.code for one in asked.questions[: what.limit]}
    if strangers := len(answers.keys() - truths.keys()):
        raise DeepicdError(
            f"{strangers:,} of {len(answers):,} predictions answer notes that are not in the split {asked.split!r}.",
            "Name the split (--split) and the dataset that were answered.",
        )
    if other := sum(one.truth not in (None, truths[note_id]) for note_id, one in answers.items()):
        raise DeepicdError(
            f"{other:,} of {len(answers):,} predictions have another icd_code than the dataset.",
            "icd_code is the true code, not the predicted one. Was another version of the dataset answered?",
        )
    if missing := len(truths) - len(answers):
        click.echo(f"{missing:,} of {len(truths):,} notes have no answer: they count as wrong.", err=True)
    texts = {note_id: one.text for note_id, one in answers.items()}
    return [_row(note_id, truth, texts.get(note_id), what) for note_id, truth in truths.items()]


def _row(note_id: str, truth: Code, text: str | None, what: EvaluationSettings) -> EvaluatedNote:
    found = predictions.extract_code(text, what.reading, what.opening)
    code, problem = (found, None) if isinstance(found, Code) else (None, found)
    return EvaluatedNote(note_id, truth, code, problem, text)


def _others(folder: Path, rows: Sequence[EvaluatedNote]) -> list[EvaluatedNote]:
    """How another run answered the same notes, in the same order. Raises DeepicdError where they are not the same."""
    table = storage.read_table(folder / ANSWERED, PREDICTIONS).to_pylist()
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
    ours = {row.note_id: row.truth for row in rows}
    if ours != {note_id: row.truth for note_id, row in theirs.items()}:
        shared = len(ours.keys() & theirs.keys())
        raise DeepicdError(
            f"The two runs answer different questions: {shared:,} notes are in both, of {len(ours):,} here and"
            f" {len(theirs):,} there.",
            "Compare runs on the same split of the same dataset.",
        )
    return [theirs[row.note_id] for row in rows]


def _write(
    run: records.Run[EvaluateRecord],
    what: EvaluationSettings,
    rows: Sequence[EvaluatedNote],
    other: Sequence[EvaluatedNote],
    asked: EvaluationSplit | None,
    origin: Origin,
) -> EvaluateCounts:
    from train.evaluation import chapter_figure

    setting = MetricSettings(
        averaging=what.averaging,
        vocabulary=asked.vocabulary if asked else None,
        train=asked.train if asked else (),
        resamples=what.resamples,
        seed=what.bootstrap_seed,
        origin=origin,
    )
    found = results.build_results(rows, setting, other)
    storage.write_json(run.folder / METRICS, found)
    _hint(rows)
    storage.write_text(run.folder / REPORT, report.render_report(what.name, found))
    theirs = results.build_chapter_rows(setting.sheet(other), {}, origin) if other else ()
    chapter_figure.draw_chapters(run.folder / FIGURE, found["chapters"], theirs)
    table = [
        {
            "note_id": row.note_id,
            "icd_code": row.truth.value,
            "predicted": row.predicted.value if row.predicted else None,
            "problem": row.problem,
            "overlap": row.overlap,
            "completion": row.text.encode(errors="replace").decode() if row.text is not None else None,
        }
        for row in rows
    ]
    storage.write_parquet(run.folder / ANSWERED, table, PREDICTIONS, origin)
    missing = sum(row.problem == NO_ANSWER for row in rows)
    if missing:
        run.notes.append(f"{missing:,} notes without an answer count as wrong.")
    return EvaluateCounts(rows=len(rows), answered=len(rows) - missing)


def _hint(rows: Sequence[EvaluatedNote]) -> None:
    """Say so where most answers look as if the prompt had opened them."""
    unopened = sum(bool(row.problem and row.text and THINK_END in row.text and THINK not in row.text) for row in rows)
    if 2 * unopened > len(rows):
        click.echo(
            f"Most answers ({unopened:,}) close a think block that they do not open. If the prompt opened it, add:"
            f" --opening '{THINK}'",
            err=True,
        )


def format_summary(folder: Path) -> str:
    """The three levels as lines for a terminal."""
    found = storage.read_json(folder / METRICS)
    lines = [f"{'':10}{'classes':>9}{'precision':>11}{'recall':>9}{'F1':>9}{'accuracy':>10}   (macro, in %)"]
    for level in ("chapter", "category", "full"):
        of = found[level]
        cells = [f"{100 * of[name]:.1f}" for name in ("macro_precision", "macro_recall", "macro_f1", "accuracy")]
        lines.append(f"{level:10}{of['classes']:>9,}{cells[0]:>11}{cells[1]:>9}{cells[2]:>9}{cells[3]:>10}")
    return "\n".join(lines)
