"""A discharge note, cut down to what was known at admission.

    >>> note = "Chief Complaint:\\nChest pain\\n \\nBrief Hospital Course:\\nNSTEMI, stented.\\n"
    >>> admission_note(note)
    'Chief Complaint:\\nChest pain'

MIMIC's notes follow a template whose headers stand at the start of a line and end in a colon; de-identification has put
`___` into some of them, and authors abbreviate. Each section is kept or cut whole, but for the physical exam, of which
only the part written at admission stays. What cannot be told apart is cut: a lost sentence costs less than a diagnosis
that leaks. Line breaks and lists survive.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache


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
BY_NAME = {heading.name: heading for heading in TEMPLATE}
ORDER = {heading.name: place for place, heading in enumerate(TEMPLATE)}

# One alternative a section, group names s0, s1, …; a remark in brackets may stand between header and colon.
_HEADER = re.compile(
    "|".join(
        rf"(?P<s{place}>(?:{'|'.join(heading.forms)})[ \t]*(?:\([^)]*\))?)" for place, heading in enumerate(TEMPLATE)
    ),
    re.IGNORECASE,
)
# What may be a header: the start of a line up to its first colon; prose that runs longer before one is none.
_LABEL = re.compile(r"^[ \t]{0,3}(\w[^:\n]{0,90}):", re.MULTILINE)
_LINE_END = re.compile(r"[ \t]+\n")

# Once one of these has begun the note tells of the stay; then only the admission medications are let through.
_COURSE = {"Brief Hospital Course", "Discharge", "Followup Instructions"}
_AFTER_COURSE = "Medications on Admission"

_EXAM = r"(?:physical|exam\w*|pe|vitals?|vs)"
_OUT = r"(?:discharge|d/c|death|expiration)"
_IN = r"(?:admission|admit|arrival|presentation|initial)"
_ENDS = rf"(?=\s*(?:{_EXAM}\b|day\b|date\b|[:(=*\-]|$))"  # what follows the word in a sub-header, not in a sentence
# A line of the exam that opens its discharge part: "DISCHARGE PHYSICAL EXAM:", "Exam on discharge (day 5):".
# "No discharge from the wound" and "Discharge from the left ear" open nothing.
_DISCHARGE_PART = re.compile(
    rf"^[\W_]*(?:{_EXAM}\b[^:\n]{{0,30}}?\b{_OUT}\b"
    rf"|(?:(?:at|on|upon|prior to|before|day of|time of|the)\s+)*{_OUT}\b{_ENDS})",
    re.MULTILINE | re.IGNORECASE,
)
_ADMISSION_PART = re.compile(
    rf"^[\W_]*(?:{_EXAM}\b[^:\n]{{0,30}}?\b{_IN}\b|(?:(?:at|on|upon|day of|the)\s+)*{_IN}\b{_ENDS})",
    re.MULTILINE | re.IGNORECASE,
)


def sections(note: str) -> list[tuple[str, str]]:
    """The note's sections as (template name, text) in its own order; text before the first header is left out."""
    note = note.replace("\r\n", "\n")
    return [(name, _trimmed(note[begin:end])) for name, begin, end in _spans(note)]


def _spans(note: str) -> list[tuple[str, int, int]]:
    """Each section's name, and where its text begins and ends."""
    headers = list(_headers(note))
    ends = [start for start, _, _ in headers[1:]] + [len(note)]
    return [(name, begin, end) for (_, begin, name), end in zip(headers, ends, strict=False)]


def _headers(note: str) -> Iterator[tuple[int, int, str]]:
    """Where each header starts, where its text begins, and the section it opens.

    Headers are written with a capital or as `___`. One in lower case must stand after an empty line, for prose may wrap
    so that a line begins with such words.
    """
    for label in _LABEL.finditer(note):
        name = _named(label[1].rstrip())
        if name is None or (label[1][0].islower() and not _after_gap(note, label.start())):
            continue
        begin = label.end()
        if name == "Date of Birth":  # shares its line with the sex
            end_of_line = note.find("\n", begin)
            sex = note.find("Sex:", begin, end_of_line)
            name, begin = ("Sex", sex + len("Sex:")) if sex >= 0 else (name, begin)
        yield label.start(), begin, name


def _after_gap(note: str, start: int) -> bool:
    """Whether the line before the one that starts here is empty, or there is none."""
    return not note[note.rfind("\n", 0, max(start - 1, 0)) + 1 : start].strip()


@lru_cache(maxsize=2**16)  # the same few headers open nearly all sections of a corpus
def _named(header: str) -> str | None:
    match = _HEADER.fullmatch(header)
    return TEMPLATE[int(str(match.lastgroup)[1:])].name if match else None


def admission_sections(note: str) -> dict[str, str]:
    """Template name → text of what was known at admission, template order, empty sections left out."""
    found: dict[str, list[str]] = {}
    in_course = False
    note = note.replace("\r\n", "\n")
    for name, begin, end in _spans(note):
        in_course = in_course or name in _COURSE
        if not BY_NAME[name].known or (in_course and name != _AFTER_COURSE):
            continue
        text = _trimmed(note[begin:end])
        if name == "Physical Exam":
            text = admission_exam(text)
        if text and text != "___":
            found.setdefault(name, []).append(text)
    return {name: "\n".join(found[name]) for name in sorted(found, key=ORDER.__getitem__)}


def admission_note(note: str) -> str:
    """The admission sections as one text, each under its header."""
    return as_text(admission_sections(note))


def as_text(parts: dict[str, str]) -> str:
    return "\n\n".join(f"{name}:\n{text}" for name, text in parts.items())


def admission_exam(text: str) -> str:
    """The admission part of a physical exam: all but what stands under a discharge sub-header.

    >>> admission_exam("ADMISSION EXAM:\\nHR 110\\nDISCHARGE EXAM (day 5):\\nHR 70")
    'ADMISSION EXAM:\\nHR 110'
    """
    marks = sorted(
        [(match.start(), False) for match in _DISCHARGE_PART.finditer(text)]
        + [(match.start(), True) for match in _ADMISSION_PART.finditer(text)]
    )
    starts = [(0, True), *marks]
    ends = [at for at, _ in marks] + [len(text)]
    return _trimmed("".join(text[at:end] for (at, keep), end in zip(starts, ends, strict=True) if keep))


def _trimmed(text: str) -> str:
    """A text without empty lines at either end, nor spaces at a line's end; inner lines as they are."""
    return _LINE_END.sub("\n", text).strip("\n \t")
