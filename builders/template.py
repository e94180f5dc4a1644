"""The template of MIMIC's discharge notes: sections in order, what of them was known at admission, how headers vary.

Seen in MIMIC-IV-Note 2.2. De-identification has put `___` into some headers, authors abbreviate others. A section that
is not known at admission, or that nobody can name any more, is cut.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """A section of the template: its name, whether it was known at admission, and how its header is written."""

    name: str
    known: bool
    forms: tuple[str, ...]  # regular expressions, matched without regard to case, before the colon


# The template of MIMIC-IV-Note 2.2 in its order, with the header variants seen there; ___ is a de-identified span.
TEMPLATE: tuple[Heading, ...] = (
    Heading("Name", False, ("Name",)),
    Heading("Admission Date", False, ("Admission Date", "___ Date")),
    Heading("Sex", True, ("Sex",)),
    Heading("Date of Birth", False, ("Date of Birth",)),
    Heading("Service", False, ("Service",)),  # the discharging service: transfers make it tell of the stay
    Heading("Allergies", True, ("Allergies",)),
    Heading("Attending", False, ("Attending",)),
    Heading("Chief Complaint", True, ("Chief Complaint", "CC", "___ Complaint", "Chief ___")),
    Heading(
        "Major Surgical or Invasive Procedure",
        False,
        ("(?:Major|___) (?:Surgical|___)(?: (?:or|___) (?:Invasive|___))? (?:Procedures?|___)",),
    ),
    Heading(
        "History of Present Illness",
        True,
        (
            "HPI",
            "History of (?:the )?Present(?:ing)? Illness",
            "___ of Present Illness",
            "History ___ Present Illness",
            "History of ___ Illness",
            "History of Present ___",
        ),
    ),
    Heading("Review of Systems", True, ("Review of Systems", "ROS", "___ of Systems")),
    Heading(
        "Past Medical History",
        True,
        (
            "PMHx?",
            "PMH/PSH",
            "Past (?:Medical|___)(?: and Surgical|/Surgical)? History",
            "___ Medical History",
            "Past Medical ___",
        ),
    ),
    Heading("Past Surgical History", True, ("PSHx?", "Past Surgical History", "___ Surgical History")),
    Heading("Social History", True, ("Social (?:History|Hx|___)", "___ Social History")),
    Heading("Family History", True, ("Family (?:Medical )?(?:History|Hx|___)",)),
    Heading(
        "Physical Exam",
        True,
        (
            "PE",
            "(?:Physical|___) (?:Exam|Examination|___)",
            "Admission (?:Physical )?Exam(?:ination)?",
            "(?:Physical )?Exam(?:ination)? (?:at|on|upon) admission",
        ),
    ),
    Heading(
        "Discharge Exam",
        False,
        (
            "(?:Discharge|Death) (?:Physical )?Exam(?:ination)?",
            "(?:Physical )?Exam(?:ination)? (?:at|on|upon) discharge",
        ),
    ),
    Heading("Pertinent Results", False, ("Pertinent (?:Results|___)", "___ Results")),  # mostly of the stay itself
    Heading(
        "Brief Hospital Course",
        False,
        (
            "(?:Brief )?Hospital Course(?: by [^:\n]{1,40})?",
            "___ Hospital Course",
            "Brief ___ Course",
            "Brief Hospital ___",
        ),
    ),
    Heading(
        "Medications on Admission",
        True,
        (
            "Med(?:ication)?s on Admission",
            "___ on Admission",
            "Medications (?:on|___) ___",
            "Pre-?admission Medications?(?: list)?",
            "Home Med(?:ication)?s",
            "Admission Med(?:ication)?s",
        ),
    ),
    Heading("Transitional Issues", False, ("Transitional Issues",)),
    Heading("Active Issues", False, ("(?:Active|Acute|Chronic)(?:/\\w+)? Issues",)),
    Heading("Discharge", False, (r"D?ischarge (?:Med\w*|Disposition|Diagnos[ei]s|Condition|Instructions?|Labs?|___)",)),
    Heading("Facility", False, ("Facility",)),
    Heading("Followup Instructions", False, ("Follow-?\\s?up (?:Instructions|___)", "___ Instructions")),
    Heading("Redacted", False, ("___",)),  # nobody can say what it was
)

KNOWN = tuple(heading.name for heading in TEMPLATE if heading.known)
ORDER = {heading.name: place for place, heading in enumerate(TEMPLATE)}
