"""The layout of a made-up discharge note: sections, headers and their variants, how parts become one text, oddities.

Oddities depart from the layout as real notes do, in ways that mislead a parser of headers. Rates are shares of notes
or of their sections, higher than in reality so that a few thousand notes show every form.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from builders.synthetic import note_discharge_sections
from builders.synthetic.clinical_case import Case

HEADER_CHANGED = 0.1
"""Share of headers written in one of their other forms."""
COLON_LOST = 0.01
"""Share of headers without their colon."""
SECTION_MISSING = 0.015
"""Share of optional sections that a note leaves out."""
REVIEW_SECTION = 0.15
SURGICAL_SECTION = 0.2
"""Shares of notes with a separate Review of Systems and a separate Past Surgical History."""
SEPARATOR_LOST = 0.004
"""Share of sections that the line of one space does not separate."""
HEADER_TWICE = 0.005
"""Share of optional sections with the plain header repeated above the section's header."""
VALUE_ON_HEADER_LINE = 0.01
"""Share of sections whose text begins on the header's line."""
CRLF_LINES = 0.01
"""Share of notes whose lines end in CR LF."""

COURSE_INSIDE = 0.01
"""A hospital course appears inside the present illness, the exam or the results."""
ONLY_DISCHARGE_EXAM = 0.015
"""The admission exam is missing, as a share of notes with a discharge exam."""
SECTION_TWICE = 0.01
"""A section is split in two, each half under its own header."""
DISCHARGE_AS_FINDING = 0.02
"""The admission exam mentions a discharge that is a finding."""
ENDS_EARLY = 0.005
"""The note breaks off after a section that was known at admission."""
MEDICATIONS_LAST = 0.005
"""The admission medications come last."""
ADDENDUM = 0.015
"""An addendum follows the end."""

# Section → other forms of its header, as de-identification and habit change it.
FORMS: dict[str, tuple[str, ...]] = {
    "Name": (),
    "Admission Date": (),
    "Sex": (),
    "Service": ("___",),
    "Allergies": (),
    "Attending": (),
    "Chief Complaint": ("CC", "cc", "___ Complaint", "Chief ___", "CHIEF COMPLAINT"),
    "Major Surgical or Invasive Procedure": (
        "Major ___ or Invasive Procedure",
        "___ Surgical or Invasive Procedure",
        "Major Surgical or ___ Procedure",
        "Major Surgical ___ Invasive Procedure",
    ),
    "History of Present Illness": (
        "HPI",
        "HISTORY OF THE PRESENT ILLNESS",
        "HISTORY OF PRESENTING ILLNESS",
        "History of Present ___",
        "___ of Present Illness",
        "History ___ Present Illness",
        "History of ___ Illness",
    ),
    "Review of Systems": ("ROS", "REVIEW OF SYSTEMS", "___ of Systems"),
    "Past Medical History": (
        "PMH",
        "PMHx",
        "PAST MEDICAL HISTORY",
        "Past Medical and Surgical History",
        "___ Medical History",
        "Past ___ History",
        "Past Medical ___",
        "Past Medical History (per OMR, confirmed with patient)",
    ),
    "Past Surgical History": ("PSH", "PAST SURGICAL HISTORY", "___ Surgical History"),
    "Social History": ("Social Hx", "Social ___", "___ History"),
    "Family History": ("Family Hx", "Family Medical History", "Family ___", "FAMILY HISTORY"),
    "Physical Exam": ("PE", "Physical Examination", "Physical ___", "___ Exam", "PHYSICAL EXAM"),
    "Pertinent Results": ("PERTINENT RESULTS", "Pertinent ___", "___ Results"),
    "Brief Hospital Course": (
        "___ Hospital Course",
        "Brief ___ Course",
        "Brief Hospital ___",
        "BRIEF HOSPITAL COURSE",
        "Hospital Course",
    ),
    "Medications on Admission": (
        "Meds on Admission",
        "Preadmission medications",
        "Home medications",
        "___ on Admission",
        "Medications on ___",
    ),
    "Discharge Medications": ("___ Medications", "DISCHARGE MEDICATIONS"),
    "Discharge Disposition": ("___ Disposition", "Discharge ___"),
    "Facility": ("___",),
    "Discharge Diagnosis": ("ischarge Diagnosis", "Discharge ___", "___ Diagnosis", "Discharge Diagnoses"),
    "Discharge Condition": ("___ Condition", "Discharge ___", "___"),
    "Discharge Instructions": ("___ Instructions", "Discharge ___"),
    "Followup Instructions": ("___ Instructions", "Followup ___"),
    "Addendum": ("ADDENDUM", "Addendum ___"),
}
LAYOUT = tuple(FORMS)
"""The sections in the order of the layout."""

OPTIONAL = frozenset(
    {"Chief Complaint", "History of Present Illness", "Past Medical History", "Family History", "Pertinent Results"}
    | {"Medications on Admission", "Major Surgical or Invasive Procedure"}
)
"""Sections that a note may lack; never the hospital course or the discharge diagnosis."""

SAME_LINE = {
    "Name": "Name:  ___                     Unit No:   ___",
    "Admission Date": "Admission Date:  ___              Discharge Date:   ___",
    "Sex": "Date of Birth:  ___             Sex:   ",
    "Service": "Service: ",
    "Attending": "Attending: ",
}
"""Headers whose value is on the same line."""


def format_header(section: str, rng: random.Random) -> str:
    """Return the text before a section's value, including the line break."""
    forms = FORMS[section]
    is_changed = bool(forms) and rng.random() < HEADER_CHANGED
    words = forms[int(rng.random() * len(forms))] if is_changed else section
    if section in SAME_LINE:
        return f"{words}: " if is_changed else SAME_LINE[section]
    if section == "Allergies":
        return "Allergies: \n"
    return words + ("\n" if rng.random() < COLON_LOST else ":\n")


