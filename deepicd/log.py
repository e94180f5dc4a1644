"""Messages and progress on stderr. Results go to stdout, never here.

    logger = logging.getLogger(__name__)      # at the top of a module; a library logs and never prints
    logger.info("Kept %s of %s rows.", kept, total)

    with track_progress("notes read", total=331_793) as advance:
        advance(4096)

A message carries counts and reasons only: never a note, a row or an id of a credentialed record.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LINE_EVERY = 10.0  # seconds between two progress lines where there is no terminal
RUN_LOG = "run.log"
STYLES = {logging.WARNING: "yellow", logging.ERROR: "red"}  # on a terminal


class _MessageFormatter(logging.Formatter):
    """The message alone; warnings and errors say which they are."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname.capitalize()}: {text}" if record.levelno >= logging.WARNING else text


class _StderrHandler(logging.Handler):
    """Writes plain lines to stderr; on a terminal through Rich, which keeps them above a progress bar.

    Rich is imported with the first message. stderr is looked up for each, as a test may have replaced it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if sys.stderr.isatty():
                # not RichHandler: it breaks long lines, and a command that is shown should survive copy and paste
                style = STYLES.get(record.levelno)
                _get_console().print(
                    self.format(record), style=style, markup=False, highlight=False, emoji=False, soft_wrap=True
                )
            else:
                print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001 — a message that cannot be shown must not end the run
            self.handleError(record)


@lru_cache(maxsize=1)
def _get_console() -> "Console":
    """Return the console that messages and progress bars share; two would overwrite each other's lines."""
    from rich.console import Console

    return Console(stderr=True)


_STDERR = _StderrHandler()
_STDERR.setFormatter(_MessageFormatter())


def configure(level: int | str = logging.INFO, packages: Iterable[str] = ()) -> None:
    """Show messages of `level` and above on stderr. A second call replaces the first.

    `packages`: top-level packages that are part of this product. Messages of all others need to be warnings at least.
    """
    _STDERR.setLevel(level)
    root = logging.getLogger()
    root.setLevel(max(_STDERR.level, logging.WARNING))
    if _STDERR not in root.handlers:
        root.addHandler(_STDERR)
    for package in ("deepicd", "__main__", *packages):
        # never above INFO, which run.log has even where stderr is quiet
        logging.getLogger(package).setLevel(min(_STDERR.level, logging.INFO))


class _RunLogHandler(logging.Handler):
    """Appends lines to a file once its folder exists, and keeps them until then. It never creates the folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.path = path
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + "\n")
            if self.path.parent.is_dir():
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(self._lines)
                self._lines.clear()
        except Exception:  # noqa: BLE001 — a message that cannot be written must not end the run
            self.handleError(record)


@contextmanager
def write_run_log(folder: Path) -> Iterator[None]:
    """Also write messages from INFO on to FOLDER/run.log, with time stamps, after those of earlier runs.

    Messages from before the folder exists are kept until it does, so a run that fails early leaves no folder.
    """
    handler = _RunLogHandler(folder / RUN_LOG)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


class Advance(Protocol):
    """Count `n` more as done; `status` is shown beside the count until another one replaces it."""

    def __call__(self, n: int, status: str = "") -> None: ...


@contextmanager
def track_progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, a line every `LINE_EVERY` seconds elsewhere, nothing with `--quiet`.

    Yields `advance(n)`, or `advance(n, status)`.
    """
    if _STDERR.level > logging.INFO:
        yield lambda n, status="": None
    elif sys.stderr.isatty():
        with _draw_bar(what, total) as advance:
            yield advance
    else:
        yield _make_line_printer(what, total)


@contextmanager
def _draw_bar(what: str, total: int | None) -> Iterator[Advance]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", style="dim"),
    )
    with Progress(*columns, console=_get_console(), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="", status="")

        def advance(n: int, status: str = "") -> None:
            current = bar.tasks[0]
            rate = _format_rate(current.completed + n, current.elapsed or 0)
            bar.update(task, advance=n, rate=rate, status=status or current.fields["status"])

        yield advance


def _make_line_printer(what: str, total: int | None) -> Advance:
    done, latest_status, started = 0, "", time.monotonic()
    printed_at = started

    def advance(n: int, status: str = "") -> None:
        nonlocal done, latest_status, printed_at
        done, latest_status, now = done + n, status or latest_status, time.monotonic()
        if now - printed_at >= LINE_EVERY:
            printed_at = now
            line = _format_line(what, done, total, now - started)
            print(f"{line}; {latest_status}" if latest_status else line, file=sys.stderr, flush=True)

    return advance


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it exact enough.

    >>> format_duration(1), format_duration(45), format_duration(750), format_duration(16_817)
    ('1 second', '45 seconds', '12 minutes', '4.7 hours')
    """
    if seconds < 120:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _format_line(what: str, done: int, total: int | None, seconds: float) -> str:
    """'pages: 1,200 of 12,000, 10/s, 18 minutes left'."""
    line = f"{what}: {done:,}{f' of {total:,}' if total else ''}"
    if rate := _format_rate(done, seconds):
        line += f", {rate}"
    if not total or not done:
        return line
    return f"{line}, {format_duration(max(0, total - done) * seconds / done)} left"


def _format_rate(done: float, seconds: float) -> str:
    """Return a rate in a unit that makes it a number to read; '' while it is not known.

    >>> _format_rate(500, 10), _format_rate(3, 60), _format_rate(2, 3600), _format_rate(0, 10)
    ('50/s', '3.0/min', '2.0/h', '')
    """
    if not done or not seconds:
        return ""
    for unit, length in (("s", 1), ("min", 60)):
        if (rate := done / seconds * length) >= 0.5:
            return f"{rate:,.0f}/{unit}" if rate >= 10 else f"{rate:.1f}/{unit}"
    return f"{done / seconds * 3600:.1f}/h"
