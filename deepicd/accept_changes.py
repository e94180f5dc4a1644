"""The option `--accept-changes` of commands that read what other stages wrote: see deepicd.changed_inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import click

_is_accepted: ContextVar[bool] = ContextVar("accept_changes", default=False)


def is_accepted() -> bool:
    """Return whether changed inputs are accepted here."""
    return _is_accepted.get()


def is_offered() -> bool:
    """Return whether whoever runs this can accept changes: a command with the option, or a program."""
    command = click.get_current_context(silent=True)
    return command is None or any(option.name == "accept_changes" for option in command.command.params)


@contextmanager
def accept_changes() -> Iterator[None]:
    """Accept changed inputs in the block."""
    token = _is_accepted.set(True)
    try:
        yield
    finally:
        _is_accepted.reset(token)


def _accept(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.with_resource(accept_changes())


accept_changes_option = click.option(
    "--accept-changes", is_flag=True, expose_value=False, callback=_accept,
    help="Use inputs although they are not what their run.json says; the new run.json then says so.",
)  # fmt: skip
