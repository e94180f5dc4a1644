"""Check that a parsed year has every word of its PDF once and in order, and every bookmark on its page.

pdfplumber reads the pages again. It shares no code with pypdfium2, on which the parser is built, and knows nothing of
headings or paragraphs: its text, without footers and contents, must equal the text of the files from beginning to end.
Words are compared in pieces between hyphens, so that 'ICD-' at a line end and 'ICD-10-CM' in a file agree.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from deepicd.log import track_progress
from guidelines.headings import remove_spaces
from guidelines.lines import BULLETS, SAME_LINE, WORD_GAP
from guidelines.parse import ParsedYear, list_texts, read_year
from guidelines.pdf_document import CONTENTS_LINES, FOOTER, LEADERS, Bookmark, list_bookmarks, open_pdf
from guidelines.sections import format_heading

PIECES = re.compile(r"[^\s\-)]+[\-)]*|[\-)]+")
PAGES_AT_A_TIME = 10

_WITHOUT_BULLETS = str.maketrans(dict.fromkeys(BULLETS, " "))


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
        return not (self.lost or self.doubled or self.moved or self.missing_bookmarks)

    def format_lines(self) -> Iterator[str]:
        """Yield the counts as text, then each difference."""
        placed = self.bookmarks - len(self.missing_bookmarks)
        yield f"{self.page_words:,} pieces of words on the pages, {self.file_words:,} in the files"
        yield f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.moved)} out of order"
        yield f"{placed} of {self.bookmarks} bookmarks are sections on their page"
        for name in ("lost", "doubled", "moved"):
            yield from (f"{name}: {word.text!r}, {word.where}" for word in getattr(self, name))
        yield from (f"bookmark without section: {mark.title!r}, page {mark.page}" for mark in self.missing_bookmarks)


def audit(pdf: Path, folder: Path) -> Audit:
    """Compare a year's folder with its PDF. Takes a few seconds per hundred pages."""
    year = read_year(folder)
    with open_pdf(pdf) as opened:
        bookmarks = list(list_bookmarks(opened))
        count = len(opened)
    page_words = list(_list_page_words(_read_pages(pdf, count)))
    file_words = [
        Word(piece, section["id"])
        for section in year.walk()
        for text in list_texts(section)
        for piece in PIECES.findall(text)
    ]
    lost, doubled, moved = _compare_words(page_words, file_words)
    return Audit(
        page_words=len(page_words),
        file_words=len(file_words),
        lost=lost,
        doubled=doubled,
        moved=moved,
        bookmarks=len(bookmarks),
        missing_bookmarks=_find_missing_bookmarks(bookmarks, year),
    )


def _find_missing_bookmarks(bookmarks: Sequence[Bookmark], year: ParsedYear) -> list[Bookmark]:
    sections = Counter((remove_spaces(format_heading(section)), section["pages"][0]) for section in year.walk())
    missing = []
    for bookmark in bookmarks:
        if sections[key := (remove_spaces(bookmark.title), bookmark.page)]:
            sections[key] -= 1
        else:
            missing.append(bookmark)
    return missing


def _read_pages(pdf: Path, count: int) -> list[list[str]]:
    """Return the lines of each page as pdfplumber reads them, on all cores."""
    starts = range(1, count + 1, PAGES_AT_A_TIME)
    with (
        ProcessPoolExecutor(min(len(starts), os.cpu_count() or 1)) as pool,
        track_progress("pages audited", count) as advance,
    ):
        pages: list[list[str]] = []
        for batch in pool.map(_read_batch, [pdf] * len(starts), starts):
            pages += batch
            advance(len(batch))
    return pages


def _read_batch(pdf: Path, first: int) -> list[list[str]]:
    import pdfplumber

    with pdfplumber.open(pdf, pages=list(range(first, first + PAGES_AT_A_TIME))) as opened:
        return [
            page.extract_text(x_tolerance_ratio=WORD_GAP, y_tolerance_ratio=SAME_LINE).splitlines()
            for page in opened.pages
        ]


def _list_page_words(pages: list[list[str]]) -> Iterator[Word]:
    """Yield the words of the pages without footers, contents and bullets."""
    for number, lines in enumerate(pages, start=1):
        body = lines if number == 1 else [line for line in lines if not FOOTER.fullmatch(line)]
        leaders = [at for at, line in enumerate(body, start=1) if LEADERS.search(line)]
        if len(leaders) >= CONTENTS_LINES:
            body = body[leaders[-1] :]
        for line in body:
            for piece in PIECES.findall(line.translate(_WITHOUT_BULLETS)):
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
