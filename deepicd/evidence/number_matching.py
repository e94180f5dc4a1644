"""Link the numbers of a trace to those of its note: the same value, a rounded or converted one, or another value."""

from itertools import islice
from math import isnan

from deepicd.evidence.claims import Kind
from deepicd.evidence.lexicon import Lexicon
from deepicd.evidence.numbers import Number
from deepicd.evidence.reading import CANDIDATES, Note, Reading
from deepicd.evidence.tokens import Tokens, read_context


def link_number(number: Number, reading: Reading, note: Note, lexicon: Lexicon) -> tuple[Kind, Number | None, str]:
    """Return the kind of a number, the note's number that decides it, and why."""
    if (same := _find_same(number, reading.tokens, note)) is not None:
        return Kind.SUPPORTED, same, "exact"
    measured = note.measures.get(number.measure, ()) if number.measure else ()
    for near in islice(measured, CANDIDATES):
        if why := _say_close(number, near):
            return Kind.SUPPORTED, near, why
    if number.unit in lexicon.hours and (other := _find_same_duration(number, note, lexicon)):
        return Kind.SUPPORTED, other, "converted"
    if number.is_limit:
        return Kind.INFERENCE, None, "limit"
    if measured:
        return Kind.CONTRADICTED, measured[0], "other value"
    if number.measure in lexicon.derived:
        return Kind.INFERENCE, None, "computed"
    if other := _find_other_value(number, reading.tokens, note):
        return Kind.CONTRADICTED, other, "other value"
    return Kind.ABSENT, None, "not mentioned"


def _find_same(number: Number, tokens: Tokens, note: Note) -> Number | None:
    """Return the number of the note with this value that fits best; one that measures something else does not."""
    fitting = [other for other in islice(note.values.get(number.value, ()), CANDIDATES) if _fits(number, other)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    about = read_context(tokens, number.token, number.token + 1)

    def rank(other: Number) -> tuple[bool, bool, int]:
        is_about = about & read_context(note.reading.tokens, other.token, other.token + 1)
        return other.measure == number.measure, bool(other.unit) and other.unit == number.unit, len(is_about)

    return max(fitting, key=rank)


def _fits(number: Number, other: Number) -> bool:
    if number.unit and other.unit and number.unit != other.unit:
        return False
    if number.value != other.value and number.measure != other.measure:
        return False  # '95' of '95/60'
    if number.measure and other.measure:
        return number.measure == other.measure
    return not (number.measure == "age" or other.measure == "age") or not (number.noun or other.noun)


def _say_close(number: Number, other: Number) -> str:
    """Return how a number says the same as another of the same measure; '' where it does not."""
    ours, theirs = number.amount, other.amount
    if isnan(ours) or isnan(theirs):
        return "rounded" if number.is_about and _is_close_pressure(number.value, other.value) else ""
    if number.is_decade and ours <= theirs < ours + 10:
        return "rounded"
    decimals = len(number.value.partition(".")[2])
    if decimals and round(theirs, decimals) == ours:
        return "rounded"
    if number.is_about and abs(ours - theirs) <= 0.05 * abs(theirs):
        return "rounded"
    if number.measure == "temperature" and min(abs(ours * 1.8 + 32 - theirs), abs(theirs * 1.8 + 32 - ours)) < 0.11:
        return "converted"
    if number.measure == "weight" and {number.unit, other.unit} == {"kg", "lb"}:
        return "converted" if min(abs(ours * 2.2046 - theirs), abs(theirs * 2.2046 - ours)) < 1 else ""
    if number.measure in ("white count", "platelets") and (ours == theirs * 1000 or theirs == ours * 1000):
        return "converted"
    return ""


def _is_close_pressure(ours: str, theirs: str) -> bool:
    pairs = [text.split("/") for text in (ours, theirs)]
    if any(len(pair) != 2 or not all(map(str.isdigit, pair)) for pair in pairs):
        return False
    return all(abs(int(a) - int(b)) <= 5 for a, b in zip(*pairs, strict=True))


def _find_same_duration(number: Number, note: Note, lexicon: Lexicon) -> Number | None:
    """Return a number of the note that is the same time in another unit: '48 hours' for '2 days'."""
    hours = number.amount * lexicon.hours[number.unit]
    for unit, length in lexicon.hours.items():
        if unit != number.unit:
            for other in islice(note.units.get(unit, ()), CANDIDATES):
                if other.measure == number.measure and abs(other.amount * length - hours) <= 0.001 * hours:
                    return other
    return None


def _find_other_value(number: Number, tokens: Tokens, note: Note) -> Number | None:
    """Return a number of the note with another value in the same unit and about the same thing."""
    about = read_context(tokens, number.token, number.token + 1)
    best, most = None, min(len(about), 2) - 1
    for other in islice(note.units.get(number.unit or number.noun, ()), CANDIDATES):
        shared = len(about & read_context(note.reading.tokens, other.token, other.token + 1))
        if shared > max(most, 0) and not other.measure:
            best, most = other, shared
    return best
