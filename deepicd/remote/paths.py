"""Paths on a command line that may be URLs: each is a folder of this machine once the command runs.

Inputs are fetched before the command runs, its OUT is written back when it ends (deepicd.remote.mirror). A command that
is not among `COMMANDS` refuses a URL in words, rather than making a folder named "s3:".
"""

import errno
import functools
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from deepicd.errors import DeepicdError
from deepicd.remote.store import URL
from deepicd.storage import require_utf8

COMMANDS = ("build", "distill", "judge", "assemble", "card", "evaluate")
OUTPUT = "out"
STAYS = ("mimic", "notes", "recipe_path", "recipe", "template")  # gigabytes of tables, and settings


class UrlPath(click.Path[Any]):
    """A path or, where the command can use one, a URL."""

    def __init__(self, path: click.Path[Any], *, allows_urls: bool) -> None:
        super().__init__(path_type=Path)
        self.__dict__ |= path.__dict__
        self.allows_urls = allows_urls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = URL.match(value) if isinstance(value, str) else None
        if match is None:
            return _require_usable(super().convert(value, param, ctx))
        parts = urlsplit(value)
        if match[1].lower() == "file":
            if parts.netloc not in ("", "localhost"):
                raise DeepicdError(f"{value} names another host.", "Write file:///folder for a folder of this machine.")
            return super().convert(unquote(parts.path), param, ctx)
        if not self.allows_urls:
            raise DeepicdError(
                f"{value} is a URL, which this command does not read or write here.",
                "Copy it to a disk first. URLs are understood by "
                + ", ".join(f"deepicd {name}" for name in COMMANDS)
                + ".",
            )
        return value


def _require_usable(path: Any) -> Any:
    """Return a path. Raises DeepicdError for a name that is not UTF-8, OSError for links that lead to themselves."""
    if isinstance(path, Path):
        require_utf8(path.absolute())
        try:
            path.stat()
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise
    return path


def accept_urls(name: str, command: click.Command) -> None:
    """Have a command understand URLs, or refuse them in words."""
    for param in command.params:
        if isinstance(param.type, click.Path):
            param.type = UrlPath(param.type, allows_urls=name in COMMANDS and param.name not in STAYS)
    if name in COMMANDS and command.callback:
        command.callback = _localise(command.callback)


def _localise(callback: Any) -> Any:
    """Return a command's function that is given folders of this machine in place of URLs."""

    @functools.wraps(callback)
    def run(**options: Any) -> Any:
        urls = {name: value for name, value in options.items() if isinstance(value, str) and URL.match(value)}
        urls = {name: url for name, url in urls.items() if name == "dataset" or _is_path(name)}
        if not urls:
            return callback(**options)
        from deepicd.remote.mirror import fetch_input, open_output

        with ExitStack() as stack:
            local = {name: fetch_input(url) for name, url in urls.items() if name != OUTPUT}
            if OUTPUT in urls:
                shard = (options.get("shard") or "").replace("/", "-of-")
                local[OUTPUT] = stack.enter_context(open_output(urls[OUTPUT], f"-{shard}" if shard else ""))
            return callback(**options | {n: str(p) if n == "dataset" else p for n, p in local.items()})

    def _is_path(name: str) -> bool:
        command = click.get_current_context().command
        return any(param.name == name and isinstance(param.type, UrlPath) for param in command.params)

    return run
