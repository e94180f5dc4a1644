"""Progress on stderr: a bar on a terminal, a plain line every ten seconds in a log. Data goes to stdout, never here."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_EVERY = 10.0  # seconds between two lines in a log


class Advance(Protocol):
    """`n` more are done; `status` is what else is worth saying, and stays until another one comes."""

    def __call__(self, n: int, status: str = "") -> None: ...


@contextmanager
def track_progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Yields `advance(n)`, or `advance(n, status)`.

    with progress("notes read", total=331_793) as advance:
        advance(4096)
    """
    if sys.stderr.isatty():
        from rich.console import Console
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
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total, rate="", status="")

            def advance_bar(n: int, status: str = "") -> None:
                shown = bar.tasks[0]
                rate = _rate(shown.completed + n, shown.elapsed or 0)
                bar.update(task, advance=n, rate=rate, status=status or shown.fields["status"])

            yield advance_bar
        return

    done, said, started = 0, "", time.monotonic()
    last = started

    def advance_line(n: int, status: str = "") -> None:
        nonlocal done, said, last
        done, said, now = done + n, status or said, time.monotonic()
        if now - last >= LINE_EVERY:
            last = now
            line = _line(what, done, total, now - started)
            print(f"{line}; {said}" if said else line, file=sys.stderr, flush=True)

    yield advance_line


def format_duration(seconds: float) -> str:
    """
    >>> format_duration(45), format_duration(750), format_duration(16_817)
    ('45 seconds', '12 minutes', '4.7 hours')
    """
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    """'pages: 1,200 of 12,000, 10/s, 18 minutes left'."""
    line = f"{what}: {done:,}{f' of {total:,}' if total else ''}, {_rate(done, seconds)}"
    if not total or not done:
        return line
    return f"{line}, {format_duration(max(0, total - done) * seconds / done)} left"


def _rate(done: float, seconds: float) -> str:
    rate = done / seconds if seconds else 0.0
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
