"""Find where each section begins, from the bookmarks, and from fonts and numbering.

Bookmarks are more reliable: a deep heading may look like text (the seventh level of FY2025 is not bold). Fonts and
numbering find the headings that bookmarks lack (FY2025: I.C.4.a.1.(a)), and all of them in a PDF without bookmarks.

Levels as printed: 0 Section I. > 1 A. > 2 1. > 3 a. > 4 1) > 5 (a) > 6 (i). The level is taken from the label, not from
the bookmark: one bookmark is a level too deep (FY2025: I.C.5.d).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guidelines.lines import Line, StyledText
from guidelines.pdf_document import LEADERS, Bookmark, Document

LONGEST = 5  # lines of a heading; FY2025 needs two
BOLD = 0.9  # share of a heading's characters; its label may be plain
LARGE = 1.2  # times the usual type size: a title without a number
SAME_SIZE = 0.04  # of the type size
NEXT_LINE = 1.3  # times the type size: the largest distance between lines of a heading; text is further below

LABELS = (  # by level
    re.compile(r"Section [IVX]+\.|Appendix [IVX]+"),
    re.compile(r"[A-Z]\."),
    re.compile(r"\d{1,2}\."),
    re.compile(r"[a-z]{1,2}\."),
    re.compile(r"\d{1,2}\)"),
    re.compile(r"\([a-z]\)"),
    re.compile(r"\([ivx]+\)"),
)
TOP, ROMAN = 0, 6  # '(i)' may also be the letter after '(h)', level 5
ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and its lines in the document: `first` up to `end`."""

    level: int
    """0 for the front title, Sections and the appendix."""
    label: str
    """As printed, '' for a title without a number."""
    title: StyledText
    page: int
    first: int
    end: int


class Headings(NamedTuple):
    """Headings in reading order, and where they come from."""

    headings: list[Heading]
    from_bookmarks: int
    """How many of them come from bookmarks; the others come from fonts."""
    unplaced: list[Bookmark]
    """Bookmarks whose title is not on their page."""


def find_headings(document: Document) -> Headings:
    """Return all headings of a document. Line numbers run through front and body."""
    lines = [*document.front, *document.body]
    bookmarked, unplaced = locate_bookmarks(lines, document.bookmarks)
    used = {line for heading in bookmarked for line in range(heading.first, heading.end)}
    others = [
        heading
        for heading in detect_headings(lines, len(document.front), document.contents)
        if used.isdisjoint(range(heading.first, heading.end))
    ]
    headings = sorted([*bookmarked, *others], key=lambda heading: heading.first)
    return Headings(headings, len(bookmarked), unplaced)


def locate_bookmarks(lines: Sequence[Line], bookmarks: Sequence[Bookmark]) -> tuple[list[Heading], list[Bookmark]]:
    """Return the headings of bookmarks whose titles are on their pages, in order, and the other bookmarks."""
    headings, unplaced, cursor = list[Heading](), list[Bookmark](), 0
    for bookmark in bookmarks:
        if place := _locate(bookmark, lines, cursor):
            first, cursor = place
            headings.append(_build_heading(lines, bookmark.level, first, cursor))
        else:
            unplaced.append(bookmark)
    return headings, unplaced


def _locate(bookmark: Bookmark, lines: Sequence[Line], start: int) -> tuple[int, int] | None:
    """Return the first line and the end of a bookmark's title on its page; None if no whole lines match it."""
    title = remove_spaces(bookmark.title)
    for first in range(start, len(lines)):
        if lines[first].page > bookmark.page:
            break
        if lines[first].page < bookmark.page:
            continue
        text = ""
        for end in range(first + 1, min(first + LONGEST, len(lines)) + 1):
            text += remove_spaces(lines[end - 1].text)
            if text == title:
                return first, end
            if not title.startswith(text):
                break
    return None


def remove_spaces(text: str) -> str:
    """Return a text without white space, for comparison."""
    return "".join(text.split())


