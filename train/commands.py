"""`deepicd train …`: the commands of this stage. Each imports what it does only when it is called."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypedDict, TypeVar, Unpack

import click

from deepicd.changed_inputs import accept_changes_option

logger = logging.getLogger(__name__)

Command = TypeVar("Command", bound=Callable[..., object])

SHARED_OPTIONS = [
    click.argument("out", type=click.Path(path_type=Path), required=False),
    click.option("--dataset", required=True, metavar="DIR|REPO[@REV]",
                 help="A folder made by `deepicd assemble`, or a repository on the Hub that holds one."),
    click.option("--config", type=click.Choice(["multi"]),
                 help="multi: train on several diagnoses per stay (assemble --config multi). Default: the first."),
    click.option("--model", help="The model to start from: a folder or a name on the Hub. Default: the recipe's."),
    click.option("--seed", type=int, help="Seed of the training; default: the recipe's."),
    click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
                 help="Change any field of the recipe, for instance learning_rate=1e-5; may be repeated."),
    click.option("--dry-run", is_flag=True, help="Check everything, and describe the run without starting it."),
    accept_changes_option,
    click.option("--overwrite", is_flag=True, help="Replace another training in OUT."),
]  # fmt: skip


class TrainingOptions(TypedDict):
    """The options that both trainings share."""

    out: Path | None
    dataset: str
    config: Literal["multi"] | None
    recipe: Path
    model: str | None
    seed: int | None
    assignments: tuple[str, ...]
    dry_run: bool
    overwrite: bool


class SftOptions(TrainingOptions):
    preview: int | None
    accelerate: Path | None


class GrpoOptions(TrainingOptions):
    backend: str | None


@click.group()
def train() -> None:
    """Train models on the dataset folder, and see what rewards pay before a GPU is spent on them.

    \b
    deepicd train bench-rewards out/cohort
    """


def add_shared_options(command: Command) -> Command:
    for option in reversed(SHARED_OPTIONS):
        command = option(command)
    return command


@train.command()
@add_shared_options
@click.option("--recipe", default="sft-7b", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or one of train/recipes: sft-7b, tiny-sft, … (docs/training.md).")  # fmt: skip
@click.option("--preview", type=click.IntRange(min=1), metavar="N", help="Only show N rows as tokens, with the mask.")
@click.option("--accelerate-config", "accelerate", type=click.Path(path_type=Path),
              help="A file of `accelerate config`, for DeepSpeed or several machines. The recipe sets the number of "
                   "devices.")  # fmt: skip
def sft(**options: Unpack[SftOptions]) -> None:
    """Fine-tune a model on the traces of a dataset (TRL) into OUT/model.

    The loss covers the answer alone. Rows over the recipe's length are left out and counted. A stopped run resumes from
    its last checkpoint.

    \b
    deepicd train sft --dataset out/demo/dataset --recipe tiny-sft out/sft
    """
    from deepicd.config import parse_assignments
    from train.config import load_sft_recipe
    from train.sft import run

    dataset, config, preview = options["dataset"], options["config"] or "sft", options["preview"]
    changes = {"model": options["model"], "seed": options["seed"], **parse_assignments(options["assignments"])}
    recipe = load_sft_recipe(options["recipe"], **changes)
    if preview or options["dry_run"]:
        setup = run.prepare_sft(dataset, recipe, config=config, with_hardware=not preview)
        click.echo(run.preview(setup, preview) if preview else setup)
        return
    out = _require_out(options["out"])
    record = run.train(
        dataset, recipe, out, config=config, accelerate=options["accelerate"], overwrite=options["overwrite"]
    )
    loss = record.counts.validation_loss
    click.echo(f"{record.counts.steps:,} steps, validation loss {loss.before} → {loss.after} → {out}/model")


@train.command()
@add_shared_options
@click.option("--recipe", default="grpo-7b", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or one of train/recipes: grpo-7b, tiny-grpo, … (docs/training.md).")  # fmt: skip
@click.option("--backend", type=click.Choice(["verl", "trl"]), help="verl: GPUs and nodes; trl: one device.")
def grpo(**options: Unpack[GrpoOptions]) -> None:
    """Train a model with GRPO (verl or TRL) on the rewards of its own answers, into OUT/model.

    Prompts over the recipe's length are left out and counted. Every step reports groups that teach nothing, truncated
    answers, the parts of the reward, repetition and length. --dry-run prints verl's whole configuration.

    \b
    deepicd train grpo --dataset out/demo/dataset --recipe tiny-grpo --model out/sft/model out/grpo
    """
    from deepicd.config import parse_assignments
    from train.config import load_grpo_recipe
    from train.grpo import run

    changes = {"model": options["model"], "seed": options["seed"], "backend": options["backend"]}
    config = options["config"] or "grpo"
    recipe = load_grpo_recipe(options["recipe"], **{**changes, **parse_assignments(options["assignments"])})
    if options["dry_run"]:
        click.echo(run.describe_plan(options["dataset"], recipe, config=config))
        return
    out = _require_out(options["out"])
    record = run.train(options["dataset"], recipe, out, config=config, overwrite=options["overwrite"])
    reward = record.counts.reward
    click.echo(f"{record.counts.steps:,} steps, reward {reward.first or 0:.2f} → {reward.last or 0:.2f} → {out}/model")


@train.command()
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--epochs", type=float, default=3.0, show_default=True, help="Epochs of fine-tuning.")
@click.option("--steps", type=click.IntRange(min=1), default=14, show_default=True, help="Steps of GRPO.")
@click.option("--limit", type=click.IntRange(min=1), default=400, show_default=True, help="Test notes to evaluate.")
@click.option("--seeds", type=click.IntRange(min=1, max=20), default=1, show_default=True,
              help="Repeat everything with so many seeds, and print the means.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace another demo in OUT.")
def demo(dataset: str, out: Path, epochs: float, steps: int, limit: int, seeds: int, overwrite: bool) -> None:
    """Train the shipped tiny model on a made-up DATASET in four stages, and print the paper's Table 3 on a small scale.

    It first learns the form, which an instruct model would know. Notes and traces are shortened. The figures say
    nothing about medicine.

    \b
    deepicd train demo out/demo/dataset out/demo-train
    """
    from train.demo import DemoSettings, run_demo

    settings = DemoSettings(steps=steps, epochs=epochs, limit=limit, overwrite=overwrite)
    click.echo(run_demo(dataset, out, settings, seeds=seeds))


@train.command("bench-rewards")
@click.argument("cohort", type=click.Path(path_type=Path), required=False)
@click.option("--json", "file", is_flag=False, flag_value="-", metavar="[FILE]",
              help="Print the results as JSON instead of tables, or also write them to this file.")  # fmt: skip
def bench_rewards(cohort: Path | None, file: str | None) -> None:
    """Show what each variant of the rewards pays for good, broken and hostile answers.

    With COHORT (or a dataset folder), also what policies that never read a note would earn on its test rows. Nothing is
    trained, and no model runs.

    \b
    deepicd train bench-rewards out/cohort
    """
    from deepicd import storage
    from train.rewards import bench

    results = bench.benchmark_rewards(*bench.load_codes(cohort))
    if file == "-":
        click.echo(json.dumps(results, indent=2))
        return
    bench.print_tables(results)
    if file is not None:
        storage.write_json(Path(file), results)
        logger.info("Results → %s", file)


@train.command("table", hidden=True)
@click.argument("evaluations", nargs=-1, required=True)
@click.option("--json", "file", type=click.Path(path_type=Path))
def table_of_before(evaluations: tuple[str, ...], file: Path | None) -> None:
    """Do what `deepicd table` does, which had this name before.

    \b
    deepicd table out/evaluation
    """
    from deepicd import storage
    from train.evaluation.commands import print_table

    logger.info("This command is now: deepicd table; its --json prints, and writes no file.")
    rows = print_table(evaluations)
    if file is not None:
        storage.write_json(file, rows)


def _require_out(out: Path | None) -> Path:
    if out is None:
        raise click.UsageError("Missing argument 'OUT': where the model goes to.")
    return out
