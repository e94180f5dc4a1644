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
from guidelines.characters import PageText, Run, read_page
from guidelines.lines import Line, build_lines
from guidelines.running_lines import RunningText, take_out_running
from guidelines.text_layer import list_faults, list_foreign, refuse_illegible

GUIDELINE_TITLE = "ICD-10-CM Official Guidelines for Coding and Reporting"
SOURCE_ADVICE = (
    "The CMS publishes the guidelines of each year at https://www.cms.gov/medicare/coding-billing/icd-10-codes"
)
DEMONSTRATION = "made up for demonstration"
"""A PDF whose front page contains these words is not the official guideline, and neither is its output."""

FISCAL_YEAR = re.compile(r"\bFY\s*(20\d\d)\b")
DAY = r"[A-Z][a-z]+ \d{1,2}, 20\d\d"
EFFECTIVE = re.compile(rf"\(({DAY}) ?[-–—] ?({DAY})\)")
# the dots between title and page number in the contents
LEADERS = re.compile(r"(?:\. ?){6,}|…{2,}|…\.{2,}")
CONTENTS_LINES = 3  # a page with at least this many lines with leaders belongs to the contents


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
    running: RunningText
    """What stood at one height on most pages, with the page numbers."""
    doubled: int
    """Letters that were printed twice."""
    front: list[Line]
    contents: list[Line]
    body: list[Line]
    bookmarks: list[Bookmark]

    @property
    def pages(self) -> int:
        return len(self.running.numbers)


class FrontPage(NamedTuple):
    fiscal_year: int
    effective: tuple[date, date] | None
    is_demonstration: bool


def read_document(path: Path) -> Document:
    """Read a guideline. Raises DeepicdError for any other file, and for pages that cannot be read in order."""
    with open_pdf(path) as pdf:
        front_page = read_front_page(pdf, path)
        bookmarks = list(list_bookmarks(pdf))
        pages = list(read_pages(pdf))
    runs, running = take_out_running(pages)
    _refuse_unreadable(path, pages, runs)
    lines = [build_lines(own, page.underlines) for own, page in zip(runs, pages, strict=True)]
    refuse_illegible(path, runs, SOURCE_ADVICE)
    _refuse_foreign(path, lines, runs)
    front, contents, body = _split_contents(lines)
    doubled = sum(page.doubled for page in pages)
    return Document(*front_page, running, doubled, front, contents, body, bookmarks)


def read_pages(pdf: pdfium.PdfDocument) -> Iterator[PageText]:
    """Yield the text of each page."""
    with track_progress("pages read", total=len(pdf)) as advance:
        for number in range(1, len(pdf) + 1):
            page = pdf[number - 1]
            yield read_page(page, number)
            page.close()
            advance(1)


def _refuse_unreadable(path: Path, pages: list[PageText], runs: list[list[Run]]) -> None:
    faults = [
        f"{format_pages(numbers)} of the file {'is' if len(numbers) == 1 else 'are'} {kind}"
        for kind, numbers in list_faults(pages, runs)
    ]
    if faults:
        raise DeepicdError(
            f"{path} cannot be read in order: {'; '.join(faults)}.",
            f"Use the document as it was published; nothing was written. {SOURCE_ADVICE}",
        )


def _refuse_foreign(path: Path, lines: list[list[Line]], runs: list[list[Run]]) -> None:
    if foreign := list(list_foreign(lines, runs)):
        number, text = foreign[0]
        raise DeepicdError(
            f"{path} has text that was added to the document, on {format_pages(page for page, _ in foreign)} of the "
            f"file; for instance on page {number}: “{text[:80]}”.",
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


@contextmanager
def open_pdf(path: Path) -> Iterator[pdfium.PdfDocument]:
    """Yield the PDF at a path. Raises DeepicdError unless it is a complete PDF that opens without a password."""
    if path.is_dir():
        raise DeepicdError(
            f"{path} is a folder, not a PDF file.",
            f"Give the file: {path / 'icd-10-cm-guidelines.pdf'}",
        )
    if not path.is_file():
        raise DeepicdError(
            f"There is no file {path}.", "Check the path, or download it: deepicd guidelines --fetch 2025"
        )
    content = path.read_bytes()
    head, (whole, end, behind) = content[:1024], content.rpartition(b"%%EOF")
    if b"%PDF-" not in head:
        kind = "a web page" if b"<html" in head.lower() or b"<!doctype" in head.lower() else "another kind of file"
        raise DeepicdError(
            f"{path} is not a PDF but {kind}: it begins with {head[:20]!r}.", f"Download it again. {SOURCE_ADVICE}"
        )
    if not end or b"endobj" in behind:  # a file made for the web has an end behind its first page, too
        raise DeepicdError(
            f"{path} is cut off: after {len(content):,} bytes the end of the PDF is missing.",
            "Download it again.",
        )
    try:
        with pdfium.PdfDocument(whole + end) as pdf:
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
    runs = read_page(pdf[0], 1).runs
    text = " ".join(line.text for line in build_lines(runs))
    if GUIDELINE_TITLE not in text:  # something is printed across it
        text = " ".join(" ".join(run.text.split()) for run in runs)
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
