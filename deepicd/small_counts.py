"""Which counts a card withholds, so that no group of fewer than ten can be told, nor worked out from the others.

    counts = Counts()
    counts.group(("IX", "train"), 120)             # disjoint groups of rows, …
    counts.group(("XX", "train"), 3)
    counts.show("all", [("IX", "train"), ("XX", "train")])     # … and the sums of them that a reader would see
    counts.show("XX", [("XX", "train")])
    counts.withheld()                              # {'XX'}: what has to go

Every number on the card is a linear equation that a reader may solve. For each small group the bounds that these
equations leave it are computed by linear programming. Where they are tighter than they may be, the cheapest number
that holds them there is withheld too, until nothing small is told.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepicd.cells import SMALLEST_CELL, is_small

TOLERANCE = 1e-4  # of the solver; counts are whole
ZERO = 50.0  # what withholding a nought costs: it tells of nobody, and helps little to hide others

Key = Hashable
"""Of a count: any hashable name that the card finds it by."""


@dataclass(frozen=True, slots=True)
class Count:
    """A sum of groups, and whether a reader gets to see it."""

    value: int
    groups: frozenset[Key]
    shown: bool
    small: bool
    cost: float
    """How much a reader misses it: of what would do, the cheapest is withheld."""


@dataclass
class Counts:
    """The numbers of one card, as sums over disjoint groups of rows."""

    groups: dict[Key, int] = field(default_factory=dict)
    counts: dict[Key, Count] = field(default_factory=dict)
    ties: list[tuple[frozenset[Key], frozenset[Key]]] = field(default_factory=list)
    _place: dict[Key, int] = field(default_factory=dict)  # of a group among the unknowns

    def group(self, name: Key, value: int) -> Key:
        """Declare a group of rows, or take part of a sum that nobody sees; its name."""
        self.groups[name] = value
        self._place.setdefault(name, len(self._place))
        return name

    def show(self, key: Key, groups: Iterable[Key], *, people: int | None = None, cost: float | None = None) -> None:
        """A sum that the card shows unless it has to go; its rows are of `people` patients where that is known."""
        of = frozenset(groups)
        value = sum(self.groups[name] for name in of)
        least = value if people is None else min(value, people)
        self.counts[key] = Count(value, of, True, is_small(least), cost if cost is not None else value or ZERO)

    def guard(self, groups: Iterable[Key]) -> None:
        """A sum that no table shows and that the others must not tell if it is small."""
        of = frozenset(groups)
        value = sum(self.groups[name] for name in of)
        self.counts[("guarded", of)] = Count(value, of, False, is_small(value), 0.0)

    def tie(self, left: Iterable[Key], right: Iterable[Key]) -> bool:
        """What every reader knows: these groups add up to as much as those. False, and nothing tied, if they do not."""
        one, other = frozenset(left), frozenset(right)
        if sum(self.groups[name] for name in one) != sum(self.groups[name] for name in other):
            return False
        self.ties.append((one, other))
        return True

    def part(self, key: Key, value: int, whole: Iterable[Key], *, cost: float | None = None) -> None:
        """Show the size of a part of some groups, and do not let what is left of them be told if it is small.

        Other parts of the groups may overlap it.
        """
        of = frozenset(whole)
        rest = sum(self.groups[name] for name in of) - value
        inside = self.group(("part", key), value)
        if rest >= 0:
            self.tie([inside, self.group(("rest", key), rest)], of)
            self.guard([("rest", key)])
        self.show(key, [inside], cost=cost)

    def withheld(self) -> frozenset[Key]:
        """The keys of the shown counts that have to go. None where nothing is small."""
        gone = {key for key, count in self.counts.items() if count.shown and count.small}
        small = [count.groups for count in self.counts.values() if count.small]
        for groups in dict.fromkeys(small):
            while tight := self._holding(groups, gone):
                gone.add(self._cheapest(tight, groups, gone))
        return frozenset(gone)

    def published(self, *, everything: bool) -> "PublishedCounts":
        """What the card may say: all of it, or what is left when the small and the telling is withheld."""
        gone = frozenset() if everything else self.withheld()
        return PublishedCounts({key: None if key in gone else c.value for key, c in self.counts.items() if c.shown})

    def bounds(self, groups: Iterable[Key], gone: Iterable[Key] = ()) -> tuple[float, float]:
        """Least and most that these groups can add up to, for all that the shown counts say."""
        wanted = frozenset(groups)
        return self._solve(wanted, frozenset(gone), 1)[0], -self._solve(wanted, frozenset(gone), -1)[0]

    def _holding(self, groups: frozenset[Key], gone: set[Key]) -> list[Key]:
        """The shown counts that tell too much of these groups; none where they are safe."""
        least, below = self._solve(groups, frozenset(gone), 1)
        most, above = self._solve(groups, frozenset(gone), -1)
        if -most < SMALLEST_CELL - TOLERANCE:
            return above
        return below + above if -most - least < SMALLEST_CELL - TOLERANCE else []

    def _cheapest(self, tight: list[Key], groups: frozenset[Key], gone: set[Key]) -> Key:
        """Of counts that hold groups within their bounds one that frees them by going, the cheapest; else any."""
        rising = sorted(dict.fromkeys(tight), key=lambda key: (self.counts[key].cost, repr(key)))
        freeing = (key for key in rising if not self._holding(groups, gone | {key}))
        return next(freeing, rising[0])

    def _row(self, plus: Iterable[Key], minus: Iterable[Key] = ()) -> "np.ndarray[Any, Any]":
        row = np.zeros(len(self.groups))
        row[[self._place[name] for name in plus]] += 1
        row[[self._place[name] for name in minus]] -= 1
        return row

    def _solve(self, groups: frozenset[Key], gone: frozenset[Key], sign: int) -> tuple[float, list[Key]]:
        """The minimum of `sign` times a sum of groups, and the keys of the shown counts that hold it there."""
        from scipy.optimize import linprog

        shown = [key for key, count in self.counts.items() if count.shown and key not in gone]
        rows = [self._row(self.counts[key].groups) for key in shown]
        rows += [self._row(left, right) for left, right in self.ties]
        values = [self.counts[key].value for key in shown] + [0] * len(self.ties)
        equations = {"A_eq": np.array(rows), "b_eq": np.array(values)} if rows else {}
        found = linprog(sign * self._row(groups), **equations, bounds=(0, None), method="highs")
        if found.status == 3:  # unbounded
            return float("-inf"), []
        assert found.status == 0, found.message  # the true groups are a solution
        duals = found.eqlin.marginals if rows else []
        return float(found.fun), [key for key, dual in zip(shown, duals, strict=False) if abs(dual) > TOLERANCE]


@dataclass(frozen=True, slots=True)
class PublishedCounts:
    """The counts that a card may show; None stands for one withheld."""

    counts: Mapping[Key, int | None]

    def __getitem__(self, key: Key) -> int | None:
        return self.counts[key]

    def under(self, *names: Key) -> dict[Any, int | None]:
        """The counts whose keys begin with these names, by the rest of their keys: ('rows', 'sft') → split → rows."""
        found: dict[Any, int | None] = {}
        for key, value in self.counts.items():
            if isinstance(key, tuple) and key[: len(names)] == names and len(key) > len(names):
                rest = key[len(names) :]
                found[rest[0] if len(rest) == 1 else rest] = value
        return found
