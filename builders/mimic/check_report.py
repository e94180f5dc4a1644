"""Findings about a machine or a copy as lines to read: ok, differs, unknown, absent.

    ok       release      MIMIC-IV 3.1
    differs  admissions   546,000 rows, 3.1 has 546,028
             Rows are missing: the file was filtered, or cut short when it was unpacked.

Only what differs is wrong. Unknown cannot be told; absent is not there and need not be.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import click

from deepicd.errors import DeepicdError

Status = Literal["ok", "differs", "unknown", "absent"]
COLOURS = {"ok": "green", "differs": "red", "unknown": "yellow", "absent": None}
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. Counts and reasons, never an id or a row."""

    status: Status
    what: str
    found: str
    meaning: str = ""
    """What it means and what to do, where that is not plain."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings about one thing."""

    title: str
    checks: Sequence[Check]


def print_report(sections: Sequence[Section]) -> None:
    """Print findings to stdout, sections apart. Raises DeepicdError, after all of them, if one differs."""
    width = max(len(check.what) for section in sections for check in section.checks)
    for number, section in enumerate(sections):
        if number:
            click.echo()
        click.secho(section.title, bold=True)
        for check in section.checks:
            click.echo(f"  {click.style(f'{check.status:<7}', fg=COLOURS[check.status])}  ", nl=False)
            click.echo(f"{check.what:<{width}}  {check.found}")
            for line in textwrap.wrap(check.meaning, WIDTH - width - 13, break_long_words=False):
                click.echo(f"{'':<{width + 13}}{line}")
    wrong = [check.what for section in sections for check in section.checks if check.status == "differs"]
    if wrong:
        raise DeepicdError(f"Not as it should be: {', '.join(wrong)}.", "What it means stands beside each line above.")
