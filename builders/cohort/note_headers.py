"""Find the headers of a note, in its order: where each stands, where its text begins, and which section it opens.

A header is a label (builders.cohort.headers) at the start of a line. Known labels are taken by their words, ambiguous
ones by their place (builders.cohort.section_rules), all others by evidence (builders.cohort.unknown_headers). Notes in
capitals, or with few headers at the starts of lines, are also searched for headers inside lines and with a dash.
The time is linear in the note's length.
"""

import re
from collections import Counter
from functools import cached_property
from operator import itemgetter

from builders.cohort.exam_parts import ADMISSION_WORDS, contains_any
from builders.cohort.headers import KNOWN, ORDER, TEXT, Headers, Label
from builders.cohort.section_rules import (
    ABOUT_THE_STAY,
    AMBIGUOUS,
    COURSE,
    DISCHARGE_EXAM,
    EXAM,
    HISTORIES,
    MEDICATIONS,
    Place,
    find_rule,
    follows_empty_line,
    follows_separator,
)
from builders.cohort.unknown_headers import (
    Line,
    Opens,
    Style,
    UnknownHeader,
    decide_unknown,
    is_strong,
    is_sub_header,
    measure_style,
)

UNKNOWN = "Unknown"
"""The section under a header that the template does not know."""
# What may be a label: words at the start of a line, followed by a colon or alone on it, perhaps with a remark in
# brackets. The first comma or full stop gives prose away. Possessive, so that each line is scanned once.
_LABEL = re.compile(
    r"\n[ \t#*=]*+([A-Za-z_][A-Za-z0-9_ /&'#-]{0,70}+(?:(?<=[A-Z]),[A-Z ,/&'-]{3,60}+)?+(?:[(\[][^)\]\n]{0,60}+[)\]])?+"
    r"[ \t*=]*+)(?::(?!\d)|(?=\n))"
)
# Inside a line; with a number, with a dash instead of a colon, or as an abbreviation with dots.
_OTHERS = re.compile(
    r"(?:(?<=[.;,)])[ \t]{0,4}|(?<=[ \t][ \t]))(?P<inside>[A-Z][A-Za-z/&' -]{1,60}+):(?!\d)"
    r"|\n[ \t]*(?:(?:\d{1,2}|[IVX]{1,4})[.)][ \t]+(?P<numbered>[A-Z][A-Z /&'-]{1,60}+):|(?P<dotted>(?:[A-Z]\.){2,4}):"
    r"|(?P<dashed>[A-Z][A-Z/&']*+(?: [A-Z/&']++){0,6}+) ?(?:[-–—]|\.)[ \t])"
)
_UNDERLINE = re.compile(r"[ \t]*[=_~*-]{4,}[ \t]*\n")
MEASURED = 16  # known headers whose style is that of the note
FEW = 5
"""A note with fewer headers at the starts of lines is searched for others."""
KNOWN_NAMES = frozenset(KNOWN)
_SOFT = frozenset({EXAM, MEDICATIONS})
"""Sections known at admission whose headers also occur as labels inside others."""


Header = tuple[str, int, int, bool, bool, bool]
"""A header, decided: its section, where it starts, where its text begins, whether it is set off as the note's headers
are, whether it begins the part about the stay, and whether it continues its section after a line that was cut.

A plain tuple, and so is the next: with some thirty headers per note, named ones would cost a quarter of the time.
"""
_Found = tuple[str | None, int, int, Label, bool]
"""A label that may be a header: its section by its words, where it starts, where its text begins, its words, whether it
is an item of a list."""


def find_headers(note: str, headers: Headers, unknown: Counter[UnknownHeader] | None = None) -> list[Header]:
    """Return the headers of a note that begins and ends with a line break. Count unknown ones in `unknown`."""
    found = _find_labels(note, headers)
    known = [label.is_caps for name, _, _, label, _ in found if name]
    if len(known) < FEW or 2 * sum(known) > len(known):
        found = _add_others(found, note, headers)
    return _Decisions(note, found, headers, unknown).decide()


