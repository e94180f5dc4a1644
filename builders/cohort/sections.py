"""Cut a discharge note down to what was known at admission.

    >>> note = "Chief Complaint:\\nChest pain\\n \\nBrief Hospital Course:\\nNSTEMI, stented.\\n"
    >>> extract_admission_note(note)
    'Chief Complaint:\\nChest pain'

MIMIC's notes follow a template whose headers stand at the start of a line and end in a colon; de-identification has put
`___` into some of them, and authors abbreviate. Other hospitals' notes have other words and orders. Each section is
kept or cut whole, except that only the part of the physical exam written at admission stays, and that a history ends
where it tells of the stay. Which header opens what: builders.cohort.note_headers. In doubt, text is cut: losing a
sentence costs less than leaking a diagnosis. Line breaks and lists survive.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.exam_parts import extract_admission_exam, extract_admission_labs, trim
from builders.cohort.headers import KNOWN_NAMES, ORDER
from builders.cohort.label_search import load_forms
from builders.cohort.later_events import extract_stay, is_reference, remove_stay
from builders.cohort.note_headers import Header, find_headers
from builders.cohort.section_rules import COURSE, DISCHARGE_EXAM, EXAM, MEDICATIONS, NARRATIVES, RESULTS
from builders.cohort.unknown_headers import UnknownHeader

ADDENDUM = "Addendum"
PERSONAL = frozenset({"Name", "Admission Date", "Sex", "Date of Birth", "Service", "Attending", "Facility"})
"""Sections that tell who was treated, when and by whom, and nothing of what was found."""
_NAMED_BY_LABEL = frozenset({"Diagnosis", "Discharge", EXAM, DISCHARGE_EXAM})
_EMPTY = ("", "___")
_LATER_PARTS = {EXAM: DISCHARGE_EXAM, RESULTS: RESULTS}
_DISCHARGE_PARTS = {"diagnosis": "Diagnosis", "medications": "Medications", "condition": "Condition",
                    "disposition": "Disposition", "instructions": "Instructions"}  # fmt: skip
_DISCHARGE_PART = re.compile(
    r"(?P<diagnosis>diagnos|\bdx\b)|(?P<medications>med|drugs|prescription)|(?P<condition>condition)"
    r"|(?P<disposition>dispo)|(?P<instructions>instruct)",
    re.IGNORECASE,
)
_MENTAL_STATUS = re.compile(r"^\s*mental status:?\s*$", re.IGNORECASE)
_COURSE_PLACE = ORDER[COURSE]
_LINE_ENDS = re.compile(r"\r*\n|\r")

# A plain tuple: with some thirty headers per note, creating named ones would be a third of the run time.
_Span = tuple[str, int, int, Header]  # section, where its text begins and ends, its header


def split_sections(note: str) -> list[tuple[str, str]]:
    """Return the note's sections as (template name, text) in its own order, without text before the first header."""
    note = _normalize(note)
    return [(name, trim(note[begin:end])) for name, begin, end, _ in _find_spans(note, DEFAULT)]


class DividedNote(NamedTuple):
    """A note's sections, as known at admission and as written later."""

    known: dict[str, str]
    """Template name → text, in template order, without empty sections."""
    later: list[tuple[str, str]]
    """(name, text) in the note's order, then what was cut from within sections that are known otherwise."""


def extract_admission_sections(
    note: str, criteria: Criteria = DEFAULT, unknown: Counter[UnknownHeader] | None = None
) -> dict[str, str]:
    """Return template name → text of what was known at admission, in template order, without empty sections.

    Adds the headers that the template does not know to `unknown`.
    """
    return divide_note(note, criteria, unknown).known


def divide_note(note: str, criteria: Criteria = DEFAULT, unknown: Counter[UnknownHeader] | None = None) -> DividedNote:
    """Return a note's sections, divided by whether they were known at admission."""
    note = _normalize(note)
    spans = _find_spans(note, criteria, unknown)
    texts: dict[str, list[str]] = {}
    later = {begin: (name, header[1], end) for name, begin, end, header in spans if name not in PERSONAL}
    inside: list[tuple[str, str]] = []
    for name, begin, end, is_about_the_stay, is_continued in _find_known_spans(spans):
        name = EXAM if criteria.whole_exam and name == DISCHARGE_EXAM else name
        is_kept = name in criteria.sections or (criteria.admission_labs and name == RESULTS)
        if is_kept or name in KNOWN_NAMES:
            later.pop(begin, None)
        if is_kept:
            text = note[begin:end]
            if name == MEDICATIONS and is_about_the_stay:
                text, _, problems = text.partition("\n#")  # of the hospital course
                inside.append((COURSE, trim(problems)))
            if is_continued and name in texts:
                texts[name][-1] += text
            else:
                texts.setdefault(name, []).append(text)
    sections: dict[str, str] = {}
    for name in sorted(texts, key=ORDER.__getitem__):
        for text in texts[name]:
            whole = trim(text)
            if (kept := _cut(name, text, whole, criteria)) != whole:
                inside.append((_LATER_PARTS.get(name, COURSE), _find_cut(name, whole, kept)))
            if kept not in _EMPTY:
                sections[name] = f"{sections[name]}\n{kept}" if name in sections else kept
    outside = [
        (_name_later(name, note[start:begin]) if name in _NAMED_BY_LABEL else name, trim(note[begin:end]))
        for begin, (name, start, end) in later.items()
    ]
    return DividedNote(sections, [(name, text) for name, text in outside + inside if text not in _EMPTY])


