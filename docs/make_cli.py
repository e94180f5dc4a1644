"""Write docs/cli.md, the reference of all commands, from their `--help`. Run: make docs"""

from collections.abc import Iterator
from pathlib import Path

import click

from deepicd.cli import cli

WIDTH = 100  # of the help, whatever the terminal
INTRODUCTION = """\
# Commands

All commands with their options, as `--help` prints them. This file is generated: run `make docs` after a change to a
command. What each stage does and why stands in the other pages of this folder.

Exit codes: 0 what was written is right; 1 an error that the message explains; 2 wrong usage; 130 stopped, and
the same command continues. With `--json` stdout is one JSON document: of a stage the record of its run
(command, options, counts, notes, files), of another command what it found, else the lines that it prints; if the
command fails, `error` is its message. What people read goes to stderr. OUT, the folder that a command writes, is its
last argument; `--out OUT` is taken for it, with a note (not by `card`, which writes into the folder that it reads).
Completion for bash, zsh and fish: `eval "$(_DEEPICD_COMPLETE=bash_source deepicd)"`.

"""
TABLE = Path(__file__).with_name("_commands.md")


def list_commands(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of a command and of all commands below it, in the order of `--help`."""
    name = "deepicd" if parent is None else command.name
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for subcommand_name in command.list_commands(context):
            subcommand = command.get_command(context, subcommand_name)
            if subcommand is not None and not subcommand.hidden:
                yield from list_commands(subcommand, context)


def render_reference() -> str:
    """Return the content of docs/cli.md."""
    sections = [
        f"{'#' * min(4, 2 + context.command_path.count(' '))} {context.command_path}\n\n"
        f"```\n{context.command.get_help(context).strip()}\n```\n"
        for context in list_commands(cli)
    ]
    return "\n".join([INTRODUCTION + TABLE.read_text(encoding="utf-8"), *sections])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(render_reference(), encoding="utf-8", newline="\n")
