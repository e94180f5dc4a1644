"""Where each section begins: from the bookmarks, and from fonts and numbering.

Bookmarks are the surer source: a deep heading may be set like text (the seventh level of FY2025 is not bold). Type and
numbering find what they leave out (FY2025: I.C.4.a.1.(a)), and all of it in a PDF without bookmarks.

Levels as printed: 0 Section I. > 1 A. > 2 1. > 3 a. > 4 1) > 5 (a) > 6 (i). A label knows its level better than the
bookmark does, which once stands too deep (FY2025: I.C.5.d).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guidelines.document import LEADERS, Bookmark, Document
from guidelines.lines import Line
from guidelines.styled_text import StyledText

LONGEST = 5  # lines of a heading; FY2025 needs two
BOLD = 0.9  # share of a heading's characters; its label may be plain
LARGE = 1.2  # times the usual type: a title without a number
NEXT_LINE = 1.3  # times the type size: a heading's lines stand at most so far apart, text below it further

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
    """A heading and the lines of the document that it takes: `first` up to `end`."""

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

    found: list[Heading]
    unplaced: list[Bookmark]
    """Bookmarks whose title does not stand on their page."""
    bookmarked: int
    """How many of `found` the bookmarks told of."""


def find_headings(document: Document) -> Headings:
    """All headings of a document; line numbers count through front and body."""
    lines = [*document.front, *document.body]
    marked, unplaced = locate_bookmarks(lines, document.bookmarks)
    taken = {line for heading in marked for line in range(heading.first, heading.end)}
    others = [
        heading
        for heading in detect_headings(lines, len(document.front), document.contents)
        if taken.isdisjoint(range(heading.first, heading.end))
    ]
    found = sorted([*marked, *others], key=lambda heading: heading.first)
    return Headings(found, unplaced, len(marked))


def locate_bookmarks(lines: Sequence[Line], bookmarks: Sequence[Bookmark]) -> tuple[list[Heading], list[Bookmark]]:
    """Each bookmark's title is looked up on the page it points to, after the one before it."""
    found, unplaced, cursor = list[Heading](), list[Bookmark](), 0
    for bookmark in bookmarks:
        if spot := _printed(bookmark, lines, cursor):
            first, cursor = spot
            found.append(_heading(lines, bookmark.level, first, cursor))
        else:
            unplaced.append(bookmark)
    return found, unplaced


def _printed(bookmark: Bookmark, lines: Sequence[Line], start: int) -> tuple[int, int] | None:
    """First line and end of a bookmark's title on its page, whole lines only; None where it does not stand there."""
    wanted = _bare(bookmark.title)
    for first in range(start, len(lines)):
        if lines[first].page > bookmark.page:
            break
        if lines[first].page < bookmark.page:
            continue
        so_far = ""
        for end in range(first + 1, min(first + LONGEST, len(lines)) + 1):
            so_far += _bare(lines[end - 1].text)
            if so_far == wanted:
                return first, end
            if not wanted.startswith(so_far):
                break
    return None


def _bare(text: str) -> str:
    return "".join(text.split())


def detect_headings(lines: Sequence[Line], front: int, contents: Sequence[Line] = ()) -> list[Heading]:
    """Headings by their type and by a numbering that goes on where it stopped. `front`: lines before the body.

    Where the numbering skips one, the line is a heading only if it stands in the contents: 'C. difficile' does not.
    """
    found: list[Heading] = []
    usual = sorted(line.size for line in lines)[len(lines) // 2] if lines else 0.0
    if front:
        largest = max(range(front), key=lambda at: (lines[at].size, -at))
        found.append(_heading(lines, TOP, largest, largest + 1))
    open_labels: list[str] = []  # of the headings that the next one may stand under, outermost first
    at = front
    while at < len(lines):
        level = _level(lines[at], open_labels, contents)
        untitled = bool(found) and found[-1].end == at and not found[-1].title.text
        if level is None and untitled and lines[at].size > LARGE * usual:
            level = TOP  # the appendix has its title on a line of its own
        if level is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and end - at < LONGEST and _carries_on(lines[at], lines[end - 1], lines[end]):
            end += 1
        found.append(_heading(lines, level, at, end))
        open_labels[level:] = [found[-1].label]
        at = end
    return found


def _level(line: Line, open_labels: Sequence[str], contents: Sequence[Line]) -> int | None:
    """The level of a heading that may stand here, None for a line that is none."""
    for level, pattern in enumerate(LABELS):
        if not (label := pattern.match(line.text)):
            continue
        step = 1 if level == TOP else _follows(label[0], level, open_labels)
        if step == 1 or (step > 1 and level < ROMAN and find_contents_entries(contents, line.text)):
            title = line.content.after(label.end())
            printed = title if title.text else line.content
            if level == ROMAN or printed.share("bold") >= BOLD:
                return level
    return None


def _follows(label: str, level: int, open_labels: Sequence[str]) -> int:
    """How far a label goes on in the numbering at its level: 1 for the next or the first, 0 where it cannot stand."""
    if len(open_labels) < level:
        return 0
    before = parse_ordinal(open_labels[level], level) if len(open_labels) > level else 0
    return max(0, parse_ordinal(label, level) - before)


def find_contents_entries(contents: Sequence[Line], heading: str) -> list[int]:
    """Where the contents list a heading: entries that begin as it does, for either may go on in a second line."""
    wanted = _bare(heading)
    entries = (_bare(LEADERS.split(line.text)[0]) for line in contents)
    return [
        place for place, entry in enumerate(entries) if entry and (wanted.startswith(entry) or entry.startswith(wanted))
    ]


def parse_ordinal(label: str, level: int) -> int:
    """Place of a label among its siblings, counted from 1; 0 for none.

    >>> parse_ordinal("(c)", 5), parse_ordinal("(iv)", 6), parse_ordinal("aa.", 3)
    (3, 4, 27)
    """
    bare = label.strip("().")
    if bare.isdigit():
        return int(bare)
    if level == ROMAN:
        return ROMANS.index(bare) + 1 if bare in ROMANS else 0
    total = 0
    for letter in bare.lower():
        total = 26 * total + ord(letter) - ord("a") + 1
    return total


def _carries_on(first: Line, before: Line, line: Line) -> bool:
    """Whether a line carries on a heading: set like its first line, close below the one before, indented."""
    return (
        line.page == before.page
        and line.top - before.top <= NEXT_LINE * line.size
        and abs(line.size - first.size) < 0.5
        and line.left > first.left
        and (line.content.share("bold") >= BOLD) == (before.content.share("bold") >= 0.5)
    )


def _heading(lines: Sequence[Line], level: int, first: int, end: int) -> Heading:
    printed = StyledText.joined(line.content for line in lines[first:end])
    kinds = {kind: match[0] for kind, pattern in enumerate(LABELS) if (match := pattern.match(printed.text))}
    if kinds and level not in kinds:
        level = min(kinds)
    label = kinds.get(level, "")
    return Heading(level, label, printed.after(len(label)), lines[first].page, first, end)
