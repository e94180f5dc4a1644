"""`deepicd distill` and `deepicd judge`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deepicd.records import Record

Command = TypeVar("Command", bound=Callable[..., Any])

# What both commands may override of a recipe, by the recipe's own name for it.
_OVERRIDES = [
    click.option("--engine", help="vllm, endpoint, ray, transformers or rehearsal."),
    click.option("--model", help="The model, by name or path."),
    click.option("--base-url", help="Of the engine endpoint: http://127.0.0.1:8000/v1"),
    click.option("--seed", type=int),
    click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE",
                 help="Any other field of the recipe, for instance temperature=0.7; may be repeated."),
    click.option("--responsible", metavar="SENTENCE",
                 help="For credentialed notes and a server elsewhere; the error that asks for it has the words."),
]  # fmt: skip


def _overridable(command: Command) -> Command:
    for option in reversed(_OVERRIDES):
        command = option(command)
    return command


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_path", default="rehearsal", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or the bare name of one of ours.")  # fmt: skip
@click.option("--guidelines", type=click.Path(path_type=Path), help="Folder of `deepicd guidelines`.")
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option("--guideline-text", type=click.Choice(["full", "relevant", "none"]),
              help="The code's chapter, what in it bears on the code, or nothing.")  # fmt: skip
@click.option("--layout", type=click.Choice(["prefix", "paper"]), help="Shared texts first, or the paper's order.")
@click.option("--context", type=int, help="Tokens of prompt and completion together.")
@_overridable
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N rows of each split.")
@click.option("--dry-run", is_flag=True, help="Only say what there is to do, and which prompts do not fit.")
@click.option(
    "--preview", type=click.IntRange(min=1), metavar="N", help="Only show N prompts as the teacher reads them."
)
@click.option("--pilot", metavar="1%", help="Only write this share (or number) of rows and forecast the rest.")
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds for this recipe and other inputs.")
def distill(
    cohort: Path,
    out: Path,
    recipe_path: Path,
    guidelines: Path | None,
    descriptions: Path | None,
    fields: tuple[str, ...],
    limit: int | None,
    dry_run: bool,
    preview: int | None,
    pilot: str | None,
    overwrite: bool,
    responsible: str | None,
    **overrides: Any,
) -> None:
    """Write a reasoning trace for each row of COHORT into OUT/<recipe digest>.

    The teacher sees the note, its true code and what is known of the code. Kept and rejected attempts are both written.
    A run that was stopped goes on where it stopped; a changed recipe finds again what it asks for in the same words.

    \b
    deepicd distill out/cohort out/traces --guidelines out/guidelines --descriptions out/scrape/descriptions.parquet
    """
    from deepicd.engines import recipe as recipes
    from distill import pilot as pilots
    from distill import preview as previews
    from distill import recipe
    from distill import run as distillation

    chosen = recipe.load(recipe_path).but(**overrides).but(**recipes.parse_assignments(fields))
    if dry_run or preview:
        read = distillation.readable(cohort, chosen, guidelines, descriptions)
        click.echo(previews.plan(read, chosen, out, limit) if dry_run else previews.prompts(read, chosen, preview or 1))
        return
    if pilot:
        share = pilots.share(pilot)
        click.echo(pilots.pilot(cohort, out, chosen, share, guidelines, descriptions, limit, responsible))
        return
    record = distillation.distill(
        cohort,
        out,
        chosen,
        guidelines=guidelines,
        descriptions=descriptions,
        limit=limit,
        overwrite=overwrite,
        responsible=responsible,
    )
    click.echo(summary(record, out))


def summary(record: Record, out: Path) -> str:
    """What was kept and why the rest was not, for the terminal."""
    counts = record["counts"]
    kept, rejected = sum(counts["kept"].values()), sum(counts["rejected"].values())
    lines = [
        f"{kept:,} rows kept, {rejected:,} rejected, of {counts['attempts']:,} attempts"
        f" → {out / counts['recipe_digest']}"
    ]
    if reasons := counts["attempts_rejected_for"]:
        lines += ["     rows  attempts  rejected for"]
        lines += [
            f"  {counts['reasons'].get(reason, 0):>7,}  {number:>8,}  {reason}" for reason, number in reasons.items()
        ]
    lines += [
        f"  {number:>7,}  {'':8}  {reason}" for reason, number in counts["reasons"].items() if reason not in reasons
    ]
    lines += [f"  {number:>7,} rows unanswered: {reason}" for reason, number in counts["unanswered"].items()]
    if counts["unanswered"]:
        lines.append("  The same command asks for these again.")
    shares = [f"{share:.0%} of {kind}" for kind, share in counts["grounded"].items() if share is not None]
    if shares:
        lines.append(f"  In the note stand {', '.join(shares)} of the kept traces.")
    for what in ("description", "guidelines"):
        if number := counts[f"without_{what}"]:
            lines.append(f"  {number:>7,} rows go without {what}")
    return "\n".join(lines)


@click.command()
@click.argument("traces", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_path", default="judge-rehearsal", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or the bare name of one of ours.")  # fmt: skip
@click.option("--cohort", type=click.Path(path_type=Path), help="Where the notes are; by default where they were.")
@click.option("--guidelines", type=click.Path(path_type=Path), help="Likewise.")
@click.option("--descriptions", type=click.Path(path_type=Path), help="Likewise.")
@_overridable
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N kept traces of each split.")
@click.option("--same-family", is_flag=True, help="Allow a judge of the teacher's own family; the record says so.")
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds for this judge and other traces.")
def judge(traces: Path, out: Path, recipe_path: Path, fields: tuple[str, ...], **options: Any) -> None:
    """Score the kept TRACES of a recipe from 1 to 5 with a model of another family, into OUT/<recipe digest>.

    The judge sees the note, the trace, and what is known of the code that the trace predicts. Two judges with the same
    OUT are compared: OUT/agreement.json. `deepicd assemble --scores OUT` puts the mean into the dataset.

    \b
    deepicd judge out/traces out/scores --recipe judge
    """
    from deepicd.engines import recipe as recipes
    from distill import judge as judges
    from distill import recipe

    overrides = {name: options.pop(name) for name in ("engine", "model", "base_url", "seed")}
    chosen = recipe.load(recipe_path).but(**overrides).but(**recipes.parse_assignments(fields))
    counts = judges.judge(traces, out, chosen, **options)["counts"]
    shares = ", ".join(f"{score}: {number:,}" for score, number in counts["scores"].items())
    click.echo(
        f"{counts['scored']:,} traces scored, mean {counts['mean']} ({shares}) → {out / counts['recipe_digest']}"
    )
    for reason, number in counts["unscored"].items():
        click.echo(f"  {number:>7,} without a score: {reason}")
