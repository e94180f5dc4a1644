"""`deepicd init`, `run` and `status`: the whole chain from one file, deepicd.yaml.

    deepicd init                     # deepicd.yaml, every field explained in place
    deepicd run --until build        # runs what is missing, in order; each stage as a command line of its own
    deepicd status                   # what is there, how old, and whether it still follows from what is before it

`run` starts the stages as programs and prints their command lines, which stay usable alone. It adds no state and judges
nothing: every stage is started, and one that has this very run in its folder already ends at once.
"""

import json
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click

from deepicd import storage
from deepicd.chain import EXAMPLE, FILE, check_steps, list_steps, read_settings, render_board, write_settings
from deepicd.errors import DeepicdError

_settings_option = click.option(
    "--settings", type=click.Path(path_type=Path, dir_okay=False), default=FILE, show_default=True,
    help="The file that `deepicd init` wrote.",
)  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=FILE)
@click.option("--mimic", help="Folder above hosp/, or a DuckDB file.")
@click.option("--notes", help="Folder above note/, or a DuckDB file.")
@click.option("--recipe", help="The teacher's recipe, by name or as a YAML file.")
@click.option("--out", help="Where all stages write.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
def init(file: Path, *, overwrite: bool, **given: str | None) -> None:
    """Write FILE (deepicd.yaml): what `deepicd run` does and with what, every field explained.

    \b
    deepicd init --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 --recipe qwen2.5-32b
    """
    if file.exists() and not overwrite:
        raise DeepicdError(f"{file} exists.", "Edit it, or pass --overwrite.")
    values = EXAMPLE | {name: value for name, value in given.items() if value is not None}
    storage.write_text(file, write_settings(values))
    click.echo(f"{file}: edit it, then look at what will run: deepicd run --dry-run")


@click.command()
@_settings_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and run nothing.")
def run(settings: Path, until: str | None, *, dry_run: bool) -> None:
    """Run what is missing of the whole chain, in order, as deepicd.yaml says.

    Every stage's command line is printed and may be used alone. Stop it at any time; the same command continues. Where
    a folder holds another run of a stage, that stage says so and the chain stops. Nothing is published.

    \b
    deepicd run --until build
    """
    values = read_settings(settings)
    steps = list_steps(values, settings.parent)
    names = [step.name for step in steps]
    if until is not None and until not in names:
        raise DeepicdError(f"There is no stage {until!r} in {settings}.", f"Its stages are {', '.join(names)}.")
    steps = steps[: names.index(until) + 1] if until else steps
    for step in steps:
        click.echo(f"$ {step.command}", err=not dry_run)
        if dry_run:
            continue
        code = subprocess.run([sys.executable, "-P", "-m", "deepicd", *step.arguments], check=False).returncode
        if code:
            click.echo(render_board(check_steps(steps)), err=True)
            again = "deepicd run" if settings == FILE else shlex.join(["deepicd", "run", "--settings", str(settings)])
            click.echo(f"Stopped at {step.name}; its message is above. Then rerun: {again}", err=True)
            sys.exit(code if code > 0 else 1)
    if not dry_run:
        click.echo(render_board(check_steps(steps)))
    if values.publish and until is None:
        click.echo(f"To publish the card: {shlex.join(['deepicd', 'publish', steps[-1].arguments[1], values.publish])}")


@click.command()
@_settings_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def status(settings: Path, *, as_json: bool) -> None:
    """Show which stages of deepicd.yaml are done, running or waiting, how old they are, and from what they come.

    out of date: a stage before it has been run again since. changed: its files are not those of its record. Whether the
    settings have changed since is not looked at here: `deepicd run` finds that out, stage by stage.

    \b
    deepicd status
    """
    statuses = check_steps(list_steps(read_settings(settings), settings.parent))
    click.echo(json.dumps([asdict(one) for one in statuses], indent=2) if as_json else render_board(statuses))
