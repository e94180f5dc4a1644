"""Decide whether a label that the template does not know opens a section, which is then cut, or belongs to the text.

Evidence is what its words say, how it is set off from the text above (MIMIC's separator, an empty line), the form of
its line, and how the note writes the headers that are known. In doubt it opens a section: losing a paragraph costs
less than leaking a diagnosis.
"""

import re
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from builders.cohort.headers import KNOWN_NAMES, TEMPLATE, Headers, Label
from builders.cohort.label_search import LABEL
from builders.cohort.later_events import counts_days
from builders.cohort.section_rules import EXAM, follows_empty_line, follows_separator, get_first_line

CLOSED = frozenset({"Physical Exam", "Review of Systems"})
"""Sections whose labels are all in a list. Others hold names of diseases and drugs."""
_LEAVING = ("discharge", "transfer", "post-op", "postop", "death", "hospital", "course", "pod ", "d/c")
_FINDING = "discharge"  # of an ear or a wound
_UNDERLINE = re.compile(r"[ \t]*[=_~*-]{4,}[ \t]*\n")
MAX_RULE = 90  # characters of a line that underlines a header
SHORTEST = 5
"""Letters of an abbreviation, which opens no section in a line between others."""


class UnknownHeader(NamedTuple):
    """A header that the template does not know, for OUT/headers.parquet."""

    header: str
    """Casefolded, without colon."""
    place: str
    """The section that it stands under."""
    is_kept: bool


class Opens(Enum):
    """What a label opens."""

    NOTHING = "part of the text"
    LINE = "a line to cut, up to the next label of the exam"
    SECTION = "a section to cut"


class Line(NamedTuple):
    """The line of a label. What it looks like is found out when it is asked: most lines are decided by their words."""

    note: str
    start: int
    begin: int
    """Where the text behind the label begins."""
    is_item: bool
    """With a bullet."""
    last: int
    """Where the text of the header above begins."""
    labels: Headers

    @property
    def has_colon(self) -> bool:
        return self.note[self.begin - 1] == ":" or self.note[self.begin] != "\n"

    @property
    def is_block(self) -> bool:
        """After MIMIC's separator."""
        return follows_separator(self.note, self.start)

    @property
    def follows_empty(self) -> bool:
        """After an empty line."""
        return follows_empty_line(self.note, self.start)

    @property
    def end(self) -> int:
        return self.note.find("\n", self.begin)

    @property
    def is_alone(self) -> bool:
        """Without text behind the label."""
        return not self.note[self.begin : self.end].strip()

    @property
    def is_first(self) -> bool:
        """Right below a header, without text between."""
        is_near = self.last <= self.start < self.last + MAX_RULE
        return is_near and not self.note[self.last : self.start].strip(" \t\n-=_*~")

    @property
    def is_underlined(self) -> bool:
        return _UNDERLINE.match(self.note, self.end + 1) is not None

    @property
    def precedes_label(self) -> bool:
        """Whether the next line begins with a label of an exam."""
        after = LABEL.match(self.note, self.end)
        return after is not None and is_sub_header(self.labels[after[1]], EXAM)

    @property
    def counts_days(self) -> bool:
        """Whether its text counts the days of the stay."""
        return self.has_colon and counts_days(get_first_line(self.note, self.begin))


class Style:
    """How a note writes the headers that the template knows, found out as far as it is asked."""

    def __init__(self, headers: Iterable[tuple[Label, Line]]) -> None:
        self.headers = list(headers)

    @cached_property
    def uses_separators(self) -> bool:
        separated = sum(line.is_block for _, line in self.headers)
        return separated >= 2 and 2 * separated >= len(self.headers)

    @cached_property
    def uses_caps(self) -> bool:
        caps = sum(label.is_caps for label, _ in self.headers)
        return caps >= 2 and 2 * caps > len(self.headers)

    @cached_property
    def uses_lines(self) -> bool:
        """Whether text follows on the header's line."""
        return 2 * sum(not line.is_alone for _, line in self.headers) > len(self.headers)

    @cached_property
    def lacks_colons(self) -> bool:
        bare = sum(not line.has_colon for _, line in self.headers)
        return bare >= 2 and 2 * bare > len(self.headers)

    @cached_property
    def lacks_gaps(self) -> bool:
        """Whether no empty line or separator precedes any but one."""
        return len(self.headers) >= 3 and sum(line.follows_empty or line.is_block for _, line in self.headers) <= 1


