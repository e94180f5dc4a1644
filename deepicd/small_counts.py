"""Small counts: withhold every group of fewer than ten credentialed patients, and every number that would reveal one.

For one row of cells there is `suppress_small`. For the tables of a card, whose cells add up in several ways, `Counts`:

    counts = Counts()
    counts.add_group(("IX", "train"), 120)             # disjoint groups of rows, …
    counts.add_group(("XX", "train"), 3)
    counts.show("all", [("IX", "train"), ("XX", "train")])     # … and the sums of them that a reader would see
    counts.show("XX", [("XX", "train")])
    counts.find_withheld()                              # {'XX'}: the keys that must not be shown

Each number on the card is a linear equation that a reader may solve, and a rounded mean is two inequalities. Linear
programming computes the bounds that these leave for each small group; where they come near ten, whole numbers are tried
as well. Where the bounds are too tight, the cheapest number that causes this is withheld, too, until nothing small is
disclosed. If the solver fails, everything is withheld.

Small is a group of fewer than ten rows or fewer than ten patients. `people` is the number of patients, or the fewest
that so many rows can come from.
"""

import logging
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

SMALLEST_CELL = 10  # the smallest count to show, by the custom of publications from MIMIC and CMS
WITHHELD = "withheld"  # what cards and figures say in place of a count
TOLERANCE = 1e-4  # of the solver; counts are whole numbers
NEAR = 3 * SMALLEST_CELL  # bounds that are wider are not tried in whole numbers, which differ by a few at most
KNOWN = float("inf")  # cost of a count that readers know from elsewhere: withholding it here would hide nothing
ZERO_COST = 50.0  # of withholding a zero: it reveals nobody, and withholding it hardly hides others

Key = Hashable
"""Identifies a count: any hashable name under which the card looks it up."""
_Key = TypeVar("_Key")


class SolverError(RuntimeError):
    """The solver did not find the bounds of a small group, so it is unknown whether the counts may be shown."""


def has_count(sentence: str) -> bool:
    """Return whether a sentence has a number of its own: a stage's note may count rows, and no system knows of it.

    >>> has_count("It covers 97 of the cohort's 100 stays."), has_count("Titles come from ICD-10-CM, FY2025.")
    (True, False)
    """
    return re.search(r"(?<![\w.-])\d[\d,]*(?![\w-])", sentence) is not None


def is_small(count: float) -> bool:
    """Return whether a count is at least one and too small to show."""
    return 0 < count < SMALLEST_CELL


def suppress_small(cells: Mapping[_Key, int]) -> dict[_Key, int | None]:
    """Replace small cells by None, and the next smallest as well until the total does not disclose them.

    It would disclose them if just one cell were hidden, or if the hidden ones added up to a small count.

    >>> suppress_small({"a": 100, "b": 40, "c": 3, "d": 0})
    {'a': 100, 'b': None, 'c': None, 'd': 0}
    """
    ascending = sorted((key for key, count in cells.items() if count), key=cells.__getitem__)
    hidden = [key for key in ascending if cells[key] < SMALLEST_CELL]
    others = iter(ascending[len(hidden) :])
    while hidden and (len(hidden) == 1 or sum(cells[key] for key in hidden) < SMALLEST_CELL):
        if (another := next(others, None)) is None:
            break
        hidden.append(another)
    return {key: None if key in hidden else count for key, count in cells.items()}


@dataclass(frozen=True, slots=True)
class Count:
    """A sum of groups, and whether a reader sees it."""

    value: int
    groups: frozenset[Key]
    shown: bool
    small: bool
    cost: float
    """How much a reader would miss it: of the counts that would do, the cheapest is withheld."""


@dataclass(frozen=True, slots=True)
class _System:
    """What a reader knows: sums and ties as equations, and two inequalities for each mean."""

    sums: list[Key]
    sides: list[Key]
    equations: "dict[str, np.ndarray[Any, np.dtype[np.float64]]]"


