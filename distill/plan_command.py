"""`deepicd plan`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepicd import json_output

if TYPE_CHECKING:
    from distill.recipe import Layout, Recipe
    from distill.workload import Workload

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("cohort", type=FOLDER, required=False)
@click.option("--rows", type=click.IntRange(min=1), help="Plan for N rows: without a cohort, or with its texts.")
@click.option("--recipe", "recipe_path", type=FOLDER, default=Path("qwen2.5-32b"), show_default=True,
              help="A YAML file, or one of: qwen2.5-32b, qwen2.5-72b, paper, tiny, rehearsal.")  # fmt: skip
@click.option("--guidelines", type=FOLDER, help="Folder of `deepicd guidelines`.")
@click.option("--descriptions", type=FOLDER, help="descriptions.parquet of `deepicd scrape`.")
@click.option("--examples", type=FOLDER, help="Output of a run on this cohort, for a recipe that shows examples.")
@click.option("--traces", type=FOLDER, help="OUT of a `deepicd distill --pilot` with this recipe: use its rates.")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE",
              help="Any field of the recipe, for instance rollouts=8; may be repeated.")  # fmt: skip
def plan(
    cohort: Path | None,
    rows: int | None,
    recipe_path: Path,
    traces: Path | None,
    fields: tuple[str, ...],
    **shown: Path | None,
) -> None:
    """Print what COHORT, or N rows, will take at each stage: tokens, GPU-hours, disk and memory. Needs no GPU.

    Prompts are built for each code by the recipe and their tokens counted in both layouts, with what a prefix cache
    saves. Hours come from published rates, and from your own once a pilot has run. Below the table stand the limits
    that more rows meet first.

    \b
    deepicd plan out/cohort --recipe qwen2.5-32b --guidelines out/guidelines
    deepicd plan --rows 93142 --recipe paper
    """
    from deepicd.config import parse_assignments
    from deepicd.engines import metrics
    from distill.plan_table import build_plan, find_limits, format_plan, list_assumptions, read_pilot
    from distill.recipe import load_recipe
    from distill.workload import assume_workload

    if cohort is None and rows is None:
        raise click.UsageError("Name a cohort, or a number of rows: --rows 93142.")
    if cohort is None and any(shown.values()):
        raise click.UsageError(
            "--guidelines, --descriptions and --examples need a cohort: deepicd plan COHORT --rows N …"
        )
    recipe = load_recipe(recipe_path).replace(**parse_assignments(fields))
    if cohort is None:
        workload, pages = assume_workload(rows or 1, recipe), None
    else:
        workload, pages = _measure(cohort, recipe, **shown)
        if rows is not None and rows != workload.rows:
            workload, pages = workload.scale(rows), None
    pilot = read_pilot(traces, recipe) if traces else None
    if traces and pilot is None:
        has = "only rates of shards or workers" if metrics.has_parts(traces, recipe.digest) else "no rates"
        raise click.UsageError(
            f"{traces} has {has} of this recipe ({recipe.digest}); rates come from a run of one process that takes a"
            " tenth of a second or more. Run a pilot first: deepicd distill … --pilot 1%"
        )
    lines, assumptions = build_plan(workload, recipe, pilot, pages), list_assumptions(workload, recipe, pilot)
    limits = find_limits(workload, recipe)
    json_output.offer(
        {
            "lines": [asdict(line) for line in lines],
            "gives_way": [asdict(limit) for limit in limits],
            "assumptions": assumptions,
        }
    )
    click.echo(format_plan(lines, limits, assumptions))


def _measure(
    cohort: Path, recipe: "Recipe", guidelines: Path | None, descriptions: Path | None, examples: Path | None
) -> tuple["Workload", int]:
    """Return the workload of a cohort, and the pages that a crawl for its codes requests."""
    from deepicd.engines.tokens import find_counter
    from distill.prompt_builder import PromptBuilder
    from distill.sources import add_examples, open_sources
    from distill.workload import count_pages, measure_workload

    sources = add_examples(open_sources(cohort, guidelines, descriptions), examples, recipe)
    counter = find_counter(recipe)
    layouts: tuple[Layout, ...] = ("prefix", "paper")
    builders = {
        layout: PromptBuilder(recipe.replace(layout=layout), sources.knowledge, counter, examples=sources.examples)
        for layout in layouts
    }
    return measure_workload(sources, builders), count_pages(sources)
