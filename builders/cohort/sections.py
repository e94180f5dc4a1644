"""A discharge note, cut down to what was known at admission.

    >>> note = "Chief Complaint:\\nChest pain\\n \\nBrief Hospital Course:\\nNSTEMI, stented.\\n"
    >>> extract_admission_note(note)
    'Chief Complaint:\\nChest pain'

MIMIC's notes follow a template whose headers stand at the start of a line and end in a colon; de-identification has put
`___` into some of them, and authors abbreviate. Each section is kept or cut whole, but for the physical exam, of which
only the part written at admission stays. Where words do not tell what a header opens its place does: a "primary
diagnosis" in the present illness is an old one's. What cannot be told apart is cut: a lost sentence costs less than a
diagnosis that leaks. Line breaks and lists survive.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.headers import ADMISSION_LABS, COMING, EXAM_PART, KNOWN, LEAVING, ORDER, OTHER_RESULTS, TEMPLATE

# One alternative a section, group names s0, s1, …; a remark in brackets may stand between header and colon.
_HEADER = re.compile(
    "|".join(
        rf"(?P<s{place}>(?:{'|'.join(heading.forms)})[ \t]*(?:\([^)]*\))?)" for place, heading in enumerate(TEMPLATE)
    ),
    re.IGNORECASE,
)
# What may be a header: words at the start of a line, up to a colon or by themselves, behind them perhaps a remark in
# brackets. Prose is told by its first comma, digit or full stop. Possessive, so that a line is gone over once.
_LABEL = re.compile(r"\n[ \t#*=]*+([A-Za-z_][A-Za-z_ /&'-]{0,60}+(?:\([^)\n]{0,60}+\))?+[ \t*=]*+)(?::|(?=\n))")
_SMALL_WORDS = {"of", "the", "or", "and", "on", "at"}

_COURSE = "Brief Hospital Course"
_COURSE_PLACE = ORDER[_COURSE]
# Once one of these has begun the note tells of the stay; then only the admission medications are let through.
_OF_THE_STAY = {_COURSE, "Active Issues", "Transitional Issues", "Discharge", "Followup Instructions"}
_MEDICATIONS, _DISCHARGE_EXAM = "Medications on Admission", "Discharge Exam"
# Told by the patient, in paragraphs that may open like headers.
_HISTORIES = {"History of Present Illness", "Review of Systems", "Past Medical History", "Past Surgical History"}
_UNCLEAR = {"Physical Exam", "Pertinent Results", "Diagnosis", "Redacted", "Social History", _MEDICATIONS}
_VITALS = 200  # characters; an exam header behind more than these opens a second exam
_AT_HOME = "The Preadmission Medication list"  # how the list made at admission begins

_Header = tuple[str, int, int, str]  # the section it opens, where it starts, where its text begins, its words


def split_sections(note: str) -> list[tuple[str, str]]:
    """The note's sections as (template name, text) in its own order; text before the first header is left out."""
    note = _normal(note)
    return [(name, _trimmed(note[begin:end])) for name, begin, end in _spans(note)]


def _normal(note: str) -> str:
    """With plain line breaks, and one before the first line and behind the last."""
    plain = note.replace("\r\n", "\n") if "\r" in note else note
    return f"\n{plain}\n"


def _spans(note: str) -> list[tuple[str, int, int]]:
    """Each section's name, and where its text begins and ends."""
    headers = _placed(note, list(_headers(note)))
    ends = [start for _, start, _, _ in headers[1:]] + [len(note)]
    return [(name, begin, end) for (name, _, begin, _), end in zip(headers, ends, strict=False)]


def _headers(note: str) -> Iterator[_Header]:
    """The headers by their words.

    They are written with a capital or as `___`, and with a colon, or with capitals throughout. Others must stand after
    an empty line, for prose may wrap so that a line begins with such words.
    """
    for label in _LABEL.finditer(note):
        named = _named(label[1])
        if named is None:
            continue
        name, words, capital, titled = named
        start, begin = label.span()
        if not (titled or (capital and note[begin - 1] == ":") or _after_gap(note, start)):
            continue
        if (len(words) < 5 or name == _MEDICATIONS) and name in KNOWN and "#" in note[start : label.start(1)]:
            continue  # an item of a problem list, such as "# PE"
        if name == "Date of Birth":  # shares its line with the sex
            end_of_line = note.find("\n", begin)
            sex = note.find("Sex:", begin, end_of_line)
            name, begin = ("Sex", sex + len("Sex:")) if sex >= 0 else (name, begin)
        elif name == "Pertinent Results" and "lab" in words.casefold():
            begin = label.start(1)  # which labs they are is told by the header itself
        yield name, start, begin, words


