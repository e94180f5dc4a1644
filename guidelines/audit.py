"""Check that a parsed year has every word of its PDF once and in order, and every bookmark on its page.

pdfplumber reads the pages again. It shares no code with pypdfium2, on which the parser is built, and knows nothing of
headings or paragraphs: its text, without the contents and the characters that the parser took out as running lines,
must equal the text of the files from beginning to end. Words are compared in pieces between hyphens, so that 'ICD-' at
a line end and 'ICD-10-CM' in a file agree.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]

from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.schema import Section
from guidelines.characters import WORD_GAP
from guidelines.headings import remove_spaces
from guidelines.lines import BULLETS, SAME_LINE
from guidelines.pdf_document import CONTENTS_LINES, LEADERS, Bookmark, list_bookmarks, open_pdf, read_pages
from guidelines.running_lines import take_out_running
from guidelines.sections import format_heading, list_texts

PIECES = re.compile(r"[^\s\-)]+[\-)]*|[\-)]+")
PAGES_AT_A_TIME = 20
NEAR = 1.0  # points between the places that the two libraries give for a character

Places = dict[tuple[str, int, int], list[tuple[float, float]]]
"""Character and rounded place → places on a page, from its lower left corner."""

_BULLETS_ALIKE = str.maketrans(dict.fromkeys(BULLETS, f" {BULLETS[0]} "))


class Word(NamedTuple):
    """A piece of a word and its place: 'page 17' or 'I.C.4.a'."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The differences between pages and files."""

    page_words: int
    file_words: int
    lost: list[Word] = field(default_factory=list)
    """On a page but in no file."""
    doubled: list[Word] = field(default_factory=list)
    """More often in the files than on the pages."""
    moved: list[Word] = field(default_factory=list)
    """In another place in the files than on the pages."""
    bookmarks: int = 0
    missing_bookmarks: list[Bookmark] = field(default_factory=list)
    """Bookmarks without a section that has this heading and begins on this page."""

    @property
    def is_clean(self) -> bool:
        return not self.count_differences()

    def format_lines(self) -> Iterator[str]:
        """Yield the counts as text, then each difference."""
        placed = self.bookmarks - len(self.missing_bookmarks)
        yield f"{self.page_words:,} pieces of words on the pages, {self.file_words:,} in the files"
        yield f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.moved)} out of order"
        yield f"{placed} of {self.bookmarks} bookmarks are sections on their page"
        yield from self.list_differences()

    def count_differences(self) -> int:
        return len(self.lost) + len(self.doubled) + len(self.moved) + len(self.missing_bookmarks)

    def list_differences(self) -> Iterator[str]:
        """Yield each difference as text."""
        for name in ("lost", "doubled", "moved"):
            yield from (f"{name}: {word.text!r}, {word.where}" for word in getattr(self, name))
        yield from (f"bookmark without section: {mark.title!r}, page {mark.page}" for mark in self.missing_bookmarks)


def audit(pdf: Path, sections: Sequence[Section]) -> Audit:
    """Compare all sections of a year with its PDF. Takes a few seconds per hundred pages."""
    with open_pdf(pdf) as opened:
        bookmarks = list(list_bookmarks(opened))
        running = list(_list_running(opened))
    page_words = list(_list_page_words(_read_pages(pdf, running)))
    file_words = [
        Word(piece, section["id"])
        for section in sections
        for text in list_texts(section, bullet=f"{BULLETS[0]} ")
        for piece in PIECES.findall(text.translate(_BULLETS_ALIKE))
    ]
    lost, doubled, moved = _compare_words(page_words, file_words)
    return Audit(
        page_words=len(page_words),
        file_words=len(file_words),
        lost=lost,
        doubled=doubled,
        moved=moved,
        bookmarks=len(bookmarks),
        missing_bookmarks=_find_missing_bookmarks(bookmarks, sections),
    )


def _find_missing_bookmarks(bookmarks: Sequence[Bookmark], sections: Sequence[Section]) -> list[Bookmark]:
    starts = Counter((remove_spaces(format_heading(section)), section["pages"][0]) for section in sections)
    missing = []
    for bookmark in bookmarks:
        if starts[key := (remove_spaces(bookmark.title), bookmark.page)]:
            starts[key] -= 1
        else:
            missing.append(bookmark)
    return missing


def _list_running(pdf: pdfium.PdfDocument) -> Iterator[Places]:
    """Yield the places of the characters on each page that belong to running lines."""
    pages = list(read_pages(pdf))
    runs, _ = take_out_running(pages)
    for page, rest in zip(pages, runs, strict=True):
        kept = set(map(id, rest))
        places: Places = {}
        for run in page.runs:
            if id(run) not in kept:
                for character in run.characters:
                    x, y = character.left, page.height - character.top
                    places.setdefault((character.text, round(x), round(y)), []).append((x, y))
        yield places


