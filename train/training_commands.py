"""`deepicd train sft` and `deepicd train grpo`; registered in train.commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_SHARED = [
    click.argument("out", type=click.Path(path_type=Path), required=False),
    click.option("--dataset", required=True, metavar="DIR|REPO[@REV]",
                 help="A folder of `deepicd assemble`, or a repository on the Hub that holds one."),
    click.option("--model", help="The model to start from, a folder or a name on the Hub; by default the recipe's."),
    click.option("--seed", type=int),
    click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE",
                 help="Any other field of the recipe, for instance learning_rate=1e-5; may be repeated."),
    click.option("--dry-run", is_flag=True, help="Check everything, and say what a run would be."),
    click.option("--overwrite", is_flag=True, help="Replace what OUT holds of another training."),
]  # fmt: skip


def _shared(command: Command) -> Command:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command()
@_shared
@click.option("--recipe", "recipe_path", default="sft-7b", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or the bare name of one of ours.")  # fmt: skip
@click.option("--preview", type=click.IntRange(min=1), metavar="N", help="Only show N rows as tokens, with the mask.")
@click.option("--accelerate-config", "accelerate", type=click.Path(path_type=Path),
              help="Of `accelerate config`: DeepSpeed, several machines. The devices stay the recipe's.")  # fmt: skip
def sft(
    out: Path | None,
    dataset: str,
    recipe_path: Path,
    fields: tuple[str, ...],
    dry_run: bool,
    preview: int | None,
    accelerate: Path | None,
    overwrite: bool,
    **overrides: Any,
) -> None:
    """Fine-tune a model on the traces of a dataset (TRL) into OUT/model.

    The loss is on the answer alone. Rows over the recipe's length are left out and counted. A run that was stopped goes
    on from its last checkpoint.

    \b
    deepicd train sft --dataset out/demo/dataset --recipe tiny-sft out/sft
    """
    from deepicd.engines.recipe import parse_assignments
    from train import recipe
    from train.sft import run as training

    chosen = recipe.load_sft_recipe(recipe_path, **overrides | parse_assignments(fields))
    if preview or dry_run:
        from train.sft.preview import preview as shown

        ready = training.prepare_sft(dataset, chosen, hardware=not preview)
        click.echo(shown(ready, preview) if preview else ready)
        return
    counts = training.train(dataset, chosen, _given(out), accelerate=accelerate, overwrite=overwrite).counts
    loss = counts.validation_loss
    click.echo(f"{counts.steps:,} steps, validation loss {loss.before} → {loss.after} → {out}/model")


@click.command()
@_shared
@click.option("--recipe", "recipe_path", default="grpo-7b", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or the bare name of one of ours.")  # fmt: skip
@click.option("--backend", type=click.Choice(["verl", "trl"]), help="verl: GPUs and nodes; trl: one device.")
def grpo(
    out: Path | None,
    dataset: str,
    recipe_path: Path,
    fields: tuple[str, ...],
    dry_run: bool,
    overwrite: bool,
    **overrides: Any,
) -> None:
    """Train a model with GRPO (verl or TRL) on the rewards of its own answers, into OUT/model.

    Prompts over the recipe's length are left out and counted. Every step reports groups that teach nothing, answers cut
    off, parts of the reward, repetition and length. --dry-run prints verl's whole configuration.

    \b
    deepicd train grpo --dataset out/demo/dataset --recipe tiny-grpo --model out/sft/model out/grpo
    """
    from deepicd.engines.recipe import parse_assignments
    from train import recipe
    from train.grpo import run as training

    chosen = recipe.load_grpo_recipe(recipe_path, **overrides | parse_assignments(fields))
    if dry_run:
        click.echo(training.describe_plan(training.prepare_grpo(dataset, chosen)))
        return
    counts = training.train(dataset, chosen, _given(out), overwrite=overwrite).counts
    reward = counts.reward
    click.echo(f"{counts.steps:,} steps, reward {reward.first or 0:.2f} → {reward.last or 0:.2f} → {out}/model")


@click.command()
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--epochs", type=float, default=3.0, show_default=True, help="Of the fine-tuning.")
@click.option("--steps", type=click.IntRange(min=1), default=14, show_default=True, help="Of GRPO.")
@click.option("--limit", type=click.IntRange(min=1), default=400, show_default=True, help="Test notes to evaluate.")
@click.option("--overwrite", is_flag=True, help="Replace what another demo left in OUT.")
def demo(dataset: str, out: Path, epochs: float, steps: int, limit: int, overwrite: bool) -> None:
    """Train the shipped tiny model on a made-up DATASET in four stages, and print the paper's Table 3 in small.

    It learns the form first, as an instruct model would know it. Notes and traces are shortened. The figures say
    nothing about medicine.

    \b
    deepicd train demo out/demo/dataset out/demo-train
    """
    from train.demo import run_demo as run

    click.echo(run(dataset, out, steps=steps, epochs=epochs, limit=limit, overwrite=overwrite))


def _given(out: Path | None) -> Path:
    if out is None:
        raise click.UsageError("Missing argument 'OUT': where the model goes to.")
    return out