def detect_headings(lines: Sequence[Line], front: int, contents: Sequence[Line] = ()) -> list[Heading]:
    """Return headings recognised by their font and by a label that continues the numbering.

    `front`: number of lines before the body. If the numbering skips a label, the line is a heading only if the contents
    list it: 'C. difficile' is not a heading.
    """
    headings: list[Heading] = []
    usual = sorted(line.size for line in lines)[len(lines) // 2] if lines else 0.0
    if front:
        largest = max(range(front), key=lambda at: (lines[at].size, -at))
        headings.append(_build_heading(lines, TOP, largest, largest + 1))
    open_labels: list[str] = []  # of the headings that the next one may stand under, outermost first
    at = front
    while at < len(lines):
        level = _detect_level(lines[at], open_labels, contents)
        lacks_title = bool(headings) and headings[-1].end == at and not headings[-1].title.text
        if level is None and lacks_title and lines[at].size > LARGE * usual:
            level = TOP  # the appendix has its title on a line of its own
        if level is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and end - at < LONGEST and _continues_heading(lines[at], lines[end - 1], lines[end]):
            end += 1
        headings.append(_build_heading(lines, level, at, end))
        open_labels[level:] = [headings[-1].label]
        at = end
    return headings


def _detect_level(line: Line, open_labels: Sequence[str], contents: Sequence[Line]) -> int | None:
    """Return the level of the heading on a line; None if it is not a heading."""
    for level, pattern in enumerate(LABELS):
        if not (label := pattern.match(line.text)):
            continue
        step = 1 if level == TOP else _measure_step(label[0], level, open_labels)
        if step == 1 or (step > 1 and level < ROMAN and find_contents_entries(contents, line.text)):
            title = line.content.drop_prefix(label.end())
            printed = title if title.text else line.content
            if level == ROMAN or printed.measure_share("bold") >= BOLD:
                return level
    return None


def _measure_step(label: str, level: int, open_labels: Sequence[str]) -> int:
    """Return the distance of a label from the one before it: 1 for the next or the first, 0 if it cannot be here."""
    if len(open_labels) < level:
        return 0
    before = parse_ordinal(open_labels[level], level) if len(open_labels) > level else 0
    return max(0, parse_ordinal(label, level) - before)


def find_contents_entries(contents: Sequence[Line], heading: str) -> list[int]:
    """Return the indices of a heading in the contents: entries with the same beginning, since both may be wrapped."""
    title = remove_spaces(heading)
    entries = (remove_spaces(LEADERS.split(line.text)[0]) for line in contents)
    return [at for at, entry in enumerate(entries) if entry and (title.startswith(entry) or entry.startswith(title))]


def parse_ordinal(label: str, level: int) -> int:
    """Return the position of a label among its siblings, counted from 1; 0 for a text that is not a label.

    >>> parse_ordinal("(c)", 5), parse_ordinal("(iv)", 6), parse_ordinal("aa.", 3)
    (3, 4, 27)
    """
    bare = label.strip("().")
    if bare.isdecimal():
        return int(bare)
    if level == ROMAN:
        return ROMANS.index(bare) + 1 if bare in ROMANS else 0
    total = 0
    for letter in bare.lower():
        total = 26 * total + ord(letter) - ord("a") + 1
    return total


def _continues_heading(first: Line, before: Line, line: Line) -> bool:
    """Return whether a line continues a heading: same type as its first line, close to the one before, indented."""
    return (
        line.page == before.page
        and line.top - before.top <= NEXT_LINE * line.size
        and abs(line.size - first.size) < SAME_SIZE * first.size
        and line.left > first.left
        and (line.content.measure_share("bold") >= BOLD) == (before.content.measure_share("bold") >= 0.5)
    )


def _build_heading(lines: Sequence[Line], level: int, first: int, end: int) -> Heading:
    printed = StyledText.join(line.content for line in lines[first:end])
    labels = {kind: match[0] for kind, pattern in enumerate(LABELS) if (match := pattern.match(printed.text))}
    if labels and level not in labels:
        level = min(labels)
    label = labels.get(level, "")
    return Heading(level, label, printed.drop_prefix(len(label)), lines[first].page, first, end)
