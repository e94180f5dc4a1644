"""Read the characters of a PDF page with fonts and positions, in runs: what was printed in one go, as on a typewriter.

pypdfium2 reads them in a fifth of the time that pdfplumber takes, so one process suffices. Its text output is not used:
it loses fonts and guesses spaces and hyphens.

A letter that was printed twice within a point, to look bold or by a stamp tool, is one letter. Unit of length: the
point. `top` grows downwards from the upper edge of the page.
"""

import ctypes
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as raw  # type: ignore[import-untyped]

Style = Literal["bold", "underline", "italics"]

TILT = 0.1  # radians by which horizontal text may lean
PRINTED_AGAIN = (1.0, 0.15)  # points, and of the type size: the narrowest letter is 0.18 wide
SAME_HEIGHT = 0.1  # of the type size, within a run
WORD_GAP = 0.05  # of the type size
RUN_GAP = 1.0  # of the type size: a wider one ends a run

THICKEST = 6.0  # points, of a stroke

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u00a0": " ", "\u00ad": "-"})
LINE_END_HYPHENS = "\x02\ufffe"  # what pdfium reports for a hyphen where it assumes a broken word
SUBSET = re.compile(r"\A[A-Z]{6}\+")
ARTIFACT = "Artifact"  # PDF 1.7, 14.8.2.2: what is printed on a page without being part of the document


class Stroke(NamedTuple):
    """A thin horizontal stroke."""

    left: float
    right: float
    top: float
    thickness: float
    """pdfium counts the width of a drawn line twice."""


@dataclass(frozen=True, slots=True)
class Print:
    """How characters were printed: what the text objects of a PDF state."""

    font: str
    """Its name without the prefix of a subset."""
    size: float
    stretch: float
    """Points per unit of glyph width."""
    styles: frozenset[Style]
    is_upright: bool
    is_hidden: bool
    """Invisible: text that was recognised on a picture."""
    is_tagged: bool
    """Marked as a part of the document's structure."""
    font_address: int
    """Two fonts of a PDF may share a name."""


class Character(NamedTuple):
    text: str
    left: float
    right: float
    top: float
    size: float
    print: Print


@dataclass(frozen=True)
class Run:
    """Characters that follow each other at one height without a wide gap."""

    page: int
    characters: Sequence[Character]

    @cached_property
    def text(self) -> str:
        """Words with single spaces, whether these were printed or are gaps."""
        text, right = "", self.characters[0].left
        for character in self.characters:
            text += " " if character.left - right > WORD_GAP * self.size else ""
            text += character.text
            right = character.right
        return " ".join(text.split())

    @property
    def top(self) -> float:
        return self.characters[0].top

    @property
    def size(self) -> float:
        return self.characters[0].size

    @property
    def print(self) -> Print:
        return self.characters[0].print


@dataclass(frozen=True)
class PageText:
    """Everything that is read from one page."""

    number: int
    """Counted from 1."""
    height: float
    runs: list[Run]
    underlines: list[Stroke]
    is_rotated: bool
    """The page, or most of its text, is rotated: its lines would be read out of order."""
    is_blank: bool
    unmapped: int
    """Characters of which the PDF does not say which they are."""
    doubled: int
    """Letters that were printed again and are left out."""


def read_page(page: pdfium.PdfPage, number: int) -> PageText:
    """Return the text of a page as it was printed."""
    text_page = page.get_textpage()
    every, unmapped = _read_characters(text_page, page.get_height())
    characters = drop_doubled(every)
    inked = [character for character in characters if not character.text.isspace()]
    rotated = sum(not character.print.is_upright for character in inked)
    return PageText(
        number=number,
        height=page.get_height(),
        runs=[run for run in _split_runs(number, characters) if run.text],
        underlines=_find_underlines(page),
        is_rotated=bool(page.get_rotation()) or rotated > len(inked) / 2,
        is_blank=not any(page.get_objects()),
        unmapped=unmapped,
        doubled=len(every) - len(characters),
    )


def _read_characters(text_page: pdfium.PdfTextPage, height: float) -> tuple[list[Character], int]:
    """Return every printed character, without those that pdfium adds; and how many have no meaning."""
    handle = text_page.raw  # looked up once for a million calls
    x, y, box = ctypes.c_double(), ctypes.c_double(), raw.FS_RECTF()
    prints: dict[int, Print] = {}  # by address of a text object
    widths: dict[tuple[int, int], float] = {}  # (font, character) → width in units of its size
    characters, unmapped = list[Character](), 0
    for index in range(text_page.count_chars()):
        if not (printed := raw.FPDFText_GetTextObject(handle, index)):
            continue  # a space or line end added by pdfium
        address = ctypes.addressof(printed.contents)
        if (kind := prints.get(address)) is None:
            kind = prints[address] = _read_print(printed, handle, index)
        code = raw.FPDFText_GetUnicode(handle, index)
        raw.FPDFText_GetCharOrigin(handle, index, x, y)
        if (unit := widths.get((kind.font_address, code))) is None:
            raw.FPDFText_GetLooseCharBox(handle, index, box)
            unit = (box.right - x.value) / kind.stretch if kind.stretch else 0.0
            widths[kind.font_address, code] = unit
        text = "-" if chr(code) in LINE_END_HYPHENS else chr(code).translate(LIGATURES)
        if code in (0, 0xFFFD) or raw.FPDFText_HasUnicodeMapError(handle, index) == 1:
            unmapped += 1
        right = x.value + unit * kind.stretch
        characters.append(Character(text, x.value, right, height - y.value, kind.size, kind))
    return characters, unmapped


