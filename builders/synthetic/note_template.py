"""The discharge note's template: its sections in order, their headers and variants, and how parts become one text.

Rates are per note and section, higher than in reality so that a few hundred notes show every form.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

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
TEMPLATE = tuple(FORMS)
"""The sections in the order of the template."""

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
    """One of TEMPLATE: the header it stands under. Neighbors of one section share a header."""
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