class Part(NamedTuple):
    """A piece of a note, with what an extraction is scored by: its section and whether it was known at admission."""

    section: str
    """One of LAYOUT: the header it stands under. Neighbors of one section share a header."""
    text: str
    known_at_admission: bool
    is_tight: bool = False
    """Whether it follows its neighbor in the section without a blank line."""
    is_of: str | None = None
    """The section it belongs to if it stands under another section's header."""
    has_own_header: bool = False
    """Whether its section's header is repeated above it."""
    heading: str = ""
    """A line below the header that is not part of the text: 'ADMISSION EXAM:'."""

    @property
    def name(self) -> str:
        """The section to which an extraction should assign the part."""
        return self.is_of or self.section


def join_parts(parts: Sequence[Part], rng: random.Random) -> str:
    """Join the parts, each verbatim. A line of one space separates sections, except before Family History."""
    text = [" \n"]
    before = ""
    for part in parts:
        if part.section == before and not part.has_own_header:
            text += ["\n" if part.is_tight else "\n\n", part.heading, part.text]
            continue
        if before:
            is_tight = part.section == "Family History" or rng.random() < SEPARATOR_LOST
            text.append("\n" if is_tight else "\n \n")
        if rng.random() < HEADER_TWICE and part.section in OPTIONAL:
            text.append(f"{part.section}:\n")
        header = format_header(part.section, rng)
        if header.endswith(":\n") and rng.random() < VALUE_ON_HEADER_LINE:
            header = f"{header[:-1]} "
        text += [header, part.heading, part.text]
        before = part.section
    if not parts[-1].known_at_admission:  # a note that breaks off has no final line end either
        text.append("\n")
    whole = "".join(text)
    return whole.replace("\n", "\r\n") if rng.random() < CRLF_LINES else whole


_COURSE_HEADINGS = (
    "Hospital Course:",
    "HOSPITAL COURSE:",
    "Brief Hospital Course:",
    "Brief hospital course:",
    "Hospital Course by problem:",
    "ICU Course:",
    "MICU COURSE:",
)
_FINDINGS = (
    "GU: No discharge",
    "Eyes: Clear discharge on both sides",
    "Discharge from the left ear, scant and clear",
    "No purulent discharge from old scars",
)
_LAST_SECTIONS = ("Past Medical History", "Family History", "Physical Exam", "Medications on Admission")

Change = Callable[[Case, list[Part]], list[Part]]


def add_oddities(case: Case, parts: Sequence[Part]) -> list[Part]:
    """Apply each oddity with its rate."""
    changed = list(parts)
    for change, rate in _CHANGES:
        if case.chance(rate):
            changed = change(case, changed)
    return changed


def _insert_course(case: Case, parts: list[Part]) -> list[Part]:
    section = case.rng.choice(
        ("History of Present Illness", "History of Present Illness", "Physical Exam", "Pertinent Results")
    )
    places = [place for place, part in enumerate(parts) if part.section == section and part.known_at_admission]
    if not places:
        return parts
    text = f"{case.rng.choice(_COURSE_HEADINGS)}\n{note_discharge_sections.write_short_course(case)}"
    course = Part(section, text, False, is_tight=case.chance(0.3), is_of="Brief Hospital Course")
    return [*parts[: places[-1] + 1], course, *parts[places[-1] + 1 :]]


def _drop_admission_exam(case: Case, parts: list[Part]) -> list[Part]:
    if not any(part.name == "Discharge Exam" for part in parts):
        return parts
    return [part for part in parts if part.name != "Physical Exam"]


def _split_section(case: Case, parts: list[Part]) -> list[Part]:
    """Split a section between two lines or paragraphs."""
    section = case.rng.choice(("History of Present Illness", "Past Medical History", "Medications on Admission"))
    gap = "\n\n" if section == "History of Present Illness" else "\n"
    place = next((place for place, part in enumerate(parts) if part.section == section and gap in part.text), None)
    if place is None:
        return parts
    first, second = (half.strip("\n") for half in parts[place].text.split(gap, 1))
    halves = [parts[place]._replace(text=first), parts[place]._replace(text=second, has_own_header=True)]
    return [*parts[:place], *halves, *parts[place + 1 :]]


def _add_discharge_finding(case: Case, parts: list[Part]) -> list[Part]:
    finding = case.rng.choice(_FINDINGS)
    if case.condition.revealing.search(finding):
        return parts
    return [part._replace(text=f"{part.text}\n{finding}") if part.name == "Physical Exam" else part for part in parts]


def _break_off(case: Case, parts: list[Part]) -> list[Part]:
    last = case.rng.choice(_LAST_SECTIONS)
    end = max((place for place, part in enumerate(parts, 1) if part.section == last), default=len(parts))
    return parts[:end]


def _move_medications_last(case: Case, parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: part.section == "Medications on Admission")  # stable


def _append_addendum(case: Case, parts: list[Part]) -> list[Part]:
    return [*parts, Part("Addendum", note_discharge_sections.write_addendum(case), False)]


_CHANGES: tuple[tuple[Change, float], ...] = (
    (_drop_admission_exam, ONLY_DISCHARGE_EXAM),
    (_add_discharge_finding, DISCHARGE_AS_FINDING),
    (_insert_course, COURSE_INSIDE),
    (_split_section, SECTION_TWICE),
    (_move_medications_last, MEDICATIONS_LAST),
    (_break_off, ENDS_EARLY),
    (_append_addendum, ADDENDUM),
)
