"""The template of MIMIC's discharge notes: sections in order, what of them was known at admission, how headers vary.

Seen in MIMIC-IV-Note 2.2. De-identification has put `___` into some headers, authors abbreviate others. A section that
is not known at admission, or that nobody can name any more, is cut. Where a header's words leave open what it opens
(`___ Exam`, `Home medications`, `Primary diagnosis`), builders.cohort.sections goes by its place in the note.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """A section of the template: its name, whether it was known at admission, and how its header is written."""

    name: str
    known: bool
    forms: tuple[str, ...]  # regular expressions, matched without regard to case, before the colon


_DIAGNOSIS = "(?:Diagnos[ei]s|Dx)"
_LEAVING = "(?:Discharge|D/C|Transfer|Death)"
_EXAM = "(?:Exam|Examination|PE|Vitals|VS)"
_FINDINGS = "(?:Results|Data|Studies|Values|Findings|Imaging|Reports?)"

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
        (
            "(?:Major|___) (?:Surgical|___)(?: (?:or|___) (?:Invasive|___))? (?:Procedures?|___)",
            "(?:(?:Major|Surgical|Invasive|Operative) )*(?:Procedures?|Operations?)(?: Performed)?",
        ),
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
    Heading("Social History", True, ("Social (?:History|Hx|___)", "___ (?:Social )?History")),
    Heading("Family History", True, ("Family (?:Medical )?(?:History|Hx|___)",)),
    Heading(
        "Physical Exam",
        True,
        (
            "PE",
            "(?:Physical|___) (?:Exam|Examination|___)",
            f"(?:Admission|Admit|Initial|___) (?:Physical )?{_EXAM}",
            f"(?:Physical )?{_EXAM} (?:at|on|upon) (?:admission|arrival|presentation)",
            r"___ \(admission\)",
        ),
    ),
    Heading(
        "Discharge Exam",
        False,
        (
            f"{_LEAVING} (?:Physical )?{_EXAM}",
            f"(?:Physical )?{_EXAM} (?:at|on|upon|prior to|before) (?:the )?(?:(?:day|time) of )?{_LEAVING}",
            rf"___ \({_LEAVING}\)",
        ),
    ),
    Heading(
        "Pertinent Results",  # mostly of the stay itself
        False,
        (
            "Pertinent (?:Results|___)",
            "___ Results",
            rf"(?:\w+ )?(?:Labs?|Laboratory)(?: {_FINDINGS})?(?: (?:on|at|upon|during) [^:\n]*)?",
            rf"(?:\w+/)?(?:Imaging|Micro(?:biology)?|Radiology|Pathology|Studies)(?:(?:/| and | ){_FINDINGS})?",
        ),
    ),
    Heading("Assessment", False, ("(?:Assessment|Impression|A)(?:(?: and | & |/|&)(?:Plan|P))?", "Plan")),
    Heading(
        "Brief Hospital Course",
        False,
        (
            r"(?:(?:Brief|___) )?(?:Summary of )?(?:the )?(?:Hospital|Clinical|___) Course(?:[ /][^:\n]*)?",
            "Brief Hospital ___",
            r"(?:\w*ICU|CCU|Floor|Ward|Post-?operative) Course",
        ),
    ),
    Heading(
        "Medications on Admission",
        True,
        (
            "Med(?:ication)?s on Admission",
            "___ on Admission",
            "Medications (?:on|___) ___",
            "Pre-?admission Med(?:ication)?s?(?: list)?",
            "Admission Med(?:ication)?s",
            "Med(?:ication)?s (?:prior to|before) (?:this )?admission",
            "Home Med(?:ication)?s",
            "Med(?:ication)?s at Home",
        ),
    ),
    Heading("Transitional Issues", False, ("Transitional Issues",)),
    Heading("Active Issues", False, ("(?:Active|Acute|Chronic)(?:/\\w+)? Issues",)),
    Heading(
        "Discharge",
        False,
        (
            rf"D?ischarge (?:Med\w*|Disposition|{_DIAGNOSIS}|Condition|Instructions?|Labs?|___)(?: list)?",
            f"(?:Med(?:ication)?s|{_DIAGNOSIS}|Condition|Instructions|Imaging) (?:on|at|upon) Discharge",
            f"(?:Final|Principal) {_DIAGNOSIS}",
        ),
    ),
    Heading("Diagnosis", False, (f"(?:(?:Primary|Secondary) )?{_DIAGNOSIS}",)),
    Heading("Facility", False, ("Facility",)),
    Heading("Followup Instructions", False, ("Follow-?\\s?up (?:Instructions|___)", "___ Instructions")),
    Heading("Addendum", False, ("Addendum(?: ___)?", "Discharge Summary")),
    # Nobody can say what it was.
    Heading("Redacted", False, ("___", f"___ (?:Med(?:ication)?s|{_DIAGNOSIS}|Disposition|Condition)")),
)

KNOWN = tuple(heading.name for heading in TEMPLATE if heading.known)
ORDER = {heading.name: place for place, heading in enumerate(TEMPLATE)}

# Sub-headers inside a section.
_SIGNS = r"(?:physical|exam\w*|pe|vitals?|vs)"
_OUT = r"(?:discharge|d/c|death|expiration|transfer(?:\s+to[\w ]{1,20})?)"
_IN = r"(?:admission|admit|arrival|presentation|initial)"
_AT = r"(?:(?:at|on|upon|prior to|before|day of|time of|the)\s+)*"
_ENDS = rf"(?=\s*(?:{_SIGNS}\b|day\b|date\b|[:()\]=*\-]|$))"  # what follows the word in a sub-header, not in a sentence
# "Discharge: none" speaks of an eye or a wound.
_FINDING = (
    r"(?:no|none|not|nil|absent|negative|denies|present|scant|minimal|mild|moderate|small|copious|clear|white|yellow"
    r"|green|brown|bloody|thick|thin|watery|purulent|mucoid|serous|serosanguin\w+|mucopurulent|from|foul\S*)"
)
# A line of the exam that opens its discharge part, "DISCHARGE PHYSICAL EXAM:", "Exam on discharge (day 5):", or goes
# back to its admission part. "Discharge from the left ear", "Discharge: none", "Exam without discharge" open nothing.
EXAM_PART = re.compile(
    rf"[\W_]*(?!discharge\s*[:\-]\s*{_FINDING}\b)(?:(?:[a-z]+ ){{0,2}}?{_SIGNS}\b(?!.*\b(?:no|without|with)\b)"
    rf"[^:]{{0,30}}?\b(?:(?P<out>{_OUT})|{_IN})\b|{_AT}(?:(?P<out2>{_OUT})|{_IN})\b{_ENDS})",
    re.IGNORECASE,
)
LEAVING = ("discharge", "d/c", "death", "expiration", "transfer")
COMING = ("admi", "arrival", "presentation", "initial")
"""Words of which each such line holds one; a note is searched for these first."""

ADMISSION_LABS = re.compile(
    rf"^[\W_]*(?:{_IN}\b[^\n:]{{0,20}}\blabs?\b|labs?\b[^\n:]{{0,20}}\b(?:at|on|upon)\s+{_IN}\b)",
    re.MULTILINE | re.IGNORECASE,
)
OTHER_RESULTS = re.compile(
    r"^[\W_]*(?:discharge|d/c|interval|interim|relevant|pertinent|other|micro\w*|cultures?|imaging|studies|radiology|reports?"
    r"|pathology|ekg|ecg|echo|tte|cta?|mri|cxr|ultrasound|trend\w*)\b[^\n:]{0,40}(?::|$)",
    re.MULTILINE | re.IGNORECASE,
)
