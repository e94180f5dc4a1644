"""Open a guideline PDF and recognise its year, its lines (front, contents, body) and its bookmarks.

Everything is read from the pages, nothing from the file's name. Any other file (a web page saved as .pdf, a scan, half
a download, another CMS document) raises a DeepicdError that says what it is.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as raw  # type: ignore[import-untyped]

from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from guidelines.lines import Line, is_rotated, read_lines

GUIDELINE_TITLE = "ICD-10-CM Official Guidelines for Coding and Reporting"
SOURCE_ADVICE = (
    "The CMS publishes the guidelines of each year at https://www.cms.gov/medicare/coding-billing/icd-10-codes"
)
DEMONSTRATION = "made up for demonstration"
"""A PDF whose front page contains these words is not the official guideline, and neither is its output."""

FISCAL_YEAR = re.compile(r"\bFY\s*(20\d\d)\b")
DAY = r"[A-Z][a-z]+ \d{1,2}, 20\d\d"
EFFECTIVE = re.compile(rf"\(({DAY}) ?[-–—] ?({DAY})\)")
NUMBER = re.compile(r"Page ?(\d+) ?of ?(\d+)")
FOOTER = re.compile(rf"{GUIDELINE_TITLE}|FY ?\d{{4}}|{NUMBER.pattern}")
FOOTER_BAND = 0.1  # of the page's height, at its foot
# the dots between title and page number in the contents
LEADERS = re.compile(r"(?:\. ?){6,}|…{2,}|…\.{2,}")
CONTENTS_LINES = 3  # a page with at least this many lines with leaders belongs to the contents


class PageNumber(NamedTuple):
    """'Page 17 of 120' in a footer."""

    number: int
    total: int


class Bookmark(NamedTuple):
    title: str
    level: int
    """0 for the outermost."""
    page: int


@dataclass(frozen=True, slots=True)
class Document:
    """A guideline as lines: `front` is what precedes the contents, `body` what follows them."""

    fiscal_year: int
    effective: tuple[date, date] | None
    is_demonstration: bool
    numbers: list[PageNumber | None]
    """The number in each page's footer; None for a page without one, such as the first."""
    front: list[Line]
    contents: list[Line]
    body: list[Line]
    bookmarks: list[Bookmark]

    @property
    def pages(self) -> int:
        return len(self.numbers)


class FrontPage(NamedTuple):
    fiscal_year: int
    effective: tuple[date, date] | None
    is_demonstration: bool


def read_document(path: Path) -> Document:
    """Read a guideline. Raises DeepicdError for any other file, and for pages that cannot be read in order."""
    with open_pdf(path) as pdf, track_progress("pages read", total=len(pdf)) as advance:
        front_page = read_front_page(pdf, path)
        bookmarks = list(list_bookmarks(pdf))
        pages, numbers = list[list[Line]](), list[PageNumber | None]()
        rotated, pictures = list[int](), list[int]()
        for number in range(1, len(pdf) + 1):
            page = pdf[number - 1]
            lines = read_lines(page, number)
            footer = [line for line in lines if _is_footer(line, page.get_height())]
            numbers.append(_read_page_number(footer))
            pages.append([line for line in lines if line not in footer])
            if is_rotated(page):
                rotated.append(number)
            elif not lines and any(page.get_objects()):
                pictures.append(number)
            page.close()
            advance(1)
    _refuse_unreadable(path, rotated, pictures)
    front, contents, body = _split_contents(pages)
    return Document(*front_page, numbers, front, contents, body, bookmarks)


def _refuse_unreadable(path: Path, rotated: list[int], pictures: list[int]) -> None:
    kinds = ((rotated, "rotated"), (pictures, "without text, only a picture"))
    faults = [
        f"{format_pages(pages)} of the file {'is' if len(pages) == 1 else 'are'} {kind}"
        for pages, kind in kinds
        if pages
    ]
    if faults:
        raise DeepicdError(
            f"{path} cannot be read in order: {'; '.join(faults)}.",
            f"Use the document as it was published; nothing was written. {SOURCE_ADVICE}",
        )


def format_pages(pages: Iterable[int]) -> str:
    """Return page numbers as text, with ranges.

    >>> format_pages([12]), format_pages([66, 63, 64, 65, 70])
    ('page 12', 'pages 63–66, 70')
    """
    runs: list[list[int]] = []
    for page in sorted(set(pages)):
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    is_plural = len(runs) > 1 or runs[0][0] < runs[0][1]
    ranges = ", ".join(f"{first}–{last}" if first < last else f"{first}" for first, last in runs)
    return f"page{'s' if is_plural else ''} {ranges}"


