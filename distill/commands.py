"""`deepicd distill`."""

from pathlib import Path

import click

from deepicd.runs import Record


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_path", default="rehearsal", type=click.Path(path_type=Path), show_default=True,
              help="A YAML file, or the bare name of one of ours.")  # fmt: skip
@click.option("--guidelines", type=click.Path(path_type=Path), help="Folder of `deepicd guidelines`.")
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option("--engine", help="Overrides the recipe's engine: rehearsal.")
@click.option("--model", help="Overrides the recipe's teacher.")
@click.option("--seed", type=int, help="Overrides the recipe's seed.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N rows of each split.")
@click.option("--overwrite", is_flag=True, help="Drop the rows of other inputs that OUT holds for this recipe.")
def distill(
    cohort: Path,
    out: Path,
    recipe_path: Path,
    guidelines: Path | None,
    descriptions: Path | None,
    engine: str | None,
    model: str | None,
    seed: int | None,
    limit: int | None,
    overwrite: bool,
) -> None:
    """Write a reasoning trace for each row of COHORT into OUT/<recipe digest>.

    The teacher sees the note, its true code and what is known of the code. Kept and rejected rows are both written; a
    run that was stopped goes on where it stopped.

    \b
    deepicd distill out/cohort out/traces --guidelines out/guidelines --descriptions out/scrape/descriptions.parquet
    """
    from distill import recipe, traces

    chosen = recipe.load(recipe_path).but(engine=engine, teacher=model, seed=seed)
    record = traces.distill(
        cohort, out, chosen, guidelines=guidelines, descriptions=descriptions, limit=limit, overwrite=overwrite
    )
    click.echo(summary(record, out))


def summary(record: Record, out: Path) -> str:
    """What was kept and why the rest was not, for the terminal."""
    counts = record["counts"]
    kept, rejected = sum(counts["kept"].values()), sum(counts["rejected"].values())
    lines = [f"{kept:,} traces kept, {rejected:,} rejected → {out / counts['recipe_digest']}"]
    lines += [f"  {number:>7,} rejected: {reason}" for reason, number in counts["reasons"].items()]
    for what in ("description", "guidelines"):
        if number := counts[f"without_{what}"]:
            lines.append(f"  {number:>7,} written without {what}")
    return "\n".join(lines)
