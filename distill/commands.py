"""`deepicd distill` and `deepicd judge`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deepicd.changed_inputs import accept_changes_option
from deepicd.engines.registry import EngineName

if TYPE_CHECKING:
    from deepicd.stage_records import DistillRecord
    from distill.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

# What both commands may override of a recipe, under the recipe's own names
OVERRIDES = ("engine", "model", "base_url", "seed", "guideline_text", "layout", "context")

DISTILL_EXAMPLE = "deepicd distill out/cohort out/traces --recipe qwen2.5-32b"  # vLLM on two 80 GB GPUs
JUDGE_EXAMPLE = "deepicd judge out/traces out/scores --recipe judge"

ENGINE_OPTIONS = [
    click.option("--engine", type=EngineName(), help="Which engine generates."),
    click.option("--model", help="The model, by name or path."),
    click.option("--base-url", help="Server of the engine openai_server: http://127.0.0.1:8000/v1, or several, divided"
                                    " by commas; chooses that engine unless --engine names another one that asks."),
    click.option("--seed", type=int, help="Seed of the first attempt; further attempts derive theirs."),
    click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE",
                 help="Any other field of the recipe, for instance temperature=0.7; may be repeated."),
    click.option("--responsible", metavar="SENTENCE",
                 help="Allow credentialed notes to go to a server elsewhere; the error gives the sentence."),
    click.option("--rehearse", is_flag=True,
                 help="Allow an engine without a language model (rehearsal) on credentialed rows."),
]  # fmt: skip
_prompt_option = click.option("--prompt", "prompt_path", type=click.Path(path_type=Path),
                              help="YAML file with another prompt; see `deepicd prompt`.")  # fmt: skip


def add_engine_options(command: Command) -> Command:
    """Add the options of every command that asks a model by a recipe."""
    for option in reversed(ENGINE_OPTIONS):
        command = option(command)
    return command


def _load_recipe(options: dict[str, Any], *, example: str, needs_file: bool) -> "Recipe":
    """Remove the recipe's options from a command's options, and return the recipe. Raises UsageError if none is given.

    An engine and a model make a recipe with the defaults of all other fields, unless `needs_file`.
    """
    from deepicd.config import parse_assignments
    from deepicd.engines.registry import choose_engine
    from deepicd.knowledge import rubric
    from deepicd.prompts.template import load_prompt
    from distill import prompt as teacher
    from distill.recipe import Recipe, list_recipes, load_recipe

    overrides = {name: options.pop(name) for name in OVERRIDES if name in options}
    fields = parse_assignments(options.pop("fields"))
    if prompt_path := options.pop("prompt_path"):
        prompt = load_prompt(prompt_path, rubric.PROMPT if needs_file else teacher.PROMPT)
        fields |= {"prompt": prompt.name, "messages": prompt.messages}
    engine, model, base_url = (overrides[name] for name in ("engine", "model", "base_url"))
    path: Path | None = options.pop("recipe_path")
    if path is not None:
        recipe = load_recipe(path)
    elif model and (engine or base_url) and not needs_file:
        values = {"name": "options", "engine": engine or "openai_server", "model": model}
        recipe = Recipe.parse(values, "the options given")
    else:
        names = ", ".join(f"{name} ({engine})" for name, engine in list_recipes().items())
        raise click.UsageError(
            "No recipe is given. A recipe names the model, and none is assumed. Add --recipe with a YAML file or with"
            f" the name of one of this package (engines in brackets): {names}.\nFor instance: {example}"
        )
    overrides["engine"] = choose_engine(recipe.engine, engine, base_url)
    return recipe.replace(**overrides).replace(**fields)


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_path", type=click.Path(path_type=Path),
              help="A YAML file, or one of: qwen2.5-32b, qwen2.5-72b, paper, tiny, rehearsal; or give --engine and"
                   " --model.")  # fmt: skip
@click.option("--guidelines", type=click.Path(path_type=Path), help="Folder of `deepicd guidelines`.")
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option("--guideline-text", type=click.Choice(["full", "relevant", "none"]),
              help="The code's whole chapter, the sections that bear on the code, or nothing.")  # fmt: skip
@click.option("--layout", type=click.Choice(["prefix", "paper"]), help="Shared texts first, or the paper's order.")
@click.option("--context", type=int, help="Tokens of prompt and completion together.")
@_prompt_option
@add_engine_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Only the first N rows of each split, so up to 3 × N in all.")  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only report what would be asked, what does not fit, and whether engine, model and server are there.",
)
@click.option(
    "--preview", type=click.IntRange(min=1), metavar="N", help="Only show N prompts as the teacher reads them."
)
@click.option("--pilot", metavar="1%", help="Only complete this share (or number) of rows and forecast the rest.")
@click.option(
    "--shard", metavar="I/N", help="Only complete the rows of one of N processes that share OUT; then --merge."
)
@click.option("--merge", is_flag=True, help="Write what all shards have completed; the same files as one process.")
@click.option("--workers", type=click.IntRange(min=1, max=10_000), metavar="N",
              help="Divide the rows among N processes of a Ray cluster: RAY_ADDRESS's, or this machine.")  # fmt: skip
@click.option("--hints", type=click.Path(path_type=Path), metavar="DIR",
              help="Output of `deepicd verify`: write the rollouts anew that it rejected, each with the reason as a"
                   " hint; add --overwrite.")  # fmt: skip
@click.option("--examples", type=click.Path(path_type=Path), metavar="DIR",
              help="Output of a run on this cohort, for a recipe that shows examples: --set examples=2.")  # fmt: skip
@click.option("--finish", is_flag=True,
              help="Request nothing more: write the answered rows, and mark the others as unanswered.")  # fmt: skip
@accept_changes_option
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds for this recipe and other inputs.")
def distill(cohort: Path, out: Path, dry_run: bool, preview: int | None, pilot: str | None, **options: Any) -> None:
    """Write a reasoning trace for each row of COHORT into OUT/<recipe digest>.

    The teacher sees the note, its true code and what is known of the code. Kept and rejected attempts are both written.
    A run that was stopped continues where it stopped; a changed recipe reuses every completion whose request is
    unchanged.

    \b
    deepicd distill out/cohort out/traces --recipe qwen2.5-32b --guidelines out/guidelines
    deepicd distill out/cohort out/traces --recipe qwen2.5-32b --base-url http://127.0.0.1:8000/v1
    """
    # before Arrow is imported, whose own allocator keeps 14 MiB more
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from deepicd.engines.shard import Shard
    from deepicd.stage_records import REHEARSED
    from distill.run import Job, run_job
    from distill.sharding import count_workers, run_on_ray

    recipe = _load_recipe(options, example=DISTILL_EXAMPLE, needs_file=False)
    if not recipe.uses_model:
        click.echo(REHEARSED)
    shard = options["shard"] = Shard.parse(options["shard"]) if options["shard"] else None
    if (shard or options["workers"]) and (options["merge"] or options["finish"] or pilot or preview):
        raise click.UsageError(
            "--shard and --workers only complete rows; run --merge, --finish, --pilot and --preview without them."
        )
    if shard and options["workers"]:
        raise click.UsageError("--shard leaves the other rows to other processes; --workers completes all of them.")
    workers = 0 if options["merge"] or options["finish"] else count_workers(recipe, options["workers"])
    del options["workers"]
    job = Job(cohort, out, recipe, **options)
    if dry_run:
        from distill.preview import check_readiness, describe_job

        click.echo(describe_job(job))
        click.echo(check_readiness(job))
    elif preview:
        from distill.preview import preview_prompts

        click.echo(preview_prompts(job, preview))
    elif pilot:
        from distill.pilot import parse_share, run_pilot

        click.echo(run_pilot(job, parse_share(pilot)))
    elif shard:
        from distill.sharding import run_shard

        click.echo(run_shard(job, shard))
    else:
        click.echo(format_summary(run_on_ray(job, workers) if workers else run_job(job), out))


def format_summary(record: "DistillRecord", out: Path) -> str:
    """Return what was kept and why the rest was not, for the terminal."""
    counts = record.counts
    kept, rejected = sum(counts.kept.values()), sum(counts.rejected.values())
    lines = [
        f"{kept:,} rows kept, {rejected:,} rejected, of {counts.attempts:,} attempts → {out / counts.recipe_digest}"
    ]
    if reasons := counts.attempts_rejected_for:
        lines += ["     rows  attempts  rejected for"]
        lines += [
            f"  {counts.reasons.get(reason, 0):>7,}  {number:>8,}  {reason}" for reason, number in reasons.items()
        ]
    lines += [f"  {number:>7,}  {'':8}  {reason}" for reason, number in counts.reasons.items() if reason not in reasons]
    lines += [f"  {number:>7,} rows unanswered: {reason}" for reason, number in counts.unanswered.items()]
    if counts.unanswered:
        lines.append("  The same command asks for these again.")
    if rare := counts.rare:
        lines.append(
            f"  {rare.get('codes', 0):,} rare codes had up to {rare['attempts at most']} attempts:"
            f" {rare.get('rows kept', 0):,} of their rows kept with {rare.get('attempts', 0):,} attempts;"
            f" {rare.get('rows beyond the cap', 0):,} rows of rare codes were beyond the cap."
        )
    shares = [f"{share:.0%} of {kind}" for kind, share in counts.grounded.items() if share is not None]
    if shares:
        lines.append(f"  Of the kept traces, the notes contain {', '.join(shares)}.")
    for what, number in (("description", counts.without_description), ("guidelines", counts.without_guidelines)):
        if number:
            lines.append(f"  {number:>7,} rows have no {what}")
    return "\n".join(lines)


@click.command()
@click.argument("traces", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_path", type=click.Path(path_type=Path),
              help="A YAML file, or one of: judge, judge-rehearsal.")  # fmt: skip
@click.option("--cohort", type=click.Path(path_type=Path), help="Cohort with the notes; by default that of the traces.")
@click.option("--guidelines", type=click.Path(path_type=Path),
              help="Folder of `deepicd guidelines`; by default that of the traces.")  # fmt: skip
@click.option("--descriptions", type=click.Path(path_type=Path),
              help="descriptions.parquet of `deepicd scrape`; by default that of the traces.")  # fmt: skip
@_prompt_option
@add_engine_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Only the first N kept traces of each split, so up to 3 × N in all.")  # fmt: skip
@click.option("--same-family", is_flag=True, help="Allow a judge of the teacher's own family; the record says so.")
@accept_changes_option
@click.option("--overwrite", is_flag=True, help="Replace what OUT holds for this judge and other traces.")
def judge(traces: Path, out: Path, **options: Any) -> None:
    """Score the kept TRACES of a recipe from 1 to 5 with a model of another family, into OUT/<recipe digest>.

    The judge sees the note, the trace, and what is known of the code that the trace predicts. Two judges with the same
    OUT are compared: OUT/agreement.json. `deepicd assemble --scores OUT` adds the mean score to the dataset.

    \b
    deepicd judge out/traces out/scores --recipe judge
    """
    from distill.judge import JudgeJob
    from distill.judge import judge as judge_traces
    from distill.judge_reliability import CHANCE_SCORES

    recipe = _load_recipe(options, example=JUDGE_EXAMPLE, needs_file=True)
    if not recipe.uses_model:
        click.echo(CHANCE_SCORES)
    counts = judge_traces(JudgeJob(traces, out, recipe, **options)).counts
    shares = ", ".join(f"{score}: {number:,}" for score, number in counts.scores.items())
    click.echo(f"{counts.scored:,} traces scored, mean {counts.mean} ({shares}) → {out / counts.recipe_digest}")
    if counts.shortened:
        click.echo(f"  {counts.shortened:>7,} prompts with fewer guidelines, to fit the judge's context")
    for reason, number in counts.unscored.items():
        click.echo(f"  {number:>7,} without a score: {reason}")
