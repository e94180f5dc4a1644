"""What readers of a published card can do: read its tables, and solve for what they withhold, in whole numbers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from scipy.optimize import LinearConstraint, milp

from deepicd.icd10cm import CHAPTERS
from deepicd.schema import SPLITS

Group = tuple[str, str, bool]
"""Roman numeral, split, whether the row has a trace."""
EVERY: list[Group] = [(c.roman, split, kept) for c in CHAPTERS for split in SPLITS for kept in (True, False)]
Said = tuple[list[Group], int]
"""Groups, and the number of rows that they have together."""


def tables(card: str) -> dict[str, list[list[str]]]:
    """First cell of the header → rows of cells, of every table of the Markdown."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()]
        found[rows[0][0]] = [rows[0], *rows[2:]]
    return found


def number(cell: str) -> int | None:
    return None if "withheld" in cell else int(cell.split(" ")[0].replace(",", ""))


def chapters_of(title: str) -> set[str]:
    """The Roman numerals of a row of the table of chapters."""
    return set(title.partition(": ")[2].split(", ")) if title.startswith("other chapters") else {title.split(" ")[0]}


def what_it_says(card: str) -> list[Said]:
    """Every number of the tables as a sum of (chapter, split, kept)."""
    said: list[Said] = []

    def say(cell: str, groups: list[Group]) -> None:
        if (value := number(cell)) is not None:
            said.append((groups, value))

    for config, *cells in tables(card)["rows"][1:]:
        of = EVERY if config.startswith("`grpo`") else [group for group in EVERY if group[2]]
        for split, cell in zip([*SPLITS, None], cells, strict=True):
            say(cell, [group for group in of if split in (group[1], None)])
    for title, *cells in tables(card)["chapter"][1:]:
        of = [group for group in EVERY if group[0] in chapters_of(title)]
        parts = [of, *([group for group in of if group[1] == split] for split in SPLITS)]
        for cell, part in zip(cells, [*parts, [group for group in of if group[2]]], strict=True):
            say(cell, part)
    last, kept = tables(card)["step"][-2:]
    say(last[1], EVERY)
    say(kept[1], [group for group in EVERY if group[2]])
    if re.match(r"[\d,]+ without", kept[2]):
        say(kept[2], [group for group in EVERY if not group[2]])
    return said


def small_sums(rows: Counter[Group], patients: dict[Group, set[str]]) -> list[set[Group]]:
    """Every group of fewer than ten rows or patients, by chapter, split and outcome, or some of them."""
    return [
        groups
        for groups in list_sums()
        if sum(rows[group] for group in groups)
        and len(set().union(*(patients.get(group, set()) for group in groups))) < 10
    ]


def list_sums() -> list[set[Group]]:
    """Every group of rows by chapter, split and outcome, or some of them."""
    found: list[set[Group]] = []
    for dimensions in (part for size in (1, 2, 3) for part in combinations(range(3), size)):
        sums: dict[tuple[object, ...], set[Group]] = {}
        for group in EVERY:
            sums.setdefault(tuple(group[place] for place in dimensions), set()).add(group)
        found += sums.values()
    return found


def solve(said: Sequence[Said], wanted: Iterable[Group]) -> tuple[float, float]:
    """The fewest and the most rows, whole numbers, that some groups can have by what was said."""
    rows = np.array([[group in groups for group in EVERY] for groups, _ in said], dtype=float)
    values = np.array([value for _, value in said], dtype=float)
    row, names = np.array([group in set(wanted) for group in EVERY], dtype=float), len(EVERY)
    known = [LinearConstraint(rows, values, values)] if said else []
    found = []
    for sign in (1, -1):
        solution = milp(sign * row, constraints=known, integrality=np.ones(names))
        found.append(sign * solution.fun if solution.status == 0 else float("inf"))
    return found[0], found[1]