@dataclass
class Counts:
    """The numbers of one card, as sums over disjoint groups of rows."""

    groups: dict[Key, int] = field(default_factory=dict)
    counts: dict[Key, Count] = field(default_factory=dict)
    ties: list[tuple[frozenset[Key], frozenset[Key]]] = field(default_factory=list)
    means: dict[Key, tuple[Mapping[Key, float], float, float]] = field(default_factory=dict)
    """Key → the value of each group, their mean as shown, half of its last place."""
    _columns: dict[Key, int] = field(default_factory=dict)  # group → its column in the equations
    _wide: set[frozenset[Key]] = field(default_factory=set)  # sums that may be far from ten
    _last: "tuple[tuple[frozenset[Key], int, int, int], _System] | None" = None

    def add_group(self, name: Key, value: int) -> Key:
        """Declare a group of rows, disjoint from all others, and return its name."""
        self.groups[name] = value
        self._columns.setdefault(name, len(self._columns))
        return name

    def show(self, key: Key, groups: Iterable[Key], *, people: int | None = None, cost: float | None = None) -> None:
        """Declare a sum that the card shows unless it is withheld; `people` is the number of patients, if known."""
        members = frozenset(groups)
        value = sum(self.groups[name] for name in members)
        least = value if people is None else min(value, people)
        self.counts[key] = Count(
            value, members, True, is_small(least), cost if cost is not None else value or ZERO_COST
        )

    def guard(self, groups: Iterable[Key], *, people: int | None = None) -> None:
        """Declare a sum that no table shows and that the others must not disclose if it is small."""
        members = frozenset(groups)
        value = sum(self.groups[name] for name in members)
        least = value if people is None else min(value, people)
        self.counts[("guarded", members)] = Count(value, members, False, is_small(least), 0.0)

    def show_mean(self, key: Key, values: Mapping[Key, float], mean: float, *, places: int, cost: float) -> bool:
        """Declare the mean of a value that each group has, as shown. Return False if it is not that of these groups."""
        half = 0.5 * 10**-places + TOLERANCE**2
        if abs(sum((value - mean) * self.groups[name] for name, value in values.items())) > half * sum(
            self.groups[name] for name in values
        ):
            return False
        self.means[key] = values, mean, half
        self.counts[key] = Count(0, frozenset(), True, False, cost)
        return True

    def tie(self, left: Iterable[Key], right: Iterable[Key]) -> bool:
        """Declare that readers know two sums to be equal. Return False and declare nothing if they are not."""
        first, second = frozenset(left), frozenset(right)
        if sum(self.groups[name] for name in first) != sum(self.groups[name] for name in second):
            return False
        self.ties.append((first, second))
        return True

    def show_part(
        self,
        key: Key,
        value: int,
        whole: Iterable[Key],
        *,
        people: int | None = None,
        rest_people: int | None = None,
        cost: float | None = None,
    ) -> None:
        """Show the size of a part of some groups, and guard the size of the rest.

        Other parts of the groups may overlap it.
        """
        members = frozenset(whole)
        rest = sum(self.groups[name] for name in members) - value
        inside = self.add_group(("part", key), value)
        if rest >= 0:
            self.tie([inside, self.add_group(("rest", key), rest)], members)
            self.guard([("rest", key)], people=rest_people)
        self.show(key, [inside], people=people, cost=cost)

    def find_withheld(self) -> frozenset[Key]:
        """Return the keys of the counts that must not be shown; empty if nothing is small. Raises SolverError."""
        self._wide.clear()
        withheld = {key for key, count in self.counts.items() if count.shown and count.small}
        small = list(dict.fromkeys(count.groups for count in self.counts.values() if count.small))
        for groups in small:
            while tight := self._select_own(self._find_tight(groups, withheld)):
                withheld.add(self._choose_cheapest(tight, groups, withheld))
        for groups in (groups for groups in small if groups not in self._wide):
            while self._is_tight_in_whole_numbers(groups, frozenset(withheld)):
                left = self._select_own(
                    key for key, count in self.counts.items() if count.shown and key not in withheld
                )
                if not left:
                    break
                withheld.add(min(left, key=lambda key: (not self._concerns(key, groups), self.counts[key].cost)))
        return frozenset(withheld)

    def select_published(self, *, everything: bool) -> "PublishedCounts":
        """Return the counts that the card may show: all of them, or those that are left without the withheld ones.

        None of them if the solver fails. A mean is there as 0; only whether it is None matters.
        """
        try:
            withheld = frozenset() if everything else self.find_withheld()
        except SolverError as error:
            logger.warning("%s Everything is withheld.", error)
            withheld = frozenset(self.counts)
        return PublishedCounts({key: None if key in withheld else c.value for key, c in self.counts.items() if c.shown})

    def _find_tight(self, groups: frozenset[Key], withheld: set[Key]) -> list[Key]:
        """Return the shown counts that bound a sum of groups too tightly; none if it is safe."""
        tight = self._find_causes(groups, frozenset(withheld))
        if tight == []:
            raise SolverError("A small count follows from others, and it is unknown from which.")
        return tight or []

    def _find_causes(self, groups: frozenset[Key], withheld: frozenset[Key]) -> list[Key] | None:
        """Return the shown counts of which the bounds of a sum are made; None where these are wide enough."""
        most, above = self._solve(groups, withheld, -1)
        if -most < SMALLEST_CELL - TOLERANCE:
            return above
        least, below = self._solve(groups, withheld, 1)
        if -most > NEAR and -most - least > NEAR:
            self._wide.add(groups)  # and it stays so: withholding more only widens them
        return below + above if -most - least < SMALLEST_CELL - TOLERANCE else None

    def _select_own(self, keys: Iterable[Key]) -> list[Key]:
        """Return the counts that can be withheld."""
        return [key for key in keys if self.counts[key].cost < KNOWN]

    def _choose_cheapest(self, tight: list[Key], groups: frozenset[Key], withheld: set[Key]) -> Key:
        """Return the cheapest of the `tight` counts without which the sum is safe; if none is, the cheapest."""
        ascending = sorted(dict.fromkeys(tight), key=lambda key: (self.counts[key].cost, repr(key)))
        freeing = (key for key in ascending if not self._find_tight(groups, withheld | {key}))
        return next(freeing, ascending[0])

    def _is_tight_in_whole_numbers(self, groups: frozenset[Key], withheld: frozenset[Key]) -> bool:
        """Return whether the whole numbers that a sum of groups may be end below ten, or are not ten apart."""
        most, _ = self._solve(groups, withheld, -1, whole=True)
        if -most < SMALLEST_CELL - TOLERANCE:
            return True
        least, _ = self._solve(groups, withheld, 1, whole=True)
        return -most - least < SMALLEST_CELL - TOLERANCE

    def _concerns(self, key: Key, groups: frozenset[Key]) -> bool:
        return bool((self.counts[key].groups | self.means.get(key, ({}, 0, 0))[0].keys()) & groups)

    def _build_row(self, plus: Iterable[Key], minus: Iterable[Key] = ()) -> "np.ndarray[Any, np.dtype[np.float64]]":
        import numpy as np

        row = np.zeros(len(self.groups))
        row[[self._columns[name] for name in plus]] += 1
        row[[self._columns[name] for name in minus]] -= 1
        return row

    def _solve(
        self, groups: frozenset[Key], withheld: frozenset[Key], sign: int, *, whole: bool = False
    ) -> tuple[float, list[Key]]:
        """Return the minimum of `sign` times a sum of groups, and the keys of the shown counts that cause it.

        `whole`: of whole numbers only; the keys are then unknown, and none is returned.
        """
        from scipy.optimize import linprog

        system = self._build_system(withheld)
        solution = linprog(
            sign * self._build_row(groups), **system.equations, bounds=(0, None), method="highs", integrality=int(whole)
        )
        # of whole numbers the solver does not distinguish what has no bound from what it failed to bound
        if solution.status == 3 or (whole and solution.status == 4 and self._is_unbounded(groups, withheld, sign)):
            return float("-inf"), []
        if solution.status != 0:  # the true counts are a solution, so this is the solver's failure
            raise SolverError(f"The bounds of a small count could not be computed: {solution.message}")
        if whole:
            return float(solution.fun), []
        duals = list(solution.eqlin.marginals[: len(system.sums)]) + list(solution.ineqlin.marginals)
        causes = zip([*system.sums, *system.sides], duals, strict=True)
        return float(solution.fun), [key for key, dual in causes if abs(dual) > TOLERANCE]

    def _is_unbounded(self, groups: frozenset[Key], withheld: frozenset[Key], sign: int) -> bool:
        return self._solve(groups, withheld, sign)[0] == float("-inf")

    def _build_system(self, withheld: frozenset[Key]) -> "_System":
        """Return what a reader knows if these counts are withheld; the last system is kept."""
        import numpy as np

        state = withheld, len(self.groups), len(self.counts), len(self.ties)
        if self._last is None or self._last[0] != state:
            shown = [key for key, count in self.counts.items() if count.shown and key not in withheld]
            sums, sides = [key for key in shown if key not in self.means], [key for key in shown if key in self.means]
            rows = [self._build_row(self.counts[key].groups) for key in sums]
            rows += [self._build_row(left, right) for left, right in self.ties]
            values = [self.counts[key].value for key in sums] + [0] * len(self.ties)
            limits = [self._build_side(key, side) for key in sides for side in (1, -1)]
            equations = {"A_eq": np.array(rows), "b_eq": np.array(values)} if rows else {}
            equations |= {"A_ub": np.array(limits), "b_ub": np.zeros(len(limits))} if limits else {}
            self._last = state, _System(sums, [key for key in sides for _ in (1, -1)], equations)
        return self._last[1]

    def _build_side(self, key: Key, side: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return the coefficients, whose sum is ≤ 0, of: the mean is not above (1) or below (-1) what rounds to it."""
        import numpy as np

        values, mean, half = self.means[key]
        row = np.zeros(len(self.groups))
        for name, value in values.items():
            row[self._columns[name]] = side * (value - mean) - half
        row /= np.abs(row).max()  # or its dual would be as small as its values are large
        return row


@dataclass(frozen=True, slots=True)
class PublishedCounts:
    """The counts that a card may show; None for a withheld one."""

    counts: Mapping[Key, int | None]

    def __getitem__(self, key: Key) -> int | None:
        return self.counts[key]

    def select(self, *names: Key) -> dict[Any, int | None]:
        """Return the counts whose keys begin with these names, by the rest: ('rows', 'sft') → split → rows."""
        counts: dict[Any, int | None] = {}
        for key, value in self.counts.items():
            if isinstance(key, tuple) and key[: len(names)] == names and len(key) > len(names):
                rest = key[len(names) :]
                counts[rest[0] if len(rest) == 1 else rest] = value
        return counts
