"""The numbers of a text: value, unit, and what they measure.

'BP 95/60'            blood pressure 95/60
'Na-128'              sodium 128
'lisinopril 40 mg'    dose of lisinopril, 40 mg
'98.4 88 132/76 18 97% RA'    the usual row of vital signs, without names
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from deepicd.evidence.claims import Category
from deepicd.evidence.lexicon import Lexicon, Term
from deepicd.evidence.mentions import Hit
from deepicd.evidence.tokens import SENTENCE_ENDS, Tokens

_DOSE_UNITS = frozenset(("mg", "mcg", "g", "unit", "meq", "ml"))
_GAP = 6  # words between a measure and its number
_BETWEEN = frozenset(
    "of is was were are at to from in the a an : = - , ( ) ~ > < ≥ ≤ ≈ [ ] ' \" “ ” initial initially up down"
    " elevated low high mildly slightly markedly only around about approximately nearly almost over under above"
    " below measured level value count reading recorded as on arrival admission documented remain remained came back"
    " rose fell rising falling today noted per her his peak peaked with by → then also room air ra stable normal found"
    " again".split()
)
_CHAIN = frozenset("to - > → then and or up down from * % now , by".split())
_SPELLED = {word: str(number) for number, word in enumerate(
    "one two three four five six seven eight nine ten eleven twelve".split(), 1
)}  # fmt: skip


_AIR = re.compile(
    r"(?:on )?(?:his |her |their )?(?:ra|room air|o2|nc|nrb|bipap|cpap|nasal cannula|[\d.]{1,4} ?l(?:iter)?)\b"
)
_PERSON = frozenset("man woman male female gentleman lady patient boy girl person".split())
_OLDEST = 120  # years
_AGE_DIGITS = 4  # more are no age, and Python refuses to read thousands of them
_TEMPERATURE = Term("measure", "temperature", "vital")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text. Offsets are characters: of the whole claim, name and unit included."""

    start: int
    end: int
    token: int
    value: str
    """In one notation: '1200', '2', '95/60'."""
    amount: float
    """NaN for one with a slash or colon, or of more digits than a measurement has."""
    unit: str = ""
    noun: str = ""
    """The word after it, where that is no unit."""
    measure: str = ""
    category: Category = Category.NUMBER
    is_limit: bool = False
    is_about: bool = False
    is_decade: bool = False
    """'in the 110s'."""


@lru_cache(maxsize=65_536)
def normalize_number(number: str) -> str:
    """Return a number in one notation.

    >>> normalize_number("1,200"), normalize_number("2.0"), normalize_number("095/60"), normalize_number("2,5")
    ('1200', '2', '95/60', '2.5')
    """
    if "/" in number or ":" in number:
        return "/".join(map(normalize_number, number.split("/"))) if ":" not in number else number
    number = re.sub(r",(?=\d{3})", "", number).replace(",", ".")
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def parse_amount(value: str) -> float:
    """Return a normalized number as a float; NaN for one that is no single measurement."""
    is_number = len(value) < 12 and value.count(".") < 2 and value.replace(".", "").isdecimal()
    return float(value) if is_number else float("nan")


def list_numbers(tokens: Tokens, hits: Sequence[Hit], lexicon: Lexicon) -> list[Number]:
    """Return the numbers of a text in order."""
    return _name_rows(tokens, list(_NumberReader(tokens, hits, lexicon).read()))


