"""Read the pages of a PDF as lines of styled text, top to bottom, left to right.

pypdfium2 reads the characters with fonts and positions in a fifth of the time that pdfplumber takes, so one process
suffices. Its text output is not used: it loses fonts and guesses spaces and hyphens.

A space is inserted where one is printed or where two characters are more than a twentieth of the type size apart. In
the FY2025 file the gaps within words end at 0.02 of the type size and those between words begin at 0.06.

Unit of length: the point. `top` grows downwards from the upper edge of the page.
"""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import Any, NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as raw  # type: ignore[import-untyped]

from guidelines.styled_text import Style, StyledText

WORD_GAP = 0.05  # of the type size
SAME_LINE = 0.45  # of the type size: the raised 'th' of '7th' is 0.36 above its line
UNDERLINE_DEPTH = 0.3  # of the type size below the baseline
UNDERLINE_HEIGHT = 3.0  # points; pdfium counts the width of a stroke twice
PROBES = 50  # characters per page whose direction is checked
TILT = 0.1  # radians by which horizontal text may lean

BULLETS = "•●▪◦‣\uf0a7\uf0b7"  # the last two are those of Wingdings and Symbol, which have no Unicode name
LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u00a0": " ", "\u00ad": "-"})
LINE_END_HYPHENS = "\x02\ufffe"  # what pdfium reports for a hyphen where it assumes a broken word

Stroke = tuple[float, float, float]  # left, right and top of a thin horizontal stroke


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


class _Font(NamedTuple):
    handle: Any
    key: int
    size: float
    stretch: float  # points per unit of glyph width
    styles: frozenset[Style]


class _Character(NamedTuple):
    text: str
    left: float
    right: float
    top: float
    size: float
    styles: frozenset[Style]


def read_lines(page: pdfium.PdfPage, number: int) -> list[Line]:
    """Return the lines of a page without blank ones."""
    underlines = _find_underlines(page)
    characters = sorted(_read_characters(page), key=attrgetter("top"))
    rows: list[list[_Character]] = []
    for character in characters:
        if rows and character.top - rows[-1][0].top <= SAME_LINE * max(character.size, rows[-1][0].size):
            rows[-1].append(character)
        else:
            rows.append([character])
    lines = (_build_line(number, sorted(row, key=attrgetter("left")), underlines) for row in rows)
    return [line for line in lines if line is not None]


def is_rotated(page: pdfium.PdfPage) -> bool:
    """Return whether a page, or most of its text, is rotated: its lines would be read out of order."""
    text_page = page.get_textpage()
    count = text_page.count_chars()
    probes = range(0, count, max(1, count // PROBES))
    angles = [raw.FPDFText_GetCharAngle(text_page.raw, index) for index in probes]  # 0 to 2π, -1 for none
    rotated = sum(TILT < angle < 2 * math.pi - TILT for angle in angles)
    return bool(page.get_rotation()) or rotated > len(angles) / 2


def _read_characters(page: pdfium.PdfPage) -> Iterator[_Character]:
    """Yield every printed character, without those that pdfium adds."""
    text_page = page.get_textpage()
    handle = text_page.raw  # looked up once for a million calls
    height = page.get_height()
    x, y, width = ctypes.c_double(), ctypes.c_double(), ctypes.c_float()
    fonts: dict[int, _Font] = {}  # address of a text object → its font
    widths: dict[tuple[int, int], float] = {}  # (font, character) → width in units of its size
    for index in range(text_page.count_chars()):
        if not (printed := raw.FPDFText_GetTextObject(handle, index)):
            continue  # a space or line end added by pdfium
        address = ctypes.addressof(printed.contents)
        if (font := fonts.get(address)) is None:
            font = fonts[address] = _read_font(printed)
        code = raw.FPDFText_GetUnicode(handle, index)
        raw.FPDFText_GetCharOrigin(handle, index, x, y)
        if (unit := widths.get((font.key, code))) is None:
            raw.FPDFFont_GetGlyphWidth(font.handle, code, 1.0, width)
            unit = widths[font.key, code] = width.value
        text = "-" if chr(code) in LINE_END_HYPHENS else chr(code).translate(LIGATURES)
        right = x.value + unit * font.stretch
        yield _Character(text, x.value, right, height - y.value, font.size, font.styles)


def _read_font(printed: Any) -> _Font:
    handle = raw.FPDFTextObj_GetFont(printed)
    size, matrix, name = ctypes.c_float(), raw.FS_MATRIX(), ctypes.create_string_buffer(256)
    raw.FPDFTextObj_GetFontSize(printed, size)
    raw.FPDFPageObj_GetMatrix(printed, matrix)
    raw.FPDFFont_GetBaseFontName(handle, name, 256)
    styles: set[Style] = set()
    if b"Bold" in name.value:
        styles.add("bold")
    if b"Italic" in name.value or b"Oblique" in name.value:
        styles.add("italics")
    return _Font(
        handle,
        ctypes.addressof(handle.contents),
        abs(size.value * matrix.d),
        abs(size.value * matrix.a),
        frozenset(styles),
    )


def _find_underlines(page: pdfium.PdfPage) -> list[Stroke]:
    height = page.get_height()
    bounds = (item.get_bounds() for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]))
    return [
        (left, right, height - upper)
        for left, lower, right, upper in bounds
        if upper - lower <= UNDERLINE_HEIGHT and right - left > UNDERLINE_HEIGHT
    ]


def _build_line(page: int, row: list[_Character], underlines: list[Stroke]) -> Line | None:
    """Return the line of these characters, which are sorted from left to right; None if it is blank."""
    inked = [character for character in row if not character.text.isspace()]
    if not inked:
        return None
    size = median(map(attrgetter("size"), inked))
    top = median(map(attrgetter("top"), inked))
    words = _split_words(row, WORD_GAP * size)
    under = [stroke for stroke in underlines if 0 <= stroke[2] - top <= UNDERLINE_DEPTH * size]
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


def _split_words(row: list[_Character], gap: float) -> list[list[_Character]]:
    """Return the characters between spaces, or between gaps wider than `gap` points."""
    words: list[list[_Character]] = [[]]
    for character in row:
        if character.text.isspace() or (words[-1] and character.left - words[-1][-1].right > gap):
            words.append([])
        if not character.text.isspace():
            words[-1].append(character)
    return [word for word in words if word]


def _find_styles(character: _Character, underlines: list[Stroke]) -> frozenset[Style]:
    middle = (character.left + character.right) / 2
    if any(left <= middle <= right for left, right, _ in underlines):
        return character.styles | {"underline"}
    return character.styles
