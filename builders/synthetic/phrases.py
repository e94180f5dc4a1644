"""Parse and render sentences with variants, the notation of the knowledge files.

    'Woke [twice|often] at night {3-9} days ago; {he} now sleeps upright. // Sleeps in a chair.'

`//` separates whole alternatives, `[a|b]` wordings inside one, `{3-9}` is a number in that range with the decimals of
its upper end, `{he}` one of `FACTS`. Parsed once, then rendered many times with a seeded random generator.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Facts = Mapping[str, str]

FACTS = frozenset({"age", "man", "title", "he", "He", "his", "His", "him", "side", "site"})
"""Facts about the patient, for instance: age '67' or '___', man 'woman', title 'Ms.', side 'left', site 'shin'."""

_TOKEN = re.compile(r"\[([^\[\]]*)\]|\{([^{}]*)\}")
_ONE_OF_MANY = re.compile(r"\b1 (day|week|month|year|hour|minute|block|beer|drink|time|teaspoon|unit|round)s\b")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.(\d+))?)")

_Random = Callable[[], float]
_Slot = Callable[[_Random, Facts], str]


@dataclass(frozen=True, slots=True)
class _Text:
    """Words with slots, such as '%s has been ill for %s days', and what fills them. Most have no slots."""

    words: str
    slots: tuple[_Slot, ...]

    def say(self, random: _Random, facts: Facts) -> str:
        # one format operation is a third faster than joining pieces; this runs about a hundred times per note
        return self.words % tuple([slot(random, facts) for slot in self.slots]) if self.slots else self.words


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence and its alternatives.

    >>> Phrase.parse("Fell on the {side} hip").say(random.Random(1), {"side": "left"})
    'Fell on the left hip'
    >>> Phrase.parse("HR {90-90}[.|.]").say(random.Random(1), {})
    'HR 90.'
    """

    source: str
    """As written; phrases are equal if their sources are."""
    _alternatives: tuple[_Text, ...] = field(compare=False, repr=False)
    _may_have_one: bool = field(compare=False, repr=False)
    """Whether a number in it may be 1, so that '1 weeks' must become '1 week'."""

    @classmethod
    def parse(cls, source: str) -> "Phrase":
        """Parse a phrase. Raises ValueError for an unknown fact or a malformed range in a knowledge file."""
        return cls(source, tuple(_parse_text(part.strip()) for part in source.split(" // ")), "{1-" in source)

    @classmethod
    def literal(cls, words: str) -> "Phrase":
        """Return a phrase that is rendered as it is, brackets included."""
        return cls(words, (_Text(words, ()),), False)

    def say(self, rng: random.Random, facts: Facts) -> str:
        """Render one alternative."""
        texts, draw = self._alternatives, rng.random
        text = (texts[0] if len(texts) == 1 else texts[int(draw() * len(texts))]).say(draw, facts)
        return _ONE_OF_MANY.sub(r"1 \1", text) if self._may_have_one else text


def _parse_text(source: str) -> _Text:
    words: list[str] = []
    slots: list[_Slot] = []
    end = 0
    for match in _TOKEN.finditer(source):
        words.append(source[end : match.start()])
        wording, named = match.groups()
        if wording is not None:
            slots.append(_parse_choice(wording))
        else:
            slots.append(_parse_number(named) if named[:1].isdigit() else _parse_fact(named))
        end = match.end()
    words.append(source[end:])
    return _Text("%s".join(word.replace("%", "%%") for word in words) if slots else source, tuple(slots))


def _parse_choice(options: str) -> _Slot:
    texts = [_parse_text(option) for option in options.split("|")]
    if any(text.slots for text in texts):
        return lambda random, facts: texts[int(random() * len(texts))].say(random, facts)
    words = [text.words for text in texts]
    return lambda random, _: words[int(random() * len(words))]


def _parse_number(text: str) -> _Slot:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{{{text}}} is not a range of numbers; write it like {{3-9}}")
    low, high, decimals = float(match[1]), float(match[2]), len(match[3] or "")
    if decimals == 0:
        base, span = int(low), int(high) - int(low) + 1
        return lambda random, _: str(base + int(random() * span))
    return lambda random, _: f"{low + random() * (high - low):.{decimals}f}"


def _parse_fact(name: str) -> _Slot:
    if name not in FACTS:
        raise ValueError(f"{{{name}}} is not a fact about a patient; use one of {', '.join(sorted(FACTS))}")
    return lambda _, facts: facts[name]
