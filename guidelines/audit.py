"""Proof that a parsed year holds every word of its PDF once, in order, and every bookmark on its page.

pdfplumber reads the pages again. It shares no code with pypdfium2, which parses, and it knows nothing of headings or
paragraphs: its text, without footers and contents, must equal the text of the files from beginning to end. Words are
compared in the pieces between hyphens, so that 'ICD-' at a line end and 'ICD-10-CM' in a file agree.
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
from guidelines import document, parsed_year
from guidelines.lines import BULLETS

PIECES = re.compile(r"[^\s\-)]+[\-)]*|[\-)]+")
PAGES_AT_A_TIME = 10
WORD_GAP = 0.05  # of the type size: a wider gap between two characters is a space
SAME_LINE = 0.45  # of the type size: the raised 'th' of '7th' is 0.36 above its line


class Word(NamedTuple):
    """A piece of a word and where it stands: 'page 17' or 'I.C.4.a'."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What differs; nothing does in a good year."""

    page_words: int
    file_words: int
    lost: list[Word] = field(default_factory=list)
    """On a page and in no file."""
    doubled: list[Word] = field(default_factory=list)
    """In the files once more than on the pages."""
    moved: list[Word] = field(default_factory=list)
    """In the files at another place than on the pages."""
    bookmarks: int = 0
    missing_bookmarks: list[document.Bookmark] = field(default_factory=list)
    """No section with this heading begins on this page."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.moved or self.missing_bookmarks)

    def lines(self) -> Iterator[str]:
        """The findings as text: counts, then each thing that differs."""
        placed = self.bookmarks - len(self.missing_bookmarks)
        yield f"{self.page_words:,} pieces of words on the pages, {self.file_words:,} in the files"
        yield f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.moved)} out of order"
        yield f"{placed} of {self.bookmarks} bookmarks are sections on their page"
        for name in ("lost", "doubled", "moved"):
            yield from (f"{name}: {word.text!r}, {word.where}" for word in getattr(self, name))
        yield from (f"bookmark without section: {mark.title!r}, page {mark.page}" for mark in self.missing_bookmarks)


def audit(pdf: Path, parsed: Path) -> Audit:
    """Compare a year's folder with the PDF it was made from. Takes some ten seconds for a hundred pages."""
    year = parsed_year.read_year(parsed)
    with document.open_pdf(pdf) as opened:
        bookmarks = list(document.list_bookmarks(opened))
        count = len(opened)
    pages = list(_words_of_pages(_read_pages(pdf, count)))
    files = [
        Word(piece, section["id"])
        for section in year.all_sections()
        for text in parsed_year.list_texts(section)
        for piece in PIECES.findall(text)
    ]
    lost, doubled, moved = _differences(pages, files)
    sections = Counter(
        (_bare(parsed_year.format_heading(section)), section["pages"][0]) for section in year.all_sections()
    )
    missing = []
    for mark in bookmarks:
        if sections[key := (_bare(mark.title), mark.page)]:
            sections[key] -= 1
        else:
            missing.append(mark)
    return Audit(len(pages), len(files), lost, doubled, moved, len(bookmarks), missing)


def _bare(text: str) -> str:
    return "".join(text.split())


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


def _words_of_pages(pages: list[list[str]]) -> Iterator[Word]:
    for number, lines in enumerate(pages, start=1):
        body = lines if number == 1 else [line for line in lines if not document.FOOTER.fullmatch(line)]
        leaders = [at for at, line in enumerate(body, start=1) if document.LEADERS.search(line)]
        if len(leaders) >= document.CONTENTS_LINES:
            body = body[leaders[-1] :]
        for line in body:
            for piece in PIECES.findall(line.translate(_WITHOUT_BULLETS)):
                yield Word(piece, f"page {number}")


_WITHOUT_BULLETS = str.maketrans(dict.fromkeys(BULLETS, " "))


def _differences(pages: Sequence[Word], files: Sequence[Word]) -> tuple[list[Word], list[Word], list[Word]]:
    """Lost, doubled and moved words. Equal beginnings and ends are passed over first: there, aligning is slow."""
    start, ends = 0, (len(pages), len(files))
    while start < min(ends) and pages[start].text == files[start].text:
        start += 1
    while min(ends) > start and pages[ends[0] - 1].text == files[ends[1] - 1].text:
        ends = ends[0] - 1, ends[1] - 1
    here, there = pages[start : ends[0]], files[start : ends[1]]
    matcher = SequenceMatcher(None, [word.text for word in here], [word.text for word in there])
    only_pages, only_files = list[Word](), list[Word]()
    for kind, first, last, first_file, last_file in matcher.get_opcodes():
        if kind != "equal":
            only_pages += here[first:last]
            only_files += there[first_file:last_file]
    moved = Counter(word.text for word in only_pages) & Counter(word.text for word in only_files)
    return _beyond(only_pages, moved), _beyond(only_files, moved), _within(only_files, moved)


def _beyond(words: Sequence[Word], counted: Counter[str]) -> list[Word]:
    """The words that are left when as many of each as counted are taken away."""
    left = counted.copy()
    kept = []
    for word in words:
        if left[word.text]:
            left[word.text] -= 1
        else:
            kept.append(word)
    return kept


def _within(words: Sequence[Word], counted: Counter[str]) -> list[Word]:
    """As many of each word as counted."""
    beyond = {id(word) for word in _beyond(words, counted)}
    return [word for word in words if id(word) not in beyond]
