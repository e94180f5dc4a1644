"""`--json` of every command: its result as one JSON document on stdout; what people read goes to stderr.

    deepicd build --mimic DIR --notes DIR out/cohort --json | jq .counts.funnel.rows

The result of a stage is the record of its run: command, options, counts, notes, files. Other commands offer what they
found with `offer`. Where there is neither (a dry run), the document has the printed lines. A command that fails adds
`error`, the message; where it found nothing, the document has nothing else.
"""

import functools
import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from deepicd.record_model import Record

SERVERS = ("deepicd view", "deepicd review rate")
"""They run until they are stopped, and have no result."""
RECORD_FIELDS = ("command", "version", "origin", "options", "counts", "notes", "seconds", "outputs")
_KEY = "deepicd.json"
_offered: list[object] = []


def offer(result: object) -> None:
    """Make this the result of the command that runs; a later one replaces it."""
    _offered[:] = [result]


def offer_record(record: "Record") -> None:
    """Make the record of a run the result, without the records of the runs before it."""
    fields = record.dump()
    offer({name: fields[name] for name in RECORD_FIELDS if name in fields})


def add_json_option(name: str, command: click.Command) -> None:
    """Add `--json` to a command that has none of its own and is no server."""
    has_it = any("--json" in param.opts for param in command.params)
    if has_it or command.callback is None or f"deepicd {name}" in SERVERS:
        return
    command.params.append(
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_remember,
                     help="Print the result as JSON, and to stderr what is printed otherwise.")
    )  # fmt: skip
    command.callback = _print_result(command.callback)


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_KEY] = value


def _print_result(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command's function that prints what was offered; also where it ends with an exit code of its own."""

    @functools.wraps(callback)
    def run(*args: Any, **options: Any) -> None:
        if not click.get_current_context().meta.get(_KEY):
            callback(*args, **options)
            return
        _offered.clear()
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                callback(*args, **options)
        finally:
            click.echo(printed.getvalue(), nl=False, err=True)
            result = _offered[0] if _offered else {"printed": printed.getvalue().splitlines()}
            error = sys.exc_info()[1]
            if isinstance(error, Exception):
                found = result if _offered and isinstance(result, dict) else {}
                result = {**found, "error": _get_message(error)}
            click.echo(json.dumps(result, indent=2, ensure_ascii=False, default=str))

    return run


def _get_message(error: Exception) -> str:
    """Return what is said of an error. Only those that people are meant to read are quoted: others may hold a note."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    return (
        str(error)
        if isinstance(error, DeepicdError | OSError | ModuleNotFoundError)
        else f"A bug: {type(error).__name__}"
    )
