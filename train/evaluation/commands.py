"""`deepicd evaluate`, `deepicd train bench-rewards` and `deepicd train table`."""

from pathlib import Path
from typing import Any

import click

from deepicd.engines.registry import EngineName


@click.command()
@click.option("--predictions", type=click.Path(path_type=Path), help="JSON lines: note_id, icd_code, completion.")
@click.option("--model", help="Or a model to ask, by name or path.")
@click.option("--dataset", metavar="DIR_OR_REPO", help="Folder of `deepicd assemble`, or NAME/REPOSITORY@REVISION.")
@click.option("--split", default="test", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for metrics.json and the rest.")
@click.option("--name", help="What the run is called in reports and tables; else the model or the file.")
@click.option(
    "--averaging",
    type=click.Choice(["truth", "union", "vocabulary"]),
    default="truth",
    show_default=True,
    help="The classes that means are over: see docs/evaluation.md.",
)
@click.option(
    "--answers",
    "reading",
    type=click.Choice(["form", "diagnosis"]),
    default="form",
    show_default=True,
    help="Whether an answer needs the whole form or only its diagnosis block.",
)
@click.option("--opening", default="", help="What the assistant's turn was opened with and answers lack ('<think>').")
@click.option("--resamples", type=click.IntRange(min=0), default=1000, show_default=True, help="Bootstrap samples.")
@click.option("--bootstrap-seed", type=int, default=42, show_default=True)
@click.option("--against", type=click.Path(path_type=Path), help="The --out of another run, to compare with.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N notes of the split.")
@click.option("--engine", type=EngineName(), help="Which engine generates, with --model.")
@click.option("--base-url", help="Server of the engine openai_server: http://127.0.0.1:8000/v1")
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    help="With --model: temperature, max_tokens, seed, context, …; may be repeated.",
)
@click.option("--responsible", metavar="SENTENCE", help="For credentialed notes and a server elsewhere.")
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds of another evaluation.")  # fmt: skip
def evaluate(
    predictions: Path | None,
    model: str | None,
    out: Path,
    name: str | None,
    opening: str,
    engine: str | None,
    base_url: str | None,
    fields: tuple[str, ...],
    responsible: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure answers at chapter, category and full code: macro precision, recall, F1, accuracy, with intervals.

    Answers come from a file, or from a model that is asked here with the decoding of training; a run that was stopped
    goes on where it stopped. An answer without the form predicts nothing, and a note without an answer counts as wrong.

    \b
    deepicd evaluate --predictions answers.jsonl --dataset out/dataset --split test --out out/evaluation
    """
    from train.evaluation import run

    what = run.EvaluationSettings(
        out=out,
        name=name or model or (predictions.stem if predictions else ""),
        predictions=predictions,
        model=_asked(model, engine, base_url, fields, opening, options["dataset"], options["split"], responsible)
        if model
        else None,
        opening="" if model else opening,
        **options,
    )
    record = run.evaluate(what, overwrite=overwrite)
    click.echo(run.format_summary(out))
    if record.origin == "mimic":
        click.echo("Counted as credentialed: cells under ten are withheld.", err=True)
    click.echo(f"{record.counts.rows:,} notes → {out / 'report.md'}", err=True)


def _asked(
    model: str,
    engine: str | None,
    base_url: str | None,
    fields: tuple[str, ...],
    opening: str,
    dataset: str | None,
    split: str,
    responsible: str | None,
) -> Any:
    """The model to ask, checked as far as that goes before anything is started. Raises DeepicdError."""
    from deepicd import disclosure
    from deepicd.engines import recipe as recipes
    from deepicd.errors import DeepicdError
    from train.data import EVALUATION_CONFIG, open_dataset
    from train.evaluation import answers

    given = {"model": model, "engine": engine, "base_url": base_url} | recipes.parse_assignments(fields)
    recipe = answers.parse_answer_recipe({name: value for name, value in given.items() if value is not None})
    if dataset is None:
        raise DeepicdError("A model needs notes to answer.", "Name the dataset: --dataset DIR_OR_REPOSITORY")
    taken = disclosure.check_server(
        recipe, origin=open_dataset(dataset, EVALUATION_CONFIG, split).origin, sentence=responsible
    )
    return answers.EvaluatedModel(recipe, opening, taken)
