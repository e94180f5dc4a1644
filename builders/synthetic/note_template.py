"""The discharge note's template: its sections in order, their headers, and how de-identification and habit change them.

Rates are per note and section, chosen higher than in life so that a few hundred notes show every form.
"""

import random

HEADER_CHANGED = 0.1
"""Share of headers that take another of their forms."""
COLON_LOST = 0.01
"""Share of headers without their colon."""
SECTION_MISSING = 0.015
"""Share of optional sections that a note leaves out."""
REVIEW_SECTION = 0.15
SURGICAL_SECTION = 0.2
"""Shares of notes with a Review of Systems and a Past Surgical History of their own."""
SEPARATOR_LOST = 0.004
"""Share of sections that follow without the line of one space."""
HEADER_TWICE = 0.005
"""Share of optional sections with the plain header once more above their header."""
VALUE_BESIDE = 0.01
"""Share of sections whose text begins on the header's line."""
CARRIAGE_RETURNS = 0.01
"""Share of notes whose lines end in CR LF."""

# Section → its other forms. An entry of one of the three-line opening holds its whole line.
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
"""What a note may lack; never the hospital course or the discharge diagnosis."""

SAME_LINE = {
    "Name": "Name:  ___                     Unit No:   ___",
    "Admission Date": "Admission Date:  ___              Discharge Date:   ___",
    "Sex": "Date of Birth:  ___             Sex:   ",
    "Service": "Service: ",
    "Attending": "Attending: ",
}
"""Headers whose value stands on their own line."""


def header(section: str, rng: random.Random) -> str:
    """The text before a section's value, up to and with the line break."""
    forms = FORMS[section]
    changed = bool(forms) and rng.random() < HEADER_CHANGED
    words = forms[int(rng.random() * len(forms))] if changed else section
    if section in SAME_LINE:
        return f"{words}: " if changed else SAME_LINE[section]
    if section == "Allergies":
        return "Allergies: \n"
    return words + ("\n" if rng.random() < COLON_LOST else ":\n")
