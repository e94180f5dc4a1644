"""A line of the table of `deepicd plan`, and how its figures are written."""

from dataclasses import dataclass
from math import ceil

from deepicd.log import format_duration

GB, MIB = 1e9, 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; '' where a stage has no such figure."""

    stage: str
    what: str
    amount: str
    time: str = ""
    disk: str = ""
    memory: str = ""


def format_count(number: float) -> str:
    """Return a number of tokens or rows.

    >>> format_count(93_142), format_count(62_200_000), format_count(3.5e9)
    ('93,142', '62.2 M', '3.50 G')
    """
    if number >= 1e9:
        return f"{number / 1e9:,.2f} G"
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def format_size(number: float) -> str:
    """Return a number of bytes.

    >>> format_size(614_700_000), format_size(1_200)
    ('614.7 MB', '2 kB')
    """
    for unit, size in (("TB", 1e12), ("GB", GB), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{ceil(number / 1e3)} kB"


def format_hours(hours: float) -> str:
    """Return a duration; from three days on, in days."""
    if hours >= 72:
        return f"{hours / 24:,.0f} days"
    return format_duration(hours * 3600)


def format_gpu_hours(least: float, most: float) -> str:
    return f"{least:,.0f} to {most:,.0f} GPU-hours"