class _NumberReader:
    """Reads a text from left to right and remembers the measure or drug that the next number may belong to."""

    def __init__(self, tokens: Tokens, hits: Sequence[Hit], lexicon: Lexicon) -> None:
        self.tokens, self.lexicon = tokens, lexicon
        self.hits = {hit.first: hit for hit in hits}
        self.measure: Hit | None = None
        self.gap = 0
        self.is_chain = False  # a number of this measure has been read: 'from 1.0 to 2.4'
        self.limit_until = self.about_until = -1

    def read(self) -> Iterator[Number]:
        at, tokens = 0, self.tokens
        while at < len(tokens.words):
            word = tokens.words[at]
            if (hit := self.hits.get(at)) is not None:
                self._pass_name(hit)
                at = hit.last
            elif not ("0" <= word[0] <= "9" or word in _SPELLED):
                if self.measure is not None or word in SENTENCE_ENDS:
                    self._pass_word(word)
                at += 1
            elif (value := self._read_value(at)) is None:
                self._pass_word(word)
                at += 1
            else:
                number = self._read_number(at, value)
                yield number
                self.gap, self.is_chain = 0, True
                at += 1
                while at < len(tokens.words) and tokens.starts[at] < number.end:
                    at += 1

    def _pass_name(self, hit: Hit) -> None:
        sort = hit.term.sort
        if sort == "measure" and self.measure and self.measure.term.sort == "drug" and hit.first == self.measure.last:
            self.measure = self.measure._replace(last=hit.last)  # a salt: 'alendronate sodium'
        elif sort in ("measure", "drug"):
            self.measure, self.gap, self.is_chain = hit, 0, False
        elif hit.term.key == "fever":
            self.measure, self.gap, self.is_chain = hit._replace(term=_TEMPERATURE), 0, False
        elif sort == "finding":
            self.measure = None
        elif sort == "limit":
            self.limit_until = hit.last + 4
        elif sort == "about":
            self.about_until = hit.last + 2
        self.gap += 1

    def _pass_word(self, word: str) -> None:
        self.gap += 1
        if word in SENTENCE_ENDS:
            self.limit_until = self.about_until = -1
        if self.gap > _GAP or word not in (_CHAIN if self.is_chain else _BETWEEN):
            self.measure = None

    def _read_value(self, at: int) -> str | None:
        """Return the number that a token is: digits, or a word with a unit of time behind it; None for none."""
        word = self.tokens.words[at]
        if "0" <= word[0] <= "9":
            return word if _is_number(self.tokens, at) else None
        spelled = _SPELLED.get(word)
        if spelled and read_unit(self.tokens.words, at + 1, self.lexicon)[0] in self.lexicon.hours:
            return spelled
        return None

    def _read_unit(self, at: int) -> tuple[str, int]:
        """Return the unit behind a number and the token after it. A measure is none: 'BP 95/60 HR 110'."""
        if self.tokens.words[at : at + 1] == ["s"] and self.tokens.starts[at] == self.tokens.ends[at - 1]:
            at += 1
        begin = at + 1 if self.tokens.words[at : at + 1] in (["-"], ["–"]) else at
        hit = self.hits.get(begin)
        if hit is not None and hit.term.sort == "measure":
            return "", at
        unit, last = read_unit(self.tokens.words, begin, self.lexicon)
        return unit, last if unit else at

    def _read_number(self, at: int, value: str) -> Number:
        number = _read_number(self.tokens, at, value, self._read_unit(at + 1))
        is_limit = at <= self.limit_until and number.unit not in self.lexicon.hours  # 'over 3 months' is none
        number = replace(number, is_limit=is_limit, is_about=at <= self.about_until)
        number, is_named = _name_number(self.tokens, number, self.measure, at, self.lexicon)
        if not is_named and self.measure is not None and self.measure.term.sort == "measure":
            self.measure = None
        return number


def _is_number(tokens: Tokens, at: int) -> bool:
    """Return whether a token is a number of its own: not the entry of a list, nor part of a word, name or id."""
    start, end = tokens.starts[at], tokens.ends[at]
    before, after = tokens.text[start - 1 : start], tokens.text[end : end + 1]
    if start and (before in "._" or after == "_"):
        return False
    is_entry = after in (".", ")") and end - start <= 2 and tokens.text[end + 1 : end + 2].isspace()
    return not (
        is_entry and (at == 0 or "\n" in tokens.text[tokens.ends[at - 1] : start] or tokens.words[at - 1] == "\n")
    )


def read_unit(words: Sequence[str], at: int, lexicon: Lexicon) -> tuple[str, int]:
    """Return the unit that begins at a token, and the token after it; '' for none."""
    for length in (3, 2, 1):
        if (unit := lexicon.units.get("".join(words[at : at + length]))) and at + length <= len(words):
            return unit, at + length
    return "", at


def _read_number(tokens: Tokens, at: int, word: str, unit_and_end: tuple[str, int]) -> Number:
    words, (unit, last) = tokens.words, unit_and_end
    is_decade = last > at + 1 and words[at + 1] == "s"
    noun = words[last] if last < len(words) and not unit and words[last].isalpha() else ""
    value = normalize_number(word)
    measure = ""
    if unit == "year" and "old" in words[last : last + 2]:
        last += words[last : last + 2].index("old") + 1
        measure = "age"
    elif noun in ("yo", "yof", "yom", "y") and (noun != "y" or words[last : last + 3] == ["y", "/", "o"]):
        last, noun, unit, measure = last + (3 if noun == "y" else 1), "", "year", "age"
    elif _is_age(tokens, at, value, unit, is_decade=is_decade):
        last, noun, unit, measure = last + (noun == "m"), "", "year", "age"
    end = tokens.ends[last - 1]
    return Number(tokens.starts[at], end, at, value, parse_amount(value), unit, noun, measure, is_decade=is_decade)


def _is_age(tokens: Tokens, at: int, value: str, unit: str, *, is_decade: bool) -> bool:
    """Return whether a number is an age without saying so: 'a man of 71', '71M with', 'a woman in her 70s'."""
    if not value.isdecimal() or len(value) > _AGE_DIGITS or int(value) > _OLDEST:
        return False
    before = tokens.words[max(at - 3, 0) : at]
    if is_decade:
        return bool(before) and before[-1] in ("his", "her", "their", "early", "mid", "late")
    if unit in ("", "year") and before[-1:] == ["of"] and not _PERSON.isdisjoint(before[-2:-1]):
        return True
    end = tokens.ends[at]
    letter, following = tokens.text[end : end + 1], tokens.text[end + 1 : end + 2]
    return not following.isalnum() and (letter == "M" or (letter == "F" and not _is_fahrenheit(int(value))))


