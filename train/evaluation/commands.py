"""`deepicd evaluate`."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from deepicd import json_output
from deepicd.changed_inputs import accept_changes_option
from deepicd.engines.registry import EngineName

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from deepicd.evaluation_metrics import Averaging
    from train.evaluation.answers import EvaluatedModel
    from train.evaluation.baselines import Baseline
    from train.evaluation.reading import Reading
    from train.evaluation.tables import Row


class EvaluateOptions(TypedDict):
    """The options of `deepicd evaluate`."""

    predictions: Path | None
    model: str | None
    recipe: Path | None
    baseline: "Baseline | None"
    dataset: str | None
    split: str
    config: Literal["multi"] | None
    out: Path
    name: str | None
    averaging: "Averaging"
    reading: "Reading"
    opening: str
    resamples: int | None
    against: Path | None
    subgroups: Path | None
    limit: int | None
    engine: str | None
    base_url: str | None
    assignments: tuple[str, ...]
    responsible: str | None
    overwrite: bool


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--predictions", type=click.Path(path_type=Path),
              help="JSON lines or CSV: note_id, icd_code, completion, code or codes; or the word example.")  # fmt: skip
@click.option("--model", help="Or a model to generate answers with, by name or path.")
@click.option("--recipe", type=click.Path(path_type=Path),
              help="Settings of a model: a YAML file, or huatuogpt-o1-7b or medreason-8b of this package.")  # fmt: skip
@click.option("--baseline", type=click.Choice(["majority", "tfidf", "neighbors", "encoder"]),
              help="Or a baseline that learns from the training notes; encoder: fine-tunes --model.")  # fmt: skip
@click.option("--dataset", metavar="DIR_OR_REPO", help="Folder of `deepicd assemble`, or NAME/REPOSITORY@REVISION.")
@click.option("--split", default="test", show_default=True, help="Split of the dataset whose notes are answered.")
@click.option("--config", type=click.Choice(["multi"]),
              help="multi: answers are lists of diagnoses, measured as lists and by their first code.")  # fmt: skip
@click.option("--name", help="Name of the run in reports and tables. Default: the model or the file.")
@click.option("--averaging", type=click.Choice(["truth", "union", "vocabulary"]), default="truth", show_default=True,
              help="The classes that the means cover: see docs/evaluation.md.")  # fmt: skip
@click.option("--answers", "reading", type=click.Choice(["form", "diagnosis"]), default="form", show_default=True,
              help="Whether an answer needs the whole form, or a diagnosis block or a code alone.")  # fmt: skip
@click.option("--opening", default="", help="Start of the assistant's turn that is missing from answers ('<think>').")
@click.option("--resamples", type=int, hidden=True, help="Of the bootstrap of versions up to 0.1.0.")
@click.option("--against", type=click.Path(path_type=Path), help="The OUT of another run, to compare with.")
@click.option("--subgroups", metavar="COHORT", type=click.Path(path_type=Path),
              help="Scores by sex, age, race, admission type: the cohort of `deepicd build`.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N notes of the split.")
@click.option("--engine", type=EngineName(), help="Which engine generates, with --model.")
@click.option("--base-url", help="Server of the engine openai_server: http://127.0.0.1:8000/v1")
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
              help="With --model: temperature, max_tokens, seed, context, …; may be repeated.")  # fmt: skip
@click.option("--responsible", metavar="SENTENCE",
              help="Allow credentialed notes to go to a server elsewhere.")  # fmt: skip
@accept_changes_option
@click.option("--overwrite", is_flag=True, help="Replace another evaluation in OUT.")
def evaluate(**options: Unpack[EvaluateOptions]) -> None:
    """Measure answers at chapter, category and full code, and write metrics.json, a report and a figure to OUT.

    Macro precision, recall, F1 and accuracy have intervals.
    Answers come from a file, or a model generates them with the decoding of training; a stopped run resumes where it
    stopped. An answer that is not well-formed predicts nothing, and a note without an answer counts as wrong.

    \b
    deepicd evaluate --predictions answers.jsonl --dataset out/dataset --split test out/evaluation
    deepicd evaluate --baseline tfidf --dataset out/dataset out/tfidf
    """
    from train.evaluation import run
    from train.evaluation.inputs import EvaluationSettings
    from train.evaluation.report import format_summary

    predictions, out, baseline = options["predictions"], options["out"], options["baseline"]
    model = None if baseline else _build_model(options)
    source = options["recipe"] or predictions
    settings = EvaluationSettings(
        out=out,
        name=options["name"] or " ".join(filter(None, (baseline, options["model"]))) or (source.stem if source else ""),
        predictions=predictions,
        model=model,
        baseline=baseline,
        encoder=options["model"] if baseline else None,
        dataset=options["dataset"],
        split=options["split"],
        limit=options["limit"],
        config=options["config"],
        averaging=options["averaging"],
        reading=options["reading"],
        opening="" if model else options["opening"],  # an engine returns it with the answers
        against=options["against"],
        subgroups=options["subgroups"],
    )
    if options["resamples"] is not None:
        logger.warning("--resamples has no effect: intervals are computed in closed form, without resampling.")
    record = run.evaluate(settings, overwrite=options["overwrite"])
    click.echo(format_summary(out))
    if record.origin == "mimic":
        logger.info("The answers count as credentialed: cells under ten are withheld.")
    logger.info("%s notes → %s", f"{record.counts.rows:,}", out / "report.md")


@click.command()
@click.argument("evaluations", nargs=-1, required=True, metavar="RUN…")
def table(evaluations: tuple[str, ...]) -> None:
    """Print the paper's Tables 3 and 4 with your own evaluations beside them, as Markdown.

    Each RUN is the OUT of `deepicd evaluate`, or NAME=DIR to give it another name.

    \b
    deepicd table "7B, SFT=out/evaluation/sft" out/evaluation/grpo
    """
    json_output.offer(print_table(evaluations))


def print_table(evaluations: tuple[str, ...]) -> "list[Row]":
    """Print and return the rows of the table."""
    from train.evaluation import tables

    rows = tables.collect_rows(evaluations)
    click.echo(tables.render_markdown(rows), nl=False)
    return rows


def _build_model(options: EvaluateOptions) -> "EvaluatedModel | None":
    """Return the model to evaluate, checked as far as possible before anything starts. Raises DeepicdError."""
    if not (options["model"] or options["recipe"]):
        return None
    from deepicd import disclosure
    from deepicd.config import parse_assignments
    from deepicd.engines import registry
    from deepicd.errors import DeepicdError
    from train.data import EVALUATION_CONFIG, open_dataset
    from train.evaluation import answers

    fields = answers.read_answer_recipe(options["recipe"]) if options["recipe"] else {}
    default = str(fields.get("engine", answers.DEFAULT_ENGINE))
    engine = registry.choose_engine(default, options["engine"], options["base_url"])
    given: dict[str, object] = {"model": options["model"], "engine": engine, "base_url": options["base_url"]}
    given |= parse_assignments(options["assignments"])
    recipe = answers.parse_answer_recipe(fields | {name: value for name, value in given.items() if value is not None})
    if options["dataset"] is None:
        raise DeepicdError("A model needs notes to answer.", "Name the dataset: --dataset DIR_OR_REPOSITORY")
    origin = open_dataset(options["dataset"], EVALUATION_CONFIG, options["split"]).origin
    responsibility = disclosure.check_server(recipe, origin=origin, sentence=options["responsible"])
    return answers.EvaluatedModel(recipe, options["opening"], responsibility)