def _after_gap(note: str, line_break: int) -> bool:
    """Whether the line that ends at a line break is empty, or there is none."""
    return not note[note.rfind("\n", 0, line_break) + 1 : line_break].strip()


@lru_cache(maxsize=2**16)  # the same few headers open nearly all sections of a corpus
def _named(label: str) -> tuple[str, str, bool, bool] | None:
    """The section, the header without what surrounds it, and whether its first, or every word has a capital."""
    words = label.rstrip(" \t*=-")
    match = _HEADER.fullmatch(words)
    if match is None:
        return None
    each = words.split()
    titled = len(each) > 1 and all(word in _SMALL_WORDS or not word[0].islower() for word in each)
    return TEMPLATE[int(str(match.lastgroup)[1:])].name, words, not words[0].islower(), titled


def _placed(note: str, headers: list[_Header]) -> list[_Header]:
    """The headers with what only their place tells: lines of a history are none, a second exam is that at discharge."""
    placed: list[_Header] = []
    seen: dict[str, int] = {}  # section → where its text begins
    under = ""
    for index, header in enumerate(headers):
        name = header[0]
        if name in _UNCLEAR and (name != header[3] or name in seen or name == _MEDICATIONS or _DISCHARGE_EXAM in seen):
            there = _name_by_place(note, headers, index, under, seen)
            if there is None:
                continue
            header = (there, *header[1:])
        under = header[0]
        seen[under] = header[2]
        placed.append(header)
    return placed


def _name_by_place(note: str, headers: list[_Header], index: int, under: str, seen: dict[str, int]) -> str | None:
    """What an unclear header opens; None where it is a line of the section that it stands under."""
    name, start, begin, words = headers[index]
    words = words.casefold()
    block = note.endswith("\n ", 0, start)  # behind a line of one space, as the template's sections are
    told_by_patient = under in _HISTORIES and not block
    leaving = _has_any(words, LEAVING)
    if name == "Pertinent Results":  # among the histories, the labs of the emergency room
        return None if told_by_patient and "lab" in words and not leaving else name
    if name in KNOWN and leaving:  # "Physical Exam (discharge)"
        return _DISCHARGE_EXAM if name == "Physical Exam" else "Discharge"
    if name == "Physical Exam":
        if words == "pe" and _beside(note, begin) and not block:
            return None  # pulmonary embolism
        if _has_any(words, COMING):
            return name
        first = seen.get(name, start)
        again = _DISCHARGE_EXAM in seen or ("___" in words and first < start) or start - first > _VITALS
        return _DISCHARGE_EXAM if again else name
    told = not seen.keys().isdisjoint(_OF_THE_STAY)
    if name in (_MEDICATIONS, "Redacted") and told and note.startswith(_AT_HOME, begin + 1):
        return _MEDICATIONS
    named = "admission" in words
    if name == _MEDICATIONS and told:  # "Home medications: held at first", a paragraph of the course
        if _beside(note, begin) and not (named and block):
            return None
        if not (named or "___" in words or _after_gap(note, start)):
            return None
    if name == _MEDICATIONS and not named:
        at_the_end = "Followup Instructions" in seen and "Addendum" not in seen and name not in seen
        of_discharge = "Discharge" in seen and not at_the_end
        return "Discharge" if of_discharge or ("___" in words and name in seen) else name
    if name == "Redacted":
        return None if told_by_patient and _beside(note, begin) else name  # a dated line of a history
    if name == "Diagnosis":  # an old one, where more of what is known at admission follows
        places = (ORDER[other] for other, _, _, _ in headers[index + 1 :])
        before = told_by_patient and any(ORDER[under] < place <= ORDER[_COURSE] for place in places)
        return None if before else "Discharge"
    return "Past Medical History" if words == "___ history" and "Past Medical History" not in seen else name


