"""The counts of answers that an evaluation may show, so that nothing small is told, by a difference neither.

How many answers predict a code, why others do not, how many are NIL at each level and how many characters they share
with the truth are counts of the same notes, and a reader has all of them: they go through one system, as the tables of
a card do (deepicd.small_counts). A share of shown notes is a count as well, and is withheld where that is small.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from deepicd.small_counts import SMALLEST_CELL, Counts, Key, PublishedCounts, is_small

Name = TypeVar("Name", int, str)
DEPTHS = range(8)  # characters that a code can share with another


class AnswerOutcome(NamedTuple):
    """One answer, as far as counts go."""

    problem: str | None
    """Why nothing is predicted; None where something is."""
    known: int
    """At how many levels, from the chapter down, the code is one of the vocabulary; 0 for no code."""
    depth: int
    """Characters shared with the true code."""


def suppress_counts(
    answers: Iterable[AnswerOutcome], problems: Sequence[str], levels: Sequence[str], *, everything: bool
) -> PublishedCounts:
    """The counts under 'predict', ('problem', name), ('nil', level) and ('depth', n); None for one withheld."""
    found, every = Counter(answers), Counts()
    silent: dict[str, list[Key]] = {name: [] for name in problems}
    spoken: dict[tuple[int, int], Key] = {}
    for name in problems:
        number = sum(count for answer, count in found.items() if answer.problem == name)
        silent[name].append(every.group(("silent", name), number))
    for known in range(len(levels) + 1):
        for depth in DEPTHS:
            spoken[known, depth] = every.group((known, depth), found[AnswerOutcome(None, known, depth)])
    quiet = [group for groups in silent.values() for group in groups]
    every.show("rows", [*quiet, *spoken.values()], cost=1e9)
    every.show("predict", spoken.values(), cost=1e6)
    every.guard(quiet)
    for name, groups in silent.items():
        every.show(("problem", name), groups)
    for place, level in enumerate(levels):
        beyond = [group for (known, _), group in spoken.items() if known <= place]
        every.show(("nil", level), [*quiet, *beyond], cost=1e3)
        every.guard([group for (known, _), group in spoken.items() if known == place])
    for depth in DEPTHS:
        shared = [group for (_, one), group in spoken.items() if one == depth]
        every.show(("depth", depth), [*shared, *(quiet if depth == 0 else [])])
        every.guard(shared)
    return every.published(everything=everything)


def suppress_shares(
    parts: Mapping[Name, int], wholes: Mapping[Name, int | None], *, everything: bool
) -> dict[Name, float | None]:
    """Parts of notes whose numbers are shown; None where part or rest is of one to nine, or the whole is withheld.

    The parts of all add up to the accuracy of a level, which is known: where one is withheld, the smallest of the
    others is too, until what is withheld is no small number itself.

    >>> suppress_shares({"a": 3, "b": 40, "c": 20}, {"a": 30, "b": 60, "c": 50}, everything=False)
    {'a': None, 'b': 0.6666666666666666, 'c': None}
    """
    whole = {name: wholes[name] or 0 for name in parts}
    free = {name for name in parts if whole[name]}
    if not everything:
        free = {name for name in free if not (is_small(parts[name]) or is_small(whole[name] - parts[name]))}
        hidden = [name for name in parts if name not in free and parts[name]]
        for name in sorted((name for name in free if parts[name]), key=lambda name: (parts[name], str(name))):
            if not hidden or (len(hidden) > 1 and sum(parts[one] for one in hidden) >= SMALLEST_CELL):
                break
            free.discard(name)
            hidden.append(name)
    return {name: parts[name] / whole[name] if name in free else None for name in parts}
