"""Find the headers of a note, in its order: where each stands, where its text begins, and which section it opens.

Known labels (builders.cohort.label_search) are taken by their words, ambiguous ones by their place
(builders.cohort.section_rules), all others by evidence (builders.cohort.unknown_headers). The time is linear in the
note's length.
"""

from collections import Counter
from functools import cached_property

from builders.cohort.exam_parts import ADMISSION_WORDS, contains_any
from builders.cohort.headers import KNOWN_NAMES, ORDER, TEXT, Label
from builders.cohort.label_search import LABEL, Forms, Found, find_labels
from builders.cohort.section_rules import (
    ABOUT_THE_STAY,
    AMBIGUOUS,
    COURSE,
    DISCHARGE_EXAM,
    EXAM,
    FOLLOWUP,
    HISTORIES,
    MEDICATIONS,
    OPENINGS,
    RESULTS,
    Place,
    find_rule,
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
)

UNKNOWN = "Unknown"
"""The section under a header that the template does not know."""
NOT_MEASURED = frozenset(
    {"Name", "Admission Date", "Sex", "Date of Birth", "Service", "Attending", "Facility", "Addendum", "Redacted"}
    | {DISCHARGE_EXAM, RESULTS}
)
"""Sections whose headers are often written in another style than the note's others."""
_SOFT = frozenset({EXAM, MEDICATIONS})
"""Sections known at admission whose headers also occur as labels inside others."""


VITALS = ("vital", "obs", "vs")
"""Words of headers above vital signs, which do not make what follows a second exam."""


Header = tuple[str, int, int, bool, bool, bool]
"""A header, decided: its section, where it starts, where its text begins, whether it is set off as the note's headers
are, whether it begins the part about the stay, and whether it continues its section after a line that was cut.

A plain tuple: with some thirty headers per note, named ones would cost a quarter of the time.
"""


def find_headers(
    note: str, forms: Forms, unknown: Counter[UnknownHeader] | None = None, *, with_results: bool = False
) -> list[Header]:
    """Return the headers of a note that begins and ends with a line break. Count unknown ones in `unknown`.

    `with_results`: unknown headers end results too, of which a part is kept.
    """
    decisions = _Decisions(note, find_labels(note, forms), forms, unknown)
    if with_results:
        decisions.may_be_kept |= {RESULTS}
    return decisions.decide()


class _Decisions:
    """Walks through the labels of one note and decides each by those before it."""

    def __init__(self, note: str, found: list[Found], forms: Forms, unknown: Counter[UnknownHeader] | None) -> None:
        self.note, self.found, self.labels, self.unknown = note, found, forms.headers, unknown
        self.headers: list[Header] = []
        self.seen: dict[str, int] = {}  # section → where its text begins
        self.under = ""
        self.may_be_kept = KNOWN_NAMES

    def decide(self) -> list[Header]:
        headers, seen, is_about_the_stay = self.headers, self.seen, False
        for index, entry in enumerate(self.found):
            name, start, begin, label, _ = entry
            if name is None:
                if self.under in self.may_be_kept:
                    self._decide_unknown(entry, index)
                elif self.under and self.unknown is not None and follows_separator(self.note, start):
                    self._count(label, is_kept=False)
                continue
            if name == TEXT or (label.lists and self._is_label_inside(entry)):
                continue
            if (
                name in AMBIGUOUS
                and (name != RESULTS or self.under in HISTORIES)
                and (name != label.text or name in seen or name == MEDICATIONS or DISCHARGE_EXAM in seen)
                and (rule := find_rule(self._describe_place(entry, index)))
            ):
                if rule.opens is None:
                    continue
                name = rule.opens
            self.under = name
            is_on_top = name == FOLLOWUP and OPENINGS.isdisjoint(seen)
            begins_stay = name in ABOUT_THE_STAY and not is_on_top
            if name == "Discharge" and ("diagnos" in label.words or label.words.endswith("dx")):
                begins_stay = False  # it may stand on top of a note
                seen["Diagnosis"] = begin
            elif not is_on_top and (name != EXAM or not contains_any(label.words, VITALS)):
                seen[name] = begin
            is_about_the_stay = is_about_the_stay or begins_stay
            is_strong = not is_about_the_stay or (
                (name in KNOWN_NAMES or name == RESULTS)
                and (name not in (EXAM, RESULTS) or contains_any(label.words, ADMISSION_WORDS))
                and self._is_strong(entry)
            )
            headers.append((name, start, begin, is_strong, begins_stay, False))
        return headers

    def _is_label_inside(self, entry: Found) -> bool:
        """Return whether a label whose words may open a section belongs to the one that it stands under."""
        name, _, _, label, _ = entry
        if label.is_own or not is_sub_header(label, self.under):
            return False
        if name == EXAM and contains_any(label.words, ADMISSION_WORDS):
            return False
        if name == self.under:
            return True
        is_habit = name == "Social History" and not contains_any(label.words, ("hist", "hx", "soc", "sh"))
        is_soft = name in _SOFT or name not in KNOWN_NAMES or label.is_generic or is_habit
        return is_soft and not self._is_strong(entry)

    def _describe_place(self, entry: Found, index: int) -> Place:
        name, start, begin, label, _ = entry
        is_strong = (self.under not in HISTORIES and name != MEDICATIONS) or self._is_strong(entry)
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

    def _decide_unknown(self, entry: Found, index: int) -> None:
        _, start, begin, label, _ = entry
        line = self._describe(entry)
        opens = decide_unknown(label, line, lambda: self.style, self.under)
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
        for match in LABEL.finditer(self.note, begin, end):
            if is_sub_header(self.labels[match[1]], EXAM):
                self.headers.append((EXAM, match.start(), match.start(), True, False, True))
                self.under = EXAM
                return

    @cached_property
    def style(self) -> Style:
        """How the note writes the first header of each section."""
        first: dict[str, Found] = {}
        for entry in self.found:
            if entry[0] and entry[0] not in NOT_MEASURED and self.note[entry[1]] == "\n":
                first.setdefault(entry[0], entry)
        return Style((entry[3], self._describe(entry)) for entry in first.values())

    def _is_strong(self, entry: Found) -> bool:
        return follows_separator(self.note, entry[1]) or is_strong(entry[3], self._describe(entry), self.style)

    def _describe(self, entry: Found) -> Line:
        _, start, begin, _, is_item = entry
        return Line(self.note, start, begin, is_item, self.headers[-1][2] if self.headers else 0, self.labels)