def _read_print(printed: Any, text_page: Any, index: int) -> Print:
    font = raw.FPDFTextObj_GetFont(printed)
    size, matrix, buffer = ctypes.c_float(), raw.FS_MATRIX(), ctypes.create_string_buffer(256)
    raw.FPDFTextObj_GetFontSize(printed, size)
    raw.FPDFText_GetMatrix(text_page, index, matrix)
    raw.FPDFFont_GetBaseFontName(font, buffer, 256)
    name = SUBSET.sub("", buffer.value.decode("latin-1"))
    styles: set[Style] = set()
    if "Bold" in name:
        styles.add("bold")
    if "Italic" in name or "Oblique" in name:
        styles.add("italics")
    tilt = math.atan2(matrix.b, matrix.a)
    return Print(
        font=name,
        size=abs(size.value * math.hypot(matrix.c, matrix.d)),
        stretch=abs(size.value * math.hypot(matrix.a, matrix.b)),
        styles=frozenset(styles),
        is_upright=abs(tilt) <= TILT,
        is_hidden=raw.FPDFTextObj_GetTextRenderMode(printed) == raw.FPDF_TEXTRENDERMODE_INVISIBLE,
        is_tagged=any(name != ARTIFACT for name in _list_marks(printed)),
        font_address=ctypes.addressof(font.contents),
    )


def _list_marks(printed: Any) -> Iterator[str]:
    buffer, length = (ctypes.c_ushort * 64)(), ctypes.c_ulong()
    for index in range(raw.FPDFPageObj_CountMarks(printed)):
        mark = raw.FPDFPageObj_GetMark(printed, index)
        raw.FPDFPageObjMark_GetName(mark, buffer, ctypes.sizeof(buffer), length)
        yield bytes(buffer)[: length.value].decode("utf-16-le", "replace").rstrip("\0")


def drop_doubled(characters: Sequence[Character]) -> list[Character]:
    """Return the characters without those that repeat one within a point."""
    kept: list[Character] = []
    cells: dict[tuple[str, int, int], list[Character]] = {}
    for character in characters:
        if character.text.isspace():
            kept.append(character)
            continue
        near = min(PRINTED_AGAIN[0], PRINTED_AGAIN[1] * character.size)
        column, row = round(character.left), round(character.top)
        others = (
            other
            for across in (column - 1, column, column + 1)
            for down in (row - 1, row, row + 1)
            for other in cells.get((character.text, across, down), ())
        )
        if any(abs(o.left - character.left) <= near and abs(o.top - character.top) <= near for o in others):
            continue
        cells.setdefault((character.text, column, row), []).append(character)
        kept.append(character)
    return kept


def _split_runs(page: int, characters: Sequence[Character]) -> Iterator[Run]:
    run: list[Character] = []
    for character in characters:
        if run and not _continues_run(run[-1], character):
            yield Run(page, run)
            run = []
        run.append(character)
    if run:
        yield Run(page, run)


def _continues_run(before: Character, character: Character) -> bool:
    size = before.size
    return (
        before.print.is_upright == character.print.is_upright
        and abs(character.top - before.top) <= SAME_HEIGHT * size
        and -RUN_GAP / 2 * size <= character.left - before.right <= RUN_GAP * size
        and abs(character.size - size) <= SAME_HEIGHT * size
    )


def _find_underlines(page: pdfium.PdfPage) -> list[Stroke]:
    height = page.get_height()
    return [
        Stroke(left, right, height - upper, upper - lower)
        for left, lower, right, upper in _list_paths(page.get_objects(max_depth=1), pdfium.PdfMatrix())
        if upper - lower <= THICKEST
    ]


def _list_paths(items: Iterable[pdfium.PdfObject], place: pdfium.PdfMatrix) -> Iterator[tuple[float, ...]]:
    """Yield the bounds of paths on a page, those within forms included."""
    for item in items:
        if item.type == raw.FPDF_PAGEOBJ_PATH:
            yield place.on_rect(*item.get_bounds())
        elif item.type == raw.FPDF_PAGEOBJ_FORM:
            within = item.get_matrix().multiply(place)
            yield from _list_paths(_list_form(item), within)


def _list_form(form: pdfium.PdfObject) -> Iterator[pdfium.PdfObject]:
    for index in range(raw.FPDFFormObj_CountObjects(form.raw)):
        yield pdfium.PdfObject(raw.FPDFFormObj_GetObject(form.raw, index), page=form.page, pdf=form.pdf)