def _has_any(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - any() takes three times as long, and every header is asked
        if word in text:
            return True
    return False


def _beside(note: str, begin: int) -> bool:
    """Whether text stands on the header's own line."""
    return bool(note[begin : note.find("\n", begin)].strip())


def extract_admission_sections(note: str, criteria: Criteria = DEFAULT) -> dict[str, str]:
    """Template name → text of what was known at admission, template order, empty sections left out."""
    found: dict[str, list[str]] = {}
    note = _normal(note)
    taken = {*criteria.sections, *(["Pertinent Results"] if criteria.admission_labs else [])}
    spans = _spans(note)
    # Of several hospital courses the last is the note's own. One quoted before it, of another hospital, is cut, but not
    # the sections behind it that go on in the template's order.
    own_course = max((index for index, span in enumerate(spans) if span[0] == _COURSE), default=-1)
    told, reached = False, -1
    for index, (name, begin, end) in enumerate(spans):
        told = told or name in _OF_THE_STAY
        if index < own_course:
            if reached < ORDER[name] < _COURSE_PLACE:
                reached = ORDER[name]
            elif told and name not in (_MEDICATIONS, spans[index - 1][0]):
                continue
        elif told and name != _MEDICATIONS:
            continue
        wanted = "Physical Exam" if criteria.whole_exam and name == _DISCHARGE_EXAM else name
        if wanted not in taken:
            continue
        text = note[begin:end]
        if name == _MEDICATIONS and told:
            text = text.partition("\n#")[0]  # a problem of the hospital course
        if name == "Physical Exam" and not criteria.whole_exam:
            text = extract_admission_exam(text)
        else:
            text = extract_admission_labs(text) if name == "Pertinent Results" else _trimmed(text)
        if text and text != "___":
            found.setdefault(wanted, []).append(text)
    return {name: "\n".join(found[name]) for name in sorted(found, key=ORDER.__getitem__)}


def extract_hospital_course(note: str) -> str:
    """What the note tells of the stay itself; '' where it has no such section."""
    return "\n".join(text for name, text in split_sections(note) if name == "Brief Hospital Course")


def extract_admission_note(note: str) -> str:
    """The admission sections as one text, each under its header."""
    return join_sections(extract_admission_sections(note))


def join_sections(parts: dict[str, str]) -> str:
    return "\n\n".join(f"{name}:\n{text}" for name, text in parts.items())


def extract_admission_exam(text: str) -> str:
    """The admission part of a physical exam: all but what stands under a discharge sub-header.

    >>> extract_admission_exam("ADMISSION EXAM:\\nHR 110\\nDISCHARGE EXAM (day 5):\\nHR 70")
    'ADMISSION EXAM:\\nHR 110'
    """
    folded = text.casefold()
    if not _has_any(folded, LEAVING):
        return _trimmed(text)
    kept, keep = [], True
    for line in text.split("\n"):
        start = line[:80].casefold()
        if (_has_any(start, LEAVING) or _has_any(start, COMING)) and (part := EXAM_PART.match(line)):
            keep = not (part["out"] or part["out2"])
        if keep:
            kept.append(line)
    return _trimmed("\n".join(kept))


def extract_admission_labs(text: str) -> str:
    """The block of the results that is marked as admission labs; '' where none is.

    >>> extract_admission_labs("ADMISSION LABS:\\nWBC 9\\nDISCHARGE LABS:\\nWBC 5")
    'ADMISSION LABS:\\nWBC 9'
    """
    start = ADMISSION_LABS.search(text)
    if start is None:
        return ""
    end = OTHER_RESULTS.search(text, start.end())
    return _trimmed(text[start.start() : end.start() if end else len(text)])


def _trimmed(text: str) -> str:
    """A text without empty lines at either end, nor blanks at a line's end; inner lines as they are."""
    text = text.strip("\n \t")
    return "\n".join(map(str.rstrip, text.split("\n"))) if " \n" in text or "\t\n" in text else text
