"""Lines of running text → paragraphs and list items.

A block ends where the next line stands further off than lines of a paragraph do, where a bullet follows, or where a
line breaks off although the next word had room on it. The last rule parts lists that are set line by line ('Z59.1,
Inadequate housing'), which nothing else marks; in the middle of a sentence it does not hold, since words tied by a
no-break space or hyphen move to the next line together. A paragraph that goes on over a page end stays one paragraph.
"""

import re
from collections.abc import Mapping, Sequence

from deepicd.schema import Block
from guidelines.lines import Line
from guidelines.styled_text import StyledText

NEXT_LINE = 1.35  # times the type size; FY2025: 1.15 within a paragraph, 1.22 between items, 2.3 between paragraphs
SAME_SIZE = 1.0  # points
WORD_SPACE = 0.25  # times the type size, as in Times
MARGIN_LINES = 3  # lines of a page that must reach so far to the right for the margin to be there
MARGIN_WIDTH = 8.0  # points within which they may end

# In the middle of a sentence: how the line before ends, how the next begins.
_OPEN_END = re.compile(r"\b(?:an?|the|of|to|in|by|for|with)\Z|\([^)]*\Z")
_LOWER_CASE = re.compile(r"[a-z]")
_CLOSED_END = re.compile(r"[.:;!?)”\"]\Z|; (?:or|and)\Z")  # 'therapeutic treatment; or': the next list entry follows


def measure_right_margins(lines: Sequence[Line]) -> dict[int, float]:
    """Page → how far its text reaches to the right, in points: where several lines end, not one that sticks out."""
    pages: dict[int, list[float]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line.right)
    return {page: _margin(sorted(ends, reverse=True)) for page, ends in pages.items()}


def _margin(ends: list[float]) -> float:
    for at, end in enumerate(ends[: -MARGIN_LINES + 1]):
        if end - ends[at + MARGIN_LINES - 1] <= MARGIN_WIDTH:
            return end
    return ends[0]


def build_blocks(lines: Sequence[Line], margins: Mapping[int, float]) -> list[Block]:
    """The text of one section as blocks, its words and their order as printed."""
    groups: list[list[Line]] = []
    for line in lines:
        if groups and not _begins_block(line, groups[-1], margins):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [_block(group) for group in groups]


def _begins_block(line: Line, group: Sequence[Line], margins: Mapping[int, float]) -> bool:
    before = group[-1]
    if line.bulleted:
        return True
    if line.page == before.page and line.top - before.top > NEXT_LINE * max(line.size, before.size):
        return True
    if abs(line.size - before.size) > SAME_SIZE:
        return True
    if margins[before.page] - before.right <= WORD_SPACE * before.size + line.first_word:
        return False
    if _OPEN_END.search(before.text):
        return False
    return not _LOWER_CASE.match(line.text) or _CLOSED_END.search(before.text) is not None


def _block(group: Sequence[Line]) -> Block:
    content = StyledText.joined(line.content for line in group)
    if group[0].bulleted:
        content = content.after(1)
        return Block(kind="item", text=content.text, marks=content.marks())
    return Block(kind="paragraph", text=content.text, marks=content.marks())