def is_strong(label: Label, line: Line, style: Style) -> bool:
    """Return whether a label is set off from the text above as the note's headers are."""
    if line.is_block:
        return True
    if style.uses_separators:
        return line.is_underlined
    if style.uses_caps:
        return label.is_caps or (label.is_title and line.follows_empty)
    if style.lacks_gaps and line.has_colon and label.section in KNOWN_NAMES and not label.is_generic:
        return line.is_alone is not style.uses_lines
    return line.follows_empty or line.is_underlined


def is_sub_header(label: Label, under: str) -> bool:
    """Return whether all words of a label are among those of labels inside a section."""
    lists = TEMPLATE.labels_of.get(under)
    return lists is not None and not label.lists.isdisjoint(lists)


def decide_unknown(label: Label, line: Line, measure: Callable[[], Style], under: str) -> Opens:
    """Return what a label opens that no form matches, `under` a section that may be from the admission.

    `measure` returns the note's style, which few labels need.
    """
    if label.is_prose or is_sub_header(label, under) or (line.is_item and not label.is_about_the_stay):
        return Opens.NOTHING
    if line.counts_days:
        return Opens.SECTION
    if not line.has_colon:
        return _decide_bare(label, line, measure)
    if label.is_about_the_stay:
        return _decide_about_stay(label, line, under)
    if line.is_first and not line.is_alone:
        return Opens.NOTHING
    if line.is_block or line.is_underlined or (line.is_alone and _is_short(label)):
        return Opens.SECTION
    style = measure()
    if line.follows_empty:
        return _decide_paragraph(label, style, under)
    if under == EXAM:
        return Opens.NOTHING if line.precedes_label or len(label.text) <= SHORTEST else Opens.LINE
    if style.uses_caps:
        return Opens.SECTION if label.is_caps and len(label.text) > 5 else Opens.NOTHING
    return Opens.SECTION if label.is_title and style.uses_lines and not style.uses_separators else Opens.NOTHING


def _decide_bare(label: Label, line: Line, measure: Callable[[], Style]) -> Opens:
    """Decide about a label without colon, alone on its line."""
    is_set_off = line.is_underlined or line.is_block or line.follows_empty
    if line.is_first or not (is_set_off or label.is_caps):
        return Opens.NOTHING
    style = measure()
    if not is_set_off and not (style.lacks_gaps and style.uses_caps):
        return Opens.NOTHING
    if style.lacks_colons and (label.is_caps or not style.uses_caps):
        return Opens.SECTION if _is_short(label) else Opens.NOTHING
    is_template = line.is_block and style.uses_separators
    is_header = label.is_caps or label.is_title or line.is_underlined or is_template
    is_named = label.is_about_the_stay or line.is_underlined or is_template
    return Opens.SECTION if is_header and is_named else Opens.NOTHING


def _decide_about_stay(label: Label, line: Line, under: str) -> Opens:
    if under in CLOSED and label.words.split()[-1:] == [_FINDING] and not label.is_caps and not line.is_alone:
        return Opens.NOTHING
    is_leaving = any(word in label.words for word in _LEAVING)
    is_set_off = line.is_block or line.follows_empty or line.is_alone or label.is_title or label.is_caps
    return Opens.SECTION if is_leaving or is_set_off or under in CLOSED else Opens.NOTHING


def _decide_paragraph(label: Label, style: Style, under: str) -> Opens:
    """Decide about a label with text behind it, after an empty line."""
    if style.uses_separators:
        return Opens.SECTION if label.is_caps or under in CLOSED else Opens.NOTHING
    if style.uses_caps and not label.is_caps:
        return Opens.LINE if under == "Physical Exam" else Opens.NOTHING
    return Opens.SECTION if label.is_caps or label.is_title or under in CLOSED or _is_short(label) else Opens.NOTHING


def _is_short(label: Label) -> bool:
    return label.is_caps or label.is_title or len(label.text.split()) <= 4