def _name_number(tokens: Tokens, number: Number, measure: Hit | None, at: int, lexicon: Lexicon) -> tuple[Number, bool]:
    """Return a number with what it measures, and whether that comes from the name before it."""
    if number.measure:
        return number, False
    if "/" in number.value:
        if not _is_pressure(number.value):
            return number, False
        has_name = measure is not None and measure.term.key == "blood pressure"
        number = replace(number, measure="blood pressure", category=Category.VITAL)
        return _begin_at_name(tokens, number, measure, at) if has_name and measure else (number, False)
    if measure is None:
        if at and tokens.text[tokens.starts[at - 1] : tokens.ends[at - 1]] == "R":
            return replace(number, measure="respiratory rate", category=Category.VITAL), False
        return _name_by_unit(tokens, number, lexicon), False
    if measure.term.sort == "drug":
        if number.unit in _DOSE_UNITS:
            return replace(number, measure=f"dose of {measure.term.key}"), True
        return _name_by_unit(tokens, number, lexicon), True
    if number.unit == "+" or (number.unit in lexicon.hours and measure.term.key != "age"):
        return number, False
    if _contradicts(number.unit, measure.term.key, lexicon):
        return _name_by_unit(tokens, number, lexicon), False
    number = replace(number, measure=measure.term.key, category=Category(measure.term.nature))
    return _begin_at_name(tokens, number, measure, at)


def _contradicts(unit: str, measure: str, lexicon: Lexicon) -> bool:
    """Return whether a measure has no such unit: 'BP 128/76, 89% on room air', 'HR 110, 38.5 C'."""
    if unit == "%":
        return measure not in lexicon.percent
    return lexicon.implied.get(unit, measure) != measure and measure in lexicon.implied.values()


def _begin_at_name(tokens: Tokens, number: Number, measure: Hit, at: int) -> tuple[Number, bool]:
    """Let the claim begin at the measure's name where no other number stands between them."""
    between = tokens.words[measure.last : at]
    if not any(word[0].isdigit() for word in between):
        number = replace(number, start=tokens.starts[measure.first])
    return number, True


def _name_by_unit(tokens: Tokens, number: Number, lexicon: Lexicon) -> Number:
    if number.unit == "%" and number.amount >= 50:
        following = tokens.words[number.token + 2 : number.token + 7]
        if _AIR.match(" ".join(following)):
            return replace(number, measure="oxygen saturation", category=Category.VITAL)
    measure = lexicon.implied.get(number.unit, "")
    if measure == "temperature" and not (30 <= number.amount <= 45 or _is_fahrenheit(number.amount)):
        return number
    return replace(number, measure=measure, category=Category.VITAL) if measure else number


def _is_fahrenheit(amount: float) -> bool:
    return 88 <= amount <= 112


def _is_pressure(value: str) -> bool:
    upper, _, lower = value.partition("/")
    if not (upper.isdecimal() and lower.isdecimal() and len(upper) <= 3 and len(lower) <= 3):
        return False
    return 40 <= int(upper) <= 300 and 15 <= int(lower) < int(upper)


def _name_rows(tokens: Tokens, numbers: list[Number]) -> list[Number]:
    """Name the numbers of rows of vital signs: '98.4 88 132/76 18 97% RA'."""
    for at, number in enumerate(numbers):
        if number.measure != "blood pressure" or tokens.starts[number.token] != number.start:
            continue
        before = _list_neighbors(tokens, numbers, at, -1)
        after = _list_neighbors(tokens, numbers, at, 1)
        if len(before) + len(after) < 3:
            continue
        has_rate = False
        for place in reversed(before):
            amount = numbers[place].amount
            is_warm = 34 <= amount <= 42 or 94 <= amount <= 106
            name = "temperature" if is_warm and place == before[-1] else "heart rate"
            has_rate |= name == "heart rate"
            numbers[place] = replace(numbers[place], measure=name, category=Category.VITAL)
        for place in after:
            name = "heart rate" if not has_rate else "respiratory rate"
            if numbers[place].unit == "%" or (has_rate and numbers[place].amount > 60):
                name = "oxygen saturation"
            has_rate = True
            numbers[place] = replace(numbers[place], measure=name, category=Category.VITAL)
    return numbers


def _list_neighbors(tokens: Tokens, numbers: Sequence[Number], at: int, step: int) -> list[int]:
    """Return the places of at most three unnamed numbers that follow one another without a word between them."""
    neighbors: list[int] = []
    place = at + step
    while 0 <= place < len(numbers) and len(neighbors) < 3:
        left, right = sorted((numbers[place], numbers[place - step]), key=lambda number: number.token)
        between = tokens.words[left.token + 1 : right.token]
        if (
            numbers[place].measure not in ("", "temperature")
            or len(between) > 2
            or not all(word in ("%", ",", "-", "f", "c") for word in between)
        ):
            break
        neighbors.append(place)
        place += step
    return neighbors
