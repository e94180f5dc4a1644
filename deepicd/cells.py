"""Small cells: of credentialed data no count of patients under ten is shown, nor one that a total would give away."""

from collections.abc import Mapping
from typing import TypeVar

SMALLEST_CELL = 10  # what publications from MIMIC and CMS alike take for the least count to show
Key = TypeVar("Key")


def is_small(count: float) -> bool:
    """Whether a count tells of one to nine."""
    return 0 < count < SMALLEST_CELL


def suppress_small(cells: Mapping[Key, int]) -> dict[Key, int | None]:
    """Cells with those of 1 to 9 hidden (None), and the next smallest with them until the total no longer tells.

    It tells where one cell is hidden, or where what is hidden adds up to fewer than ten.

    >>> suppress_small({"a": 100, "b": 40, "c": 3, "d": 0})
    {'a': 100, 'b': None, 'c': None, 'd': 0}
    """
    rising = sorted((key for key, count in cells.items() if count), key=cells.__getitem__)
    hidden = [key for key in rising if cells[key] < SMALLEST_CELL]
    others = iter(rising[len(hidden) :])
    while hidden and (len(hidden) == 1 or sum(cells[key] for key in hidden) < SMALLEST_CELL):
        if (another := next(others, None)) is None:
            break
        hidden.append(another)
    return {key: None if key in hidden else count for key, count in cells.items()}