def _find_labels(note: str, headers: Headers) -> list[_Found]:
    """Return the labels at the starts of lines that may open a section.

    Known ones begin with a capital or `___` and end in a colon, or have capitals throughout. Others must follow an
    empty line: wrapped prose may begin a line with the same words.
    """
    found = list[_Found]()
    half: re.Match[str] | None = None  # a line that may be the first half of a header
    for match in _LABEL.finditer(note):
        label = headers[match[1]]
        name = label.section
        if name is None and label.is_inert and half is None and not label.may_be_half:
            continue
        start, begin = match.span()
        has_colon = note[begin - 1] == ":"
        first, half = half, None
        if first is not None and has_colon and first.end() == start:
            joined = headers[f"{first[1]} {match[1]}"]
            if joined.section and not joined.is_generic:
                found.append((joined.section, first.start(), begin, joined, False))
                continue
        if name is None:
            if not has_colon and label.may_be_half:
                half = match
            if not (label.is_inert or not (has_colon or label.is_title or label.is_caps)):
                found.append((None, start, begin, label, "#" in note[start : match.start(1)]))
        elif _is_accepted(note, start, has_colon, label):
            is_item = "#" in note[start : match.start(1)]
            if is_item and name in KNOWN_NAMES and (len(label.text) < 5 or name == MEDICATIONS):
                continue  # an item of a problem list, such as "# PE"
            if name == "Date of Birth":  # shares its line with the sex
                sex = note.find("Sex:", begin, note.find("\n", begin))
                name, begin = ("Sex", sex + len("Sex:")) if sex >= 0 else (name, begin)
            elif name == "Pertinent Results" and "lab" in label.words:
                begin = match.start(1)  # the header itself says which labs they are
            found.append((name, start, begin, label, is_item))
    return found


def _is_accepted(note: str, start: int, has_colon: bool, label: Label) -> bool:
    """Return whether a known label stands as a header does."""
    if has_colon:
        return label.is_title or label.has_capital or follows_empty_line(note, start)
    return (label.is_own and label.is_title) or label.is_caps or follows_empty_line(note, start)


def _add_others(found: list[_Found], note: str, headers: Headers) -> list[_Found]:
    """Return the labels with known ones inside lines and in other forms."""
    starts = {start for _, start, _, _, _ in found}
    more: list[_Found] = []
    for match in _OTHERS.finditer(note):
        label = headers[str(match[str(match.lastgroup)])]
        is_inside = match.lastgroup == "inside"
        has_form = label.is_caps or (label.is_title and not label.is_generic) or label.section == DISCHARGE_EXAM
        if label.section and has_form and (len(label.text) > 4 or not is_inside) and match.start() not in starts:
            more.append((label.section, match.start(), match.end(), label, False))
    return sorted([*found, *more], key=itemgetter(1)) if more else found


