"""Sentences with variants, as the knowledge files write them.

    'Woke [twice|often] at night {3-9} days ago; {he} now sleeps upright. // Sleeps in a chair.'

`//` parts whole alternatives, `[a|b]` wording inside one, `{3-9}` is a number in that range with the decimals of its
upper end, `{he}` one of `FACTS`. Parsed once, then said many times with a seeded random generator.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Facts = Mapping[str, str]

FACTS = frozenset({"age", "man", "title", "he", "He", "his", "His", "him", "side", "site"})
"""What a sentence may say of its patient: age '67' or '___', man 'woman', title 'Ms.', side 'left', site 'shin'."""

_TOKEN = re.compile(r"\[([^\[\]]*)\]|\{([^{}]*)\}")
_ONE_OF_MANY = re.compile(r"\b1 (day|week|month|year|hour|minute|block|beer|drink|time|teaspoon|unit|round)s\b")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.(\d+))?)")

_Piece = str | Callable[[random.Random, Facts], str]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence and its alternatives.

    >>> Phrase.parse("Fell on the {side} hip").say(random.Random(1), {"side": "left"})
    'Fell on the left hip'
    >>> Phrase.parse("HR {90-90}[.|.]").say(random.Random(1), {})
    'HR 90.'
    """

    source: str
    """As written; two phrases are equal where this is."""
    _alternatives: list[list[_Piece]] = field(compare=False, repr=False)
    _from_one: bool = field(compare=False, repr=False)
    """Whether a number in it may be 1, so that '1 weeks' has to be mended."""

    @classmethod
    def parse(cls, source: str) -> "Phrase":
        """Raises ValueError for a fact that does not exist, a mistake in a knowledge file."""
        return cls(source, [_pieces(part.strip()) for part in source.split(" // ")], "{1-" in source)

    def say(self, rng: random.Random, facts: Facts) -> str:
        """One alternative in full."""
        said = _said(_drawn(rng, self._alternatives), rng, facts)
        return _ONE_OF_MANY.sub(r"1 \1", said) if self._from_one else said


def _drawn(rng: random.Random, choices: list[list[_Piece]]) -> list[_Piece]:
    # three times as fast as rng.choice, and this runs some hundred times a note
    return choices[0] if len(choices) == 1 else choices[int(rng.random() * len(choices))]


def _said(pieces: list[_Piece], rng: random.Random, facts: Facts) -> str:
    return "".join([piece if isinstance(piece, str) else piece(rng, facts) for piece in pieces])


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    end = 0
    for match in _TOKEN.finditer(text):
        pieces.append(text[end : match.start()])
        wording, named = match.groups()
        if wording is not None:
            pieces.append(_wording(wording))
        else:
            pieces.append(_number(named) if named[:1].isdigit() else _fact(named))
        end = match.end()
    pieces.append(text[end:])
    return [piece for piece in pieces if piece != ""]


def _wording(options: str) -> _Piece:
    choices = [_pieces(option) for option in options.split("|")]
    return lambda rng, facts: _said(_drawn(rng, choices), rng, facts)


def _number(text: str) -> _Piece:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{{{text}}} is no range of numbers such as {{3-9}}")
    low, high, decimals = float(match[1]), float(match[2]), len(match[3] or "")
    if decimals == 0:
        return lambda rng, _: str(int(low) + int(rng.random() * (high - low + 1)))
    return lambda rng, _: f"{low + rng.random() * (high - low):.{decimals}f}"


def _fact(name: str) -> _Piece:
    if name not in FACTS:
        raise ValueError(f"{{{name}}} is no fact of a patient; there are {', '.join(sorted(FACTS))}")
    return lambda _, facts: facts[name]
