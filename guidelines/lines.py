"""Build lines of styled text from the characters of a page, top to bottom, left to right.

A space is inserted where one is printed or where two characters are more than a twentieth of the type size apart. In
the FY2025 file the gaps within words end at 0.02 of the type size and those between words begin at 0.06.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median

from guidelines.characters import WORD_GAP, Character, Run, Stroke
from guidelines.styled_text import Style, StyledText

SAME_LINE = 0.45  # of the type size: the raised 'th' of '7th' is 0.36 above its line
UNDERLINE_DEPTH = 0.3  # of the type size below the baseline
UNDERLINE_THICKNESS = 0.26  # of the type size at most; its length is more

BULLETS = "•●▪◦‣\uf0a7\uf0b7"  # the last two are those of Wingdings and Symbol, which have no Unicode name


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line."""

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