def _read_page_number(footer: list[Line]) -> PageNumber | None:
    matches = (NUMBER.fullmatch(line.text) for line in footer)
    return next((PageNumber(int(match[1]), int(match[2])) for match in matches if match), None)


@contextmanager
def open_pdf(path: Path) -> Iterator[pdfium.PdfDocument]:
    """Yield the PDF at a path. Raises DeepicdError unless it is a complete PDF that opens without a password."""
    if path.is_dir():
        raise DeepicdError(
            f"{path} is a folder, not a PDF file.",
            f"Give the file: {path / 'icd-10-cm-guidelines.pdf'}",
        )
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", f"Check the path. {SOURCE_ADVICE}")
    with path.open("rb") as file:
        head = file.read(1024)
        file.seek(max(path.stat().st_size - 2048, 0))
        tail = file.read()
    if b"%PDF-" not in head:
        kind = "a web page" if b"<html" in head.lower() or b"<!doctype" in head.lower() else "another kind of file"
        raise DeepicdError(
            f"{path} is not a PDF but {kind}: it begins with {head[:20]!r}.", f"Download it again. {SOURCE_ADVICE}"
        )
    if b"%%EOF" not in tail:
        raise DeepicdError(
            f"{path} is cut off: after {path.stat().st_size:,} bytes the end of the PDF is missing.",
            "Download it again.",
        )
    try:
        with pdfium.PdfDocument(path) as pdf:
            yield pdf
    except pdfium.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise DeepicdError(
                f"{path} is encrypted and opens only with a password.",
                f"Save it without one, or download it. {SOURCE_ADVICE}",
            ) from error
        raise DeepicdError(f"{path} is a damaged PDF: {error}", "Download it again.") from error


def read_front_page(pdf: pdfium.PdfDocument, path: Path) -> FrontPage:
    """Return the year and effective dates of a guideline, and whether it is official. Raises DeepicdError otherwise."""
    text = " ".join(line.text for line in read_lines(pdf[0], 1))
    if not text and not any(pdf[number].get_textpage().count_chars() for number in range(len(pdf))):
        raise DeepicdError(
            f"{path} has {len(pdf)} pages and no text on them: it is a scan.",
            f"Use the PDF with text, or run it through OCR first. {SOURCE_ADVICE}",
        )
    if GUIDELINE_TITLE not in text:
        raise _other_document_error(pdf, path, text, f"the title “{GUIDELINE_TITLE}”")
    if (year := FISCAL_YEAR.search(text)) is None:
        raise _other_document_error(pdf, path, text, "a fiscal year (“FY 2025”)")
    days = EFFECTIVE.search(text)
    effective = (_parse_day(days[1]), _parse_day(days[2])) if days else None
    return FrontPage(int(year[1]), effective, DEMONSTRATION in text.lower())


def _other_document_error(pdf: pdfium.PdfDocument, path: Path, text: str, missing: str) -> DeepicdError:
    what = f"{path} is a PDF of {len(pdf)} pages but not an ICD-10-CM guideline: its first page lacks {missing}."
    return DeepicdError(f"{what} It begins: “{text[:80]}…”", SOURCE_ADVICE)


def _parse_day(text: str) -> date:
    return datetime.strptime(text, "%B %d, %Y").date()


def list_bookmarks(pdf: pdfium.PdfDocument) -> Iterator[Bookmark]:
    """Yield the bookmarks that point to a page, in order."""
    for bookmark in pdf.get_toc():
        target = bookmark.get_dest()
        if target is not None and (index := target.get_index()) is not None:
            yield Bookmark(" ".join(bookmark.get_title().split()), bookmark.level, index + 1)


def _is_footer(line: Line, height: float) -> bool:
    return line.top > (1 - FOOTER_BAND) * height and FOOTER.fullmatch(line.text) is not None


def _split_contents(pages: list[list[Line]]) -> tuple[list[Line], list[Line], list[Line]]:
    """Return the lines before, in and after the contents, which end with the last line that has leaders."""
    contents = [
        number
        for number, page in enumerate(pages)
        if sum(LEADERS.search(line.text) is not None for line in page) >= CONTENTS_LINES
    ]
    if not contents:
        return pages[0], [], [line for page in pages[1:] for line in page]
    first, last = contents[0], contents[-1]
    end = max(at for at, line in enumerate(pages[last], start=1) if LEADERS.search(line.text))
    front = [line for page in pages[:first] for line in page]
    entries = [line for page in pages[first:last] for line in page] + pages[last][:end]
    return front, entries, pages[last][end:] + [line for page in pages[last + 1 :] for line in page]
