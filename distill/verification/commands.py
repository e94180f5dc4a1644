"""`deepicd verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepicd.changed_inputs import accept_changes_option
from deepicd.errors import DeepicdError
from distill.commands import add_engine_options

if TYPE_CHECKING:
    from deepicd.stage_records import VerifyCounts
    from distill.verification.recipe import VerifyRecipe

EXAMPLE = "deepicd verify out/traces out/verified --recipe rules"
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("traces", type=PATH)
@click.argument("out", type=PATH)
@click.option("--recipe", "recipe_path", type=PATH, help="A YAML file, or one of: rules, verify, rehearsal.")
@click.option("--cohort", type=PATH, help="Cohort with the sealed outcome; by default that of the traces.")
@add_engine_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Only the first N kept traces of each split, so up to 3 × N in all.")  # fmt: skip
@accept_changes_option
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds for this recipe and other traces.")
def verify(traces: Path, out: Path, **options: Any) -> None:
    """Compare the kept TRACES of a recipe with what became of their stays, into OUT/<recipe digest>.

    Rules say which expectations of a trace were borne out and which other diagnoses it weighs. A model that sees the
    trace alone says where it leads, beside what the note alone gives; and it grades by points that it has drawn from
    the outcome. Needs the sealed outcome that `deepicd build` writes; none of its words goes into the rows.

    \b
    deepicd verify out/traces out/verified --recipe rules
    """
    from deepicd.stage_records import REHEARSED_CHECKS
    from distill.verification.run import VerifyJob
    from distill.verification.run import verify as verify_traces

    recipe = _load_recipe(options)
    if recipe.asks_model and not recipe.uses_model:
        click.echo(REHEARSED_CHECKS)
    counts = verify_traces(VerifyJob(traces, out, recipe, **options)).counts
    for line in format_summary(counts):
        click.echo(line)
    click.echo(f"→ {out / counts.recipe_digest}")


def _load_recipe(options: dict[str, Any]) -> "VerifyRecipe":
    """Remove the recipe's options from a command's options, and return the recipe. Raises UsageError without one."""
    from deepicd.config import parse_assignments
    from deepicd.engines.registry import choose_engine
    from distill.verification.recipe import list_recipes, load_recipe

    overrides = {name: options.pop(name) for name in ("engine", "model", "base_url", "seed")}
    fields = parse_assignments(options.pop("fields"))
    path: Path | None = options.pop("recipe_path")
    if path is None:
        names = ", ".join(f"{name} ({engine})" for name, engine in list_recipes().items())
        raise click.UsageError(
            "No recipe is given. Add --recipe with a YAML file or with the name of one of this package (engines in"
            f" brackets): {names}.\nFor instance: {EXAMPLE}"
        )
    recipe = load_recipe(path)
    overrides["engine"] = choose_engine(recipe.engine, overrides["engine"], overrides["base_url"])
    changed = recipe.replace(**overrides).replace(**fields)
    _refuse_unasked_model(recipe, changed)
    return changed


def _refuse_unasked_model(recipe: "VerifyRecipe", changed: "VerifyRecipe") -> None:
    """Raise DeepicdError where options say how a model is asked, and the recipe has no check that asks one."""
    from deepicd.engines.recipe import ModelRecipe
    from distill.verification.recipe import CHECKS, RULES

    names = [name for name in ModelRecipe.model_fields if getattr(changed, name) != getattr(recipe, name)]
    if names and not changed.asks_model:
        asking = ", ".join(check for check in CHECKS if check not in RULES)
        raise DeepicdError(
            f"The checks of this recipe ({', '.join(changed.checks)}) ask no model, and {', '.join(names)} would change"
            " nothing but the recipe's digest.",
            f"Leave the option out, or choose a recipe with a check that asks a model ({asking}), such as"
            " --recipe verify.",
        )


def format_summary(counts: "VerifyCounts") -> list[str]:
    """Return what was verified and why the rest was not, for the terminal."""
    traces, verified = sum(counts.traces.values()), sum(counts.verified.values())
    lines = [f"{verified:,} of {traces:,} traces verified"]
    lines += [f"  {number:>7,}  {reason}" for reason, number in counts.reasons.items()]
    for category, verdicts in counts.forecasts.items():
        parts = ", ".join(
            f"{verdicts.get(verdict, 0):,} {verdict}" for verdict in ("confirmed", "refuted", "untouched")
        )
        lines.append(f"  expected {category}s: {parts}")
    if counts.by_model:
        parts = ", ".join(f"{number:,} {verdict}" for verdict, number in counts.by_model.items())
        lines.append(f"  of these by the model, with a quotation: {parts}")
    if counts.nameable:
        lines.append(f"  other diagnoses named: {counts.covered:,} of {counts.nameable:,}")
    names = ("another chapter", "chapter", "category", "code")
    for what, levels in counts.levels.items():
        parts = ", ".join(f"{names[int(level)]} {number:,}" for level, number in levels.items())
        lines.append(f"  answers {what}: {parts}")
    if counts.met is not None:
        lines.append(f"  points of the stay met: {counts.met:.0%}")
    lines += [f"  {number:>7,} without {what} that can be read" for what, number in counts.unread.items()]
    lines += [f"  {number:>7,} questions unanswered: {reason}" for reason, number in counts.unanswered.items()]
    return lines
