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
from functools import lru_cache

from builders.criteria import DEFAULT, Criteria
from builders.template import ORDER, TEMPLATE

# One alternative a section, group names s0, s1, …; a remark in brackets may stand between header and colon.
_HEADER = re.compile(
    "|".join(
        rf"(?P<s{place}>(?:{'|'.join(heading.forms)})[ \t]*(?:\([^)]*\))?)" for place, heading in enumerate(TEMPLATE)
    ),
    re.IGNORECASE,
)
# What may be a header: words at the start of a line, up to a colon or by themselves, behind them perhaps a remark in
# brackets. Prose is told by its first comma, digit or full stop. Possessive, so that a line is gone over once.
_LABEL = re.compile(r"\n[ \t]{0,3}+([A-Za-z_][A-Za-z_ /&'-]{0,60}+(?:\([^)\n]{0,60}+\))?+[ \t]*+)(:|(?=\n))")

# Once one of these has begun the note tells of the stay; then only the admission medications are let through.
_COURSE = {"Brief Hospital Course", "Discharge", "Followup Instructions"}
_AFTER_COURSE = "Medications on Admission"

_EXAM = r"(?:physical|exam\w*|pe|vitals?|vs)"
_OUT = r"(?:discharge|d/c|death|expiration)"
_IN = r"(?:admission|admit|arrival|presentation|initial)"
_ENDS = rf"(?=\s*(?:{_EXAM}\b|day\b|date\b|[:(=*\-]|$))"  # what follows the word in a sub-header, not in a sentence
_AT = r"(?:(?:at|on|upon|prior to|before|day of|time of|the)\s+)*"
# A line of the exam that opens its discharge part, "DISCHARGE PHYSICAL EXAM:", "Exam on discharge (day 5):", or goes
# back to its admission part. "No discharge from the wound" and "Discharge from the left ear" open nothing.
_PART = re.compile(
    rf"[\W_]*(?:{_EXAM}\b[^:]{{0,30}}?\b(?:(?P<out>{_OUT})|{_IN})\b|{_AT}(?:(?P<out2>{_OUT})|{_IN})\b{_ENDS})",
    re.IGNORECASE,
)
_PART_WORDS = ("discharge", "d/c", "death", "expiration", "admi", "arrival", "presentation", "initial")

_ADMISSION_LABS = re.compile(
    rf"^[\W_]*(?:{_IN}\b[^\n:]{{0,20}}\blabs?\b|labs?\b[^\n:]{{0,20}}\b(?:at|on|upon)\s+{_IN}\b)",
    re.MULTILINE | re.IGNORECASE,
)
_OTHER_RESULTS = re.compile(
    r"^[\W_]*(?:discharge|d/c|interval|interim|relevant|pertinent|other|micro\w*|cultures?|imaging|studies|radiology|reports?"
    r"|pathology|ekg|ecg|echo|tte|cta?|mri|cxr|ultrasound|trend\w*)\b[^\n:]{0,40}(?::|$)",
    re.MULTILINE | re.IGNORECASE,
)


def sections(note: str) -> list[tuple[str, str]]:
    """The note's sections as (template name, text) in its own order; text before the first header is left out."""
    note = _normal(note)
    return [(name, _trimmed(note[begin:end])) for name, begin, end in _spans(note)]


def _normal(note: str) -> str:
    """With plain line breaks, and one before the first line and behind the last."""
    return "\n" + note.replace("\r\n", "\n") + "\n"


def _spans(note: str) -> list[tuple[str, int, int]]:
    """Each section's name, and where its text begins and ends."""
    headers = list(_headers(note))
    ends = [start for start, _, _ in headers[1:]] + [len(note)]
    return [(name, begin, end) for (_, begin, name), end in zip(headers, ends, strict=False)]


def _headers(note: str) -> Iterator[tuple[int, int, str]]:
    """Where each header starts, where its text begins, and the section it opens.

    Headers are written with a capital or as `___`, and with a colon. One in lower case or without its colon must stand
    after an empty line, for prose may wrap so that a line begins with such words.
    """
    for label in _LABEL.finditer(note):
        name = _named(label[1].rstrip())
        if name is None or ((not label[2] or label[1][0].islower()) and not _after_gap(note, label.start())):
            continue
        begin = label.end()
        if name == "Date of Birth":  # shares its line with the sex
            end_of_line = note.find("\n", begin)
            sex = note.find("Sex:", begin, end_of_line)
            name, begin = ("Sex", sex + len("Sex:")) if sex >= 0 else (name, begin)
        yield label.start(), begin, name


def _after_gap(note: str, line_break: int) -> bool:
    """Whether the line that ends at a line break is empty, or there is none."""
    return not note[note.rfind("\n", 0, line_break) + 1 : line_break].strip()


@lru_cache(maxsize=2**16)  # the same few headers open nearly all sections of a corpus
def _named(header: str) -> str | None:
    match = _HEADER.fullmatch(header)
    return TEMPLATE[int(str(match.lastgroup)[1:])].name if match else None


def admission_sections(note: str, criteria: Criteria = DEFAULT) -> dict[str, str]:
    """Template name → text of what was known at admission, template order, empty sections left out."""
    found: dict[str, list[str]] = {}
    in_course = False
    note = _normal(note)
    taken = {*criteria.sections, *(["Pertinent Results"] if criteria.admission_labs else [])}
    for name, begin, end in _spans(note):
        in_course = in_course or name in _COURSE
        wanted = "Physical Exam" if name == "Discharge Exam" and criteria.whole_exam else name
        if wanted not in taken or (in_course and name != _AFTER_COURSE):
            continue
        text = _trimmed(note[begin:end])
        if name == "Physical Exam" and not criteria.whole_exam:
            text = admission_exam(text)
        elif name == "Pertinent Results":
            text = admission_labs(text)
        if text and text != "___":
            found.setdefault(wanted, []).append(text)
    return {name: "\n".join(found[name]) for name in sorted(found, key=ORDER.__getitem__)}


def hospital_course(note: str) -> str:
    """What the note tells of the stay itself; '' where it has no such section."""
    return "\n".join(text for name, text in sections(note) if name == "Brief Hospital Course")


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
    kept, keep = [], True
    for line in text.split("\n"):
        start = line[:80].casefold()
        if any(word in start for word in _PART_WORDS) and (part := _PART.match(line)):
            keep = not (part["out"] or part["out2"])
        if keep:
            kept.append(line)
    return _trimmed("\n".join(kept))


def admission_labs(text: str) -> str:
    """The block of the results that is marked as admission labs; '' where none is.

    >>> admission_labs("ADMISSION LABS:\\nWBC 9\\nDISCHARGE LABS:\\nWBC 5")
    'ADMISSION LABS:\\nWBC 9'
    """
    start = _ADMISSION_LABS.search(text)
    if start is None:
        return ""
    end = _OTHER_RESULTS.search(text, start.end())
    return _trimmed(text[start.start() : end.start() if end else len(text)])


def _trimmed(text: str) -> str:
    """A text without empty lines at either end, nor spaces at a line's end; inner lines as they are."""
    return "\n".join(map(str.rstrip, text.split("\n"))).strip("\n \t")
