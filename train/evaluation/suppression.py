"""The counts of answers that an evaluation may show without revealing a small group, directly or by a difference.

How many answers predict a code, why others do not, how many are NIL at each level and how many characters they share
with the truth are all counts of the same notes, and a reader sees all of them. So they go through one system of
equations, as the tables of a card do (deepicd.small_counts). A share of notes whose number is shown is a count as well,
and is withheld if that count is small.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from deepicd.small_counts import SMALLEST_CELL, Counts, Key, PublishedCounts, is_small

Name = TypeVar("Name", int, str)
DEPTHS = range(8)  # characters that a code can share with another


class AnswerOutcome(NamedTuple):
    """What the counts distinguish about one answer."""

    problem: str | None
    """Why it predicts nothing; None if it predicts a code."""
    known_levels: int
    """At how many levels, from the chapter down, the code is in the vocabulary; 0 without a code."""
    depth: int
    """Characters shared with the true code."""


def suppress_counts(
    answers: Iterable[AnswerOutcome], problems: Sequence[str], levels: Sequence[str], *, show_all: bool
) -> PublishedCounts:
    """Return the counts 'predict', ('problem', name), ('nil', level) and ('depth', n); None for a withheld one."""
    outcomes, counts = Counter(answers), Counts()
    without_code: dict[str, list[Key]] = {name: [] for name in problems}
    with_code: dict[tuple[int, int], Key] = {}
    for name in problems:
        number = sum(count for answer, count in outcomes.items() if answer.problem == name)
        without_code[name].append(counts.add_group(("without code", name), number))
    for known_levels in range(len(levels) + 1):
        for depth in DEPTHS:
            number = outcomes[AnswerOutcome(None, known_levels, depth)]
            with_code[known_levels, depth] = counts.add_group((known_levels, depth), number)
    no_code = [group for groups in without_code.values() for group in groups]
    counts.show("rows", [*no_code, *with_code.values()], cost=1e9)
    counts.show("predict", with_code.values(), cost=1e6)
    counts.guard(no_code)
    for name, groups in without_code.items():
        counts.show(("problem", name), groups)
    for index, level in enumerate(levels):
        unknown = [group for (known_levels, _), group in with_code.items() if known_levels <= index]
        counts.show(("nil", level), [*no_code, *unknown], cost=1e3)
        counts.guard([group for (known_levels, _), group in with_code.items() if known_levels == index])
    for depth in DEPTHS:
        sharing = [group for (_, shared), group in with_code.items() if shared == depth]
        counts.show(("depth", depth), [*sharing, *(no_code if depth == 0 else [])])
        counts.guard(sharing)
    return counts.select_published(everything=show_all)


def suppress_shares(
    parts: Mapping[Name, int], wholes: Mapping[Name, int | None], *, show_all: bool
) -> dict[Name, float | None]:
    """Return parts of notes as shares; None if the part or the rest is small, or the whole is withheld.

    All parts add up to the accuracy of a level, which is known. So if one is withheld, the smallest of the others is
    withheld too, until the withheld parts are several and not small together.

    >>> suppress_shares({"a": 3, "b": 40, "c": 20}, {"a": 30, "b": 60, "c": 50}, show_all=False)
    {'a': None, 'b': 0.6666666666666666, 'c': None}
    """
    whole = {name: wholes[name] or 0 for name in parts}
    shown = {name for name in parts if whole[name]}
    if not show_all:
        shown = {name for name in shown if not (is_small(parts[name]) or is_small(whole[name] - parts[name]))}
        hidden = [name for name in parts if name not in shown and parts[name]]
        for name in sorted((name for name in shown if parts[name]), key=lambda name: (parts[name], str(name))):
            if not hidden or (len(hidden) > 1 and sum(parts[other] for other in hidden) >= SMALLEST_CELL):
                break
            shown.discard(name)
            hidden.append(name)
    return {name: parts[name] / whole[name] if name in shown else None for name in parts}
