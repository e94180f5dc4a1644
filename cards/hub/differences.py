"""What two cards reveal together: groups that differ by one to nine rows, found by solving both at once.

    before = {"rows/grpo/train": 140, "rows/grpo/validation": 20, "rows/grpo/test": 40}
    find_small_differences(before, {"rows/grpo/all": 203})  # ['all rows']: three more

Both cards' tables are equations over the rows by chapter, split and outcome, then and now. Linear programming bounds
the difference of each group; where the bounds leave nothing but one to nine rows either way, readers of both know it.
"""

from collections.abc import Iterator, Mapping
from itertools import product

from deepicd.icd10cm import CHAPTERS
from deepicd.schema import SPLITS
from deepicd.small_counts import SMALLEST_CELL, TOLERANCE, SolverError, is_small

ShownCounts = Mapping[str, int | None]
"""Name → count, as in card/statistics.json; None where it is withheld."""
Cell = tuple[int, str, bool]
CELLS: list[Cell] = list(product([chapter.number for chapter in CHAPTERS], SPLITS, (True, False)))
OUTCOMES = {"with a trace": True, "without a trace": False}


def find_small_differences(before: ShownCounts, now: ShownCounts) -> list[str]:
    """Return the names of counts and groups that two cards show to differ by less than a smallest cell.

    >>> find_small_differences({"a": 100, "b": 20, "c": None}, {"a": 101, "b": 40, "c": 7})
    ['a']
    """
    alone = sorted(
        name
        for name, count in now.items()
        if count is not None and (earlier := before.get(name)) is not None and is_small(abs(count - earlier))
    )
    if before == now:
        return []
    try:
        return [*alone, *_solve_both(before, now)]
    except SolverError:  # what cannot be compared may differ by little
        return [*alone, "everything, since the comparison failed"]


def _solve_both(before: ShownCounts, now: ShownCounts) -> Iterator[str]:
    """Yield the groups whose difference is certainly small, and not certainly none. Raises SolverError."""
    import numpy as np
    from scipy.optimize import linprog

    known = [(0, *equation) for equation in _read_equations(before)] + [(1, *each) for each in _read_equations(now)]
    if len({card for card, *_ in known}) < 2:
        return
    rows, values = np.zeros((len(known), 2 * len(CELLS))), [value for *_, value in known]
    for row, (card, cells, _) in zip(rows, known, strict=True):
        row[card * len(CELLS) : (card + 1) * len(CELLS)] = [cell in cells for cell in CELLS]
    enough, tables = SMALLEST_CELL - TOLERANCE, np.zeros((0, 2 * len(CELLS)))
    highest = sum(values) + SMALLEST_CELL  # only what no count bounds can be more
    for name, cells in _list_groups():
        inside = np.array([cell in cells for cell in CELLS], dtype=float)
        growth = np.concatenate((-inside, inside))
        bounds: list[float] = []
        # a table that readers must hold possible, and by which the group differs by ten, settles it without a solver
        while len(bounds) < 2 and np.abs(tables @ growth).max(initial=0) < enough:
            sign = -1 if bounds else 1
            solution = linprog(sign * growth, A_eq=rows, b_eq=values, bounds=(0, highest), method="highs")
            if solution.status != 0:
                raise SolverError(f"The difference of two cards could not be bounded: {solution.message}")
            bounds.append(abs(solution.fun))
            tables = np.vstack((tables, solution.x))
        if len(bounds) == 2 and TOLERANCE <= max(bounds) < enough:
            yield name


def _read_equations(shown: ShownCounts) -> Iterator[tuple[set[Cell], int]]:
    """Yield the counts of a card that are sums of cells. Chapters without a row of their own are those of 'other'."""
    own = {chapter.number for chapter in CHAPTERS if f"chapter/{chapter.number}/all" in shown}
    for name, value in shown.items():
        table, _, rest = name.partition("/")
        row, _, column = rest.partition("/")
        if value is None or (table not in ("rows", "chapter") and name != "rejected"):
            continue
        cells = {cell for cell in CELLS if column in (cell[1], "all", "traces", "")}
        if table == "rows":
            yield {cell for cell in cells if row == "grpo" or cell[2]}, value
        elif name == "rejected":
            yield {cell for cell in cells if not cell[2]}, value
        else:
            numbers = {int(row)} if row.isdigit() else {cell[0] for cell in CELLS} - own
            yield {cell for cell in cells if cell[0] in numbers and (cell[2] or column != "traces")}, value


def _list_groups() -> Iterator[tuple[str, set[Cell]]]:
    """Yield the groups that a reader may care about: by chapter, split or outcome, or two of them."""
    parts: list[list[tuple[str, set[Cell]]]] = [
        [(f"chapter {chapter.roman}", {c for c in CELLS if c[0] == chapter.number}) for chapter in CHAPTERS],
        [(split, {c for c in CELLS if c[1] == split}) for split in SPLITS],
        [(name, {c for c in CELLS if c[2] == kept}) for name, kept in OUTCOMES.items()],
    ]
    yield "all rows", set(CELLS)
    for dimension in parts:
        yield from dimension
    for first, second in ((parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2])):
        for (name, cells), (other, more) in product(first, second):
            yield f"{name}, {other}", cells & more