def _read_pages(pdf: Path, running: Sequence[Places]) -> list[list[str]]:
    """Return the lines of each page as pdfplumber reads them, on all cores."""
    count = len(running)
    starts = range(1, count + 1, PAGES_AT_A_TIME)
    jobs = [(pdf, start, running[start - 1 : start - 1 + PAGES_AT_A_TIME]) for start in starts]
    workers = min(len(jobs), os.cpu_count() or 1)
    pages: list[list[str]] = []
    with ExitStack() as stack:
        advance = stack.enter_context(track_progress("pages audited", count))
        run = map if workers == 1 else stack.enter_context(ProcessPoolExecutor(workers)).map
        for batch in run(_read_batch, jobs):
            pages += batch
            advance(len(batch))
    return pages


def _read_batch(job: tuple[Path, int, Sequence[Places]]) -> list[list[str]]:
    import pdfplumber

    path, first, running = job
    numbers = list(range(first, first + len(running)))
    try:
        with pdfplumber.open(path, pages=numbers) as opened:
            return [_read_page(page, places) for page, places in zip(opened.pages, running, strict=True)]
    except Exception as error:
        raise DeepicdError(
            f"{path} is a damaged PDF: pdfplumber cannot read pages {first} to {numbers[-1]} ({type(error).__name__}).",
            "Download it again.",
        ) from error


def _read_page(page: Any, running: Places) -> list[str]:
    """Return the lines of the characters that are neither running nor printed again within a point."""
    from pdfplumber.utils.text import extract_text

    characters, printed = list[dict[str, Any]](), Places()
    heights = {near for _, _, height in running for near in (height - 1, height, height + 1)}
    for character in page.chars:
        text, (x, y) = character["text"], character["matrix"][4:]
        if round(y) in heights and _is_near(text, x, y, running, NEAR):
            continue
        if not text.isspace():
            if _is_near(text, x, y, printed, min(1.0, 0.15 * character["size"])):
                continue
            printed.setdefault((text, round(x), round(y)), []).append((x, y))
        characters.append(character)
    text = extract_text(characters, x_tolerance_ratio=WORD_GAP, y_tolerance_ratio=SAME_LINE)
    return text.splitlines()


def _is_near(text: str, x: float, y: float, places: Places, distance: float) -> bool:
    """Return whether a character is at most `distance` from one of these places, which is a point at most."""
    column, row = round(x), round(y)
    return any(
        abs(x - left) <= distance and abs(y - low) <= distance
        for across in (column - 1, column, column + 1)
        for down in (row - 1, row, row + 1)
        for left, low in places.get((text, across, down), ())
    )


def _list_page_words(pages: list[list[str]]) -> Iterator[Word]:
    """Yield the words of the pages without contents, bullets alike."""
    for number, body in enumerate(pages, start=1):
        leaders = [at for at, line in enumerate(body, start=1) if LEADERS.search(line)]
        if len(leaders) >= CONTENTS_LINES:
            body = body[leaders[-1] :]
        for line in body:
            for piece in PIECES.findall(line.translate(_BULLETS_ALIKE)):
                yield Word(piece, f"page {number}")


def _compare_words(pages: Sequence[Word], files: Sequence[Word]) -> tuple[list[Word], list[Word], list[Word]]:
    """Return lost, doubled and moved words. Common beginnings and ends are skipped first, since alignment is slow."""
    start, end_pages, end_files = 0, len(pages), len(files)
    while start < min(end_pages, end_files) and pages[start].text == files[start].text:
        start += 1
    while min(end_pages, end_files) > start and pages[end_pages - 1].text == files[end_files - 1].text:
        end_pages, end_files = end_pages - 1, end_files - 1
    on_pages, in_files = pages[start:end_pages], files[start:end_files]
    matcher = SequenceMatcher(None, [word.text for word in on_pages], [word.text for word in in_files])
    only_pages, only_files = list[Word](), list[Word]()
    for kind, page_start, page_end, file_start, file_end in matcher.get_opcodes():
        if kind != "equal":
            only_pages += on_pages[page_start:page_end]
            only_files += in_files[file_start:file_end]
    common = Counter(word.text for word in only_pages) & Counter(word.text for word in only_files)
    _, lost = _split_counted(only_pages, common)
    moved, doubled = _split_counted(only_files, common)
    return lost, doubled, moved


def _split_counted(words: Sequence[Word], counts: Counter[str]) -> tuple[list[Word], list[Word]]:
    """Return as many of each word as `counts` says, and all others."""
    remaining = counts.copy()
    counted, others = list[Word](), list[Word]()
    for word in words:
        if remaining[word.text]:
            remaining[word.text] -= 1
            counted.append(word)
        else:
            others.append(word)
    return counted, others