class _Decisions:
    """Walks through the labels of one note and decides each by those before it."""

    def __init__(self, note: str, found: list[_Found], labels: Headers, unknown: Counter[UnknownHeader] | None) -> None:
        self.note, self.found, self.labels, self.unknown = note, found, labels, unknown
        self.headers: list[Header] = []
        self.seen: dict[str, int] = {}  # section → where its text begins
        self.under = ""

    def decide(self) -> list[Header]:
        headers, seen, is_about_the_stay = self.headers, self.seen, False
        for index, entry in enumerate(self.found):
            name, start, begin, label, _ = entry
            if name is None:
                if self.under in KNOWN_NAMES:
                    self._decide_unknown(entry, index)
                elif self.under and self.unknown is not None and follows_separator(self.note, start):
                    self._count(label, is_kept=False)
                continue
            if name == TEXT or (label.lists and self._is_label_inside(entry)):
                continue
            if (
                name in AMBIGUOUS
                and (name != label.text or name in seen or name == MEDICATIONS or DISCHARGE_EXAM in seen)
                and (rule := find_rule(self._describe_place(entry, index)))
            ):
                if rule.opens is None:
                    continue
                name = rule.opens
            self.under = name
            begins_stay = name in ABOUT_THE_STAY
            if name == "Discharge" and ("diagnos" in label.words or label.words.endswith("dx")):
                begins_stay = False  # it may stand on top of a note
                seen["Diagnosis"] = begin
            else:
                seen[name] = begin
            is_about_the_stay = is_about_the_stay or begins_stay
            is_strong = not is_about_the_stay or (
                name in KNOWN_NAMES and (name != EXAM or "admi" in label.words) and self._is_strong(entry)
            )
            headers.append((name, start, begin, is_strong, begins_stay, False))
        return headers

    def _is_label_inside(self, entry: _Found) -> bool:
        """Return whether a label whose words may open a section belongs to the one that it stands under."""
        name, _, _, label, _ = entry
        if label.is_own or not is_sub_header(label, self.under):
            return False
        if name == EXAM and contains_any(label.words, ADMISSION_WORDS):
            return False
        if name == self.under and name == EXAM:
            return True
        return (name in _SOFT or name not in KNOWN_NAMES or label.is_generic) and not self._is_strong(entry)

    def _describe_place(self, entry: _Found, index: int) -> Place:
        name, start, begin, label, _ = entry
        is_strong = self.under not in HISTORIES or self._is_strong(entry)
        return Place(
            self.note,
            str(name),
            label.words,
            start,
            begin,
            self.under,
            self.seen,
            lambda: self.latest[index],
            is_strong,
        )

    @cached_property
    def latest(self) -> list[int]:
        """For each label the last place in the template, up to the course, of the known ones after it."""
        latest, last = [-1] * len(self.found), -1
        for index in range(len(self.found) - 1, -1, -1):
            latest[index] = last
            place = ORDER.get(self.found[index][0] or "", -1)
            if last < place <= ORDER[COURSE]:
                last = place
        return latest

    def _decide_unknown(self, entry: _Found, index: int) -> None:
        _, start, begin, label, _ = entry
        line = self._describe(entry)
        opens = decide_unknown(label, line, self.style, self.under)
        if opens is Opens.NOTHING:
            if line.has_colon and (line.follows_empty or line.is_alone or label.is_title):
                self._count(label, is_kept=True)
            return
        self._count(label, is_kept=False)
        self.headers.append((UNKNOWN, start, begin, False, False, False))
        self.under = UNKNOWN
        if opens is Opens.LINE:
            self._continue_exam(begin, index)

    def _count(self, label: Label, *, is_kept: bool) -> None:
        if self.unknown is not None:
            self.unknown[UnknownHeader(label.words, self.under, is_kept)] += 1

    def _continue_exam(self, begin: int, index: int) -> None:
        """Open the exam again at its next label, if that comes before the next header."""
        end = self.found[index + 1][1] if index + 1 < len(self.found) else len(self.note)
        for match in _LABEL.finditer(self.note, begin, end):
            if is_sub_header(self.labels[match[1]], EXAM):
                self.headers.append((EXAM, match.start(), match.start(), True, False, True))
                self.under = EXAM
                return

    @cached_property
    def style(self) -> Style:
        known = [entry for entry in self.found if entry[0] and self.note[entry[1]] == "\n"][:MEASURED]
        return measure_style((entry[3], self._describe(entry)) for entry in known)

    def _is_strong(self, entry: _Found) -> bool:
        return follows_separator(self.note, entry[1]) or is_strong(entry[3], self._describe(entry), self.style)

    def _describe(self, entry: _Found) -> Line:
        note, (_, start, begin, label, is_item) = self.note, entry
        end = note.find("\n", begin)
        last = self.headers[-1][2] if self.headers else 0
        return Line(
            has_colon=note[begin - 1] == ":" or label.words.startswith("lab"),
            is_block=follows_separator(note, start),
            follows_empty=follows_empty_line(note, start),
            is_alone=not note[begin:end].strip(),
            is_item=is_item,
            is_first=last <= start < last + 3 and not note[last:start].strip(),
            is_underlined=_UNDERLINE.match(note, end + 1) is not None,
        )