@lru_cache(2**12)
def _name_later(name: str, label: str) -> str:
    """Return the name of a section written later: the parts of 'Discharge' by the words of their header."""
    if name == "Diagnosis":
        return "Discharge Diagnosis"
    if name in (EXAM, DISCHARGE_EXAM):  # 'Mental Status' is the first line of the condition in MIMIC's template
        return "Discharge Condition" if _MENTAL_STATUS.search(label) else DISCHARGE_EXAM
    match = _DISCHARGE_PART.search(label)
    return f"Discharge {_DISCHARGE_PARTS[str(match.lastgroup)]}" if match else name


def _find_cut(name: str, whole: str, kept: str) -> str:
    """Return what of a section was not known at admission."""
    if name in NARRATIVES:
        return extract_stay(whole)
    if len(kept) == len(whole):
        return ""
    lines = Counter(map(str.rstrip, kept.split("\n")))
    cut = []
    for line in map(str.rstrip, whole.split("\n")):
        if lines[line]:
            lines[line] -= 1
        else:
            cut.append(line)
    return trim("\n".join(cut))


def _cut(name: str, text: str, whole: str, criteria: Criteria) -> str:
    """Return what a section says of the time of admission. `whole` is its text, trimmed."""
    if name == EXAM and not criteria.whole_exam:
        return extract_admission_exam(text)
    if name == RESULTS:
        return extract_admission_labs(text)
    if name == MEDICATIONS:  # 'once a day'
        return whole
    return remove_stay(whole, is_history=name in NARRATIVES)


def drop_references(sections: dict[str, str]) -> dict[str, str]:
    """Return the sections without those that only point elsewhere, such as 'As dictated by Dr. ___'."""
    return {name: text for name, text in sections.items() if not (name in NARRATIVES and is_reference(text))}


def extract_hospital_course(note: str) -> str:
    """Return the note's hospital course; '' if it has none."""
    return "\n".join(text for name, text in split_sections(note) if name == COURSE)


def extract_admission_note(note: str) -> str:
    """Return the admission sections as one text, each under its header."""
    return join_sections(drop_references(extract_admission_sections(note)))


def join_sections(sections: dict[str, str]) -> str:
    """Return sections as one text, each under its header."""
    return "\n\n".join(f"{name}:\n{text}" for name, text in sections.items())


def _find_known_spans(spans: list[_Span]) -> Iterator[tuple[str, int, int, bool, bool]]:
    """Yield the sections that may be from the admission: name, begin, end, whether a section about the stay precedes
    it, and whether it continues the one before it.

    Before the stay has begun, that is all of them. Behind a section about the stay, a section is from the admission if
    it is the first of its kind under a header as the note's others are; an exam only if its header says so.
    If there are several hospital courses, the last one is this stay's. An earlier one, quoted from another hospital, is
    cut, but the sections after it that continue in the template's order are kept.
    """
    own_course = max((index for index, span in enumerate(spans) if span[0] == COURSE), default=-1)
    is_about_the_stay, has_addendum, reached = False, False, -1
    kept, before = set[str](), ""
    for index, (name, begin, end, header) in enumerate(spans):
        _, _, _, is_strong, begins_stay, is_continued = header
        is_about_the_stay = is_about_the_stay or begins_stay
        has_addendum = has_addendum or (name == ADDENDUM and bool(kept))
        place = ORDER.get(name, -1)
        continues = index < own_course and reached < place < _COURSE_PLACE
        reached = place if continues else reached
        if name in ORDER and (
            not (is_about_the_stay or has_addendum)
            or name == MEDICATIONS
            or continues
            or (is_continued and name in kept)
            or (index < own_course and name == before)
            or (is_strong and (name not in kept or name in (EXAM, RESULTS)) and not has_addendum)
        ):
            yield name, begin, end, is_about_the_stay, is_continued
            kept.add(name)
        before = name


def _normalize(note: str) -> str:
    """Return the note with plain line breaks, and one before the first line and after the last."""
    plain = _LINE_ENDS.sub("\n", note) if "\r" in note else note
    return f"\n{plain}\n"


def _find_spans(note: str, criteria: Criteria, unknown: Counter[UnknownHeader] | None = None) -> list[_Span]:
    headers = find_headers(note, load_forms(criteria.headers), unknown, with_results=criteria.admission_labs)
    ends = [start for _, start, *_ in headers[1:]] + [len(note)]
    return [(header[0], header[2], end, header) for header, end in zip(headers, ends, strict=False)]
