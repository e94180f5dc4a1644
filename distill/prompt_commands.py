"""`deepicd prompt`: show our prompts, and read those of the paper's authors."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepicd.prompts.template import Kind

WHO = click.Choice(["teacher", "student", "judge"])


@click.group()
def prompt() -> None:
    """Show the prompts of teacher, student and judge, try out your own, or import the authors'.

    \b
    deepicd prompt show teacher > out/teacher.yaml
    """


@prompt.command()
@click.argument("who", type=WHO)
@click.argument("path", type=click.Path(path_type=Path), required=False)
def show(who: str, path: Path | None) -> None:
    """Print the prompt of WHO as a YAML file to start from: ours, or the one in PATH, tried out.

    Then `deepicd distill --prompt FILE`, `deepicd judge --prompt FILE` and `deepicd assemble --prompt FILE` (for the
    student) use it, under the `name` in it.

    \b
    deepicd prompt show teacher > out/teacher.yaml
    """
    from deepicd.prompts.authors import format_prompt
    from deepicd.prompts.template import PromptFile, load_own, load_prompt

    kind = _find_kind(who)
    shown = load_prompt(path, kind) if path else PromptFile(name=kind.version, messages=load_own(kind).turns)
    click.echo(f"# Variables: {', '.join(kind.values)}")
    if kind.optional:
        click.echo(f"# None in some rows: {', '.join(sorted(kind.optional))}")
    click.echo(format_prompt(shown), nl=False)


@prompt.command(name="import")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--for", "who", type=WHO, required=True, help="Whose prompt it is.")
@click.option("--name", help="What traces and records call it; by default the file's name.")
def import_(path: Path, out: Path, who: str, name: str | None) -> None:
    """Write a prompt file of the paper's authors (CSV or JSON of their src/prompts) as OUT, in our form.

    Their words stay as they are; placeholders become variables.

    \b
    deepicd prompt import oracle_reasoning_prompt.csv out/teacher.yaml --for teacher
    """
    from deepicd.prompts.authors import import_prompt, write_prompt

    imported = import_prompt(path, _find_kind(who), name or path.stem)
    write_prompt(imported, out)
    command = {"teacher": "distill", "student": "assemble", "judge": "judge"}[who]
    click.echo(f"Prompt {imported.name!r} → {out}. Use it with: deepicd {command} … --prompt {out}")


def _find_kind(who: str) -> "Kind":
    from deepicd.knowledge import rubric
    from deepicd.prompts import student
    from distill import prompt as teacher

    return {"teacher": teacher.PROMPT, "student": student.PROMPT, "judge": rubric.PROMPT}[who]
