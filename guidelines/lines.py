"""Lines of styled text, built from the characters of a page, top to bottom, left to right.

A space is inserted where one is printed or where two characters are more than a twentieth of the type size apart. In
the FY2025 file the gaps within words end at 0.02 of the type size and those between words begin at 0.06.

The guidelines mark a year's changes only by style, which plain text loses. FY2025, front page: bold text has changed,
underlined text has moved, italics mark a revised heading.

>>> StyledText.join([StyledText("the ICD-"), StyledText("10-CM", (Span(0, 5, "bold"),)), StyledText("codes")])
StyledText(text='the ICD-10-CM codes', spans=(Span(start=8, end=13, style='bold'),))
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import NamedTuple

from deepicd.schema import Mark
from guidelines.characters import WORD_GAP, Character, Run, Stroke, Style

STYLES: tuple[Style, ...] = ("bold", "underline", "italics")

# A line that ends in a hyphen continues without a space ('ICD-' / '10-CM'). Two dashes do not: one that stands alone
# ('care -'), and that of a category ('code G20-' / 'represents') unless a range continues ('Q00-' / 'Q99').
_HYPHEN_END = re.compile(r"[^\s\-–]-\Z")
_CATEGORY_DASH = re.compile(r"\b[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{0,4})?-\Z")
_CODE_START = re.compile(r"[A-Z][0-9][0-9A-Z]")


class Span(NamedTuple):
    """A range of characters, `start` up to `end`, printed in `style`."""

    start: int
    end: int
    style: Style


@dataclass(frozen=True, slots=True)
class StyledText:
    """A text and its spans, sorted by start, none of them empty."""

    text: str
    spans: tuple[Span, ...] = ()

    @classmethod
    def from_characters(cls, characters: Sequence[tuple[str, frozenset[Style]]]) -> "StyledText":
        """Return the text of characters with styles. A space between two words of a style belongs to the span."""
        text = "".join(character for character, _ in characters)
        spans = []
        for style in STYLES:
            start: int | None = None
            for at, (character, styles) in enumerate([*characters, ("", frozenset[Style]())]):
                if style in styles and not character.isspace():
                    start = at if start is None else start
                elif start is not None and not character.isspace():
                    spans.append(Span(start, start + len(text[start:at].rstrip()), style))
                    start = None
        return cls(text, tuple(sorted(spans)))

    @classmethod
    def join(cls, lines: Iterable["StyledText"]) -> "StyledText":
        """Join the lines of a paragraph. A span that continues over a line end stays one span."""
        text, spans = "", list[Span]()
        for line in lines:
            gap = " " if text and not _continues_word(text, line.text) else ""
            for span in line.spans:
                shifted = Span(span.start + len(text) + len(gap), span.end + len(text) + len(gap), span.style)
                before = next((old for old in spans if old.style == span.style and old.end == len(text)), None)
                if before and text and span.start == 0:
                    spans[spans.index(before)] = Span(before.start, shifted.end, span.style)
                else:
                    spans.append(shifted)
            text += gap + line.text
        return cls(text, tuple(sorted(spans)))

    def drop_prefix(self, length: int) -> "StyledText":
        """Return what follows the first `length` characters and the space after them."""
        rest = self.text[length:].lstrip()
        cut = len(self.text) - len(rest)
        spans = (Span(max(span.start - cut, 0), span.end - cut, span.style) for span in self.spans if span.end > cut)
        return StyledText(rest, tuple(spans))

    def measure_share(self, style: Style) -> float:
        """Return the share of the text, without spaces, that is printed in a style: 0 to 1."""
        inked = [not character.isspace() for character in self.text]
        styled = sum(sum(inked[span.start : span.end]) for span in self.spans if span.style == style)
        return styled / total if (total := sum(inked)) else 0.0

    def list_marks(self, styles: Iterable[Style] = STYLES) -> list[Mark]:
        """Return the spans as they are stored."""
        return [Mark(start=start, end=end, style=style) for start, end, style in self.spans if style in styles]


def _continues_word(text: str, following: str) -> bool:
    """Return whether the next line is joined without a space."""
    if not _HYPHEN_END.search(text):
        return False
    return not _CATEGORY_DASH.search(text) or bool(_CODE_START.match(following))


SAME_LINE = 0.45  # of the type size: the raised 'th' of '7th' is 0.36 above its line
UNDERLINE_DEPTH = 0.3  # of the type size below the baseline
UNDERLINE_THICKNESS = 0.26  # of the type size at most; its length is more

BULLETS = "•●▪◦‣\uf0a7\uf0b7"  # the last two are those of Wingdings and Symbol, which have no Unicode name


@dataclass(frozen=True, slots=True)
class Line:
    page: int
    """Counted from 1."""
    left: float
    right: float
    top: float
    """Position of the baseline."""
    size: float
    """Median type size."""
    content: StyledText
    first_word: float
    """Width of its first word."""

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def is_bulleted(self) -> bool:
        return self.text[0] in BULLETS


def build_lines(runs: Iterable[Run], underlines: Sequence[Stroke] = ()) -> list[Line]:
    """Return the lines of these runs, which are of one page, without blank ones."""
    runs = list(runs)
    characters = sorted((character for run in runs for character in run.characters), key=attrgetter("top"))
    rows: list[list[Character]] = []
    for character in characters:
        if rows and character.top - rows[-1][0].top <= SAME_LINE * max(character.size, rows[-1][0].size):
            rows[-1].append(character)
        else:
            rows.append([character])
    lines = (_build_line(runs[0].page, sorted(row, key=attrgetter("left")), underlines) for row in rows)
    return [line for line in lines if line is not None]


def _build_line(page: int, row: list[Character], underlines: Sequence[Stroke]) -> Line | None:
    """Return the line of these characters, which are sorted from left to right; None if it is blank."""
    inked = [character for character in row if not character.text.isspace()]
    if not inked:
        return None
    size = median(map(attrgetter("size"), inked))
    top = median(map(attrgetter("top"), inked))
    words = _split_words(row, WORD_GAP * size)
    under = [stroke for stroke in underlines if _underlines(stroke, top, size)]
    printed: list[tuple[str, frozenset[Style]]] = []
    for word in words:
        printed += [(" ", frozenset())] if printed else []
        printed += [(character.text, _find_styles(character, under)) for character in word]
    return Line(
        page=page,
        left=inked[0].left,
        right=max(map(attrgetter("right"), inked)),
        top=top,
        size=size,
        content=StyledText.from_characters(printed),
        first_word=words[0][-1].right - words[0][0].left,
    )


def _underlines(stroke: Stroke, top: float, size: float) -> bool:
    thickest = UNDERLINE_THICKNESS * size
    is_line = stroke.thickness <= thickest < stroke.right - stroke.left
    return is_line and 0 <= stroke.top - top <= UNDERLINE_DEPTH * size


def _split_words(row: list[Character], gap: float) -> list[list[Character]]:
    """Return the characters between spaces, or between gaps wider than `gap` points."""
    words: list[list[Character]] = [[]]
    for character in row:
        if character.text.isspace() or (words[-1] and character.left - words[-1][-1].right > gap):
            words.append([])
        if not character.text.isspace():
            words[-1].append(character)
    return [word for word in words if word]


def _find_styles(character: Character, underlines: Sequence[Stroke]) -> frozenset[Style]:
    middle = (character.left + character.right) / 2
    if any(stroke.left <= middle <= stroke.right for stroke in underlines):
        return character.print.styles | {"underline"}
    return character.print.styles
