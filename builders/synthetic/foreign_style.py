r"""How other hospitals' notes look and what they call things: a layout, drawn, and the wordings, from foreign/.

    layout = draw_layout(rng)
    layout.format_header("Past Medical History", 3, rng)     # '3. PAST MEDICAL HISTORY: '

A note keeps its layout; one header in thirty departs from it, as pasted text does.

    headers.yaml            what sections are called, and the orders in which they come
    unknown_headers.yaml    headers of the stay that no template knows; histories that run on into the stay
    phrases.yaml, words.yaml  sentences of histories and stays; labels and shorthand

The files share nothing with builders.cohort, so that the sectioner is measured on words it was not written from.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from builders.synthetic.generator_knowledge import read_yaml
from builders.synthetic.phrases import Phrase

FOREIGN = Path(__file__).parent / "foreign"
HEADER_DEPARTS = 0.03
HEADER_BROKEN = 0.03
"""Share of headers of three words or more that are broken over two lines."""
HOSPITALS = 5
"""Columns of labels in words.yaml."""
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")

# Form → weight
_CASES = {"caps": 50, "title": 35, "sentence": 15}
_MARKS = {":": 62, " -": 8, "underline": 10, "none": 13, "brackets": 3, "::": 2, ".": 2}
_NUMBERINGS = {"": 86, "1.": 6, "1)": 3, "A.": 2, "I.": 3}
_SEPARATORS = {"\n\n": 62, "\n \n": 12, "\n": 9, "\n\n\n": 5, "\n" + "-" * 40 + "\n": 6, "\n\n" + "=" * 30 + "\n": 3,
               "\n\n* * *\n\n": 3}  # fmt: skip
_LINE_ENDS = {"\n": 93, "\r\n": 4, "\r": 1.5, "\r\r\n": 1.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    case: str
    mark: str
    numbering: str
    separator: str
    line_end: str
    is_inline: bool
    """Whether a section's text begins on the header's line."""
    is_wrapped: bool
    is_prose: bool
    """Whether lists and exams are written as running text."""
    hospital: int

    def format_header(self, words: str, number: int, rng: random.Random) -> str:
        """Return the text before a section's value, including the space or line break."""
        if rng.random() < HEADER_DEPARTS:
            return replace(self, case=_draw(rng, _CASES), mark=":", numbering="")._write(words, number, rng)
        return self._write(words, number, rng)

    def _write(self, words: str, number: int, rng: random.Random) -> str:
        words = self._change_case(words)
        after = " " if self.is_inline else "\n"
        numbered = f"{_number(self.numbering, number)} {words}" if self.numbering else words
        if self.mark == "underline":
            return f"{numbered}\n{rng.choice('-=') * len(numbered)}\n"
        if self.mark == "none":
            return f"{numbered}\n"
        if self.mark == "brackets":
            return f"[{numbered}]{after}"
        spaces = [place for place, character in enumerate(numbered) if character == " "]
        if len(words.split()) > 2 and rng.random() < HEADER_BROKEN:
            middle = spaces[len(spaces) // 2]
            numbered = f"{numbered[:middle]}\n{numbered[middle + 1 :]}"
        return f"{numbered}{self.mark}{after}"

    def _change_case(self, words: str) -> str:
        if self.case == "caps":
            return words.upper()
        if self.case == "title":
            return words
        first, *rest = words.split(" ")
        return " ".join([first, *(word if word.isupper() else word.lower() for word in rest)])


def draw_layout(rng: random.Random) -> Layout:
    mark = _draw(rng, _MARKS)
    separator = _draw(rng, _SEPARATORS)
    is_tight = separator == "\n"  # only a header with a colon stands out without a blank line above it
    return Layout(
        case="caps" if is_tight or mark == "." else _draw(rng, _CASES),
        mark=":" if is_tight else mark,
        numbering=_draw(rng, _NUMBERINGS),
        separator=separator,
        line_end=_draw(rng, _LINE_ENDS),
        is_inline=rng.random() < (0.85 if mark == "." else 0.45),
        is_wrapped=rng.random() < 0.4,
        is_prose=rng.random() < 0.4,
        hospital=rng.randrange(HOSPITALS),
    )


def _draw(rng: random.Random, weights: dict[str, float] | dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _number(form: str, number: int) -> str:
    """Return '3.' for form '1.', 'C.' for 'A.', 'III.' for 'I.'."""
    name = {"A": chr(ord("A") + (number - 1) % 26), "I": _ROMAN[(number - 1) % len(_ROMAN)]}.get(form[0], str(number))
    return name + form[1]


@dataclass(frozen=True, slots=True)
class UnknownEntry:
    header: str
    chapters: frozenset[int]
    """Of the first diagnoses that it makes sense for; empty for all."""
    sentences: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    admission: Mapping[str, Sequence[str]]
    """Section → wordings of its header."""
    admission_marked: Mapping[str, Sequence[str]]
    """Wordings that name the admission, for sections after the hospital course."""
    combined: Sequence[tuple[str, tuple[str, str]]]
    """(header over two sections, the sections)"""
    mixed: Sequence[str]
    """Headers over a history and the stay."""
    stay: Mapping[str, Sequence[str]]
    """Kind of text of the stay → wordings of its header."""
    form: Sequence[tuple[str, str]]
    """(label, value) of the form's lines, which are neither history nor stay."""
    orders: Sequence[Sequence[str]]
    """Sections and kinds of text of the stay, in order."""
    unknown: Mapping[str, Sequence[UnknownEntry]]
    """Where it may stand (anywhere, late; runs_on: inside a history, without a header) → entries."""
    lines: Mapping[str, tuple[Phrase, ...]]
    exam_labels: Mapping[str, Sequence[str]]
    """System → label, one per hospital."""
    vitals: Sequence[str]
    vitals_labels: Sequence[str]
    lab_words: Mapping[str, str]
    doses: Mapping[str, Sequence[str]]
    """Shorthand of a prescription → how each hospital writes it."""
    medication_labels: Sequence[str]


@cache
def load_lexicon() -> Lexicon:
    headers: dict[str, Any] = read_yaml(FOREIGN / "headers.yaml")
    words: dict[str, Any] = read_yaml(FOREIGN / "words.yaml")
    phrases: dict[str, str] = read_yaml(FOREIGN / "phrases.yaml")
    unknown: dict[str, str] = read_yaml(FOREIGN / "unknown_headers.yaml")
    return Lexicon(
        combined=[(entry["header"], tuple(entry["sections"])) for entry in headers.pop("combined")],
        form=[tuple(line.split("|")) for line in headers.pop("form")],
        unknown={place: [_parse_entry(line) for line in text.splitlines()] for place, text in unknown.items()},
        lines={name: tuple(map(Phrase.parse, text.splitlines())) for name, text in phrases.items()},
        **headers,
        **words,
    )


def _parse_entry(line: str) -> UnknownEntry:
    start, *sentences = line.split("| ")
    header, _, chapters = start.partition("@")
    numbers = frozenset(map(int, chapters.split(","))) if chapters else frozenset[int]()
    return UnknownEntry(header.strip(), numbers, tuple(Phrase.parse(sentence.strip()) for sentence in sentences))
