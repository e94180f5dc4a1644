"""Cut a discharge note down to what was known at admission.

    >>> note = "Chief Complaint:\\nChest pain\\n \\nBrief Hospital Course:\\nNSTEMI, stented.\\n"
    >>> extract_admission_note(note)
    'Chief Complaint:\\nChest pain'

MIMIC's notes follow a template whose headers stand at the start of a line and end in a colon; de-identification has put
`___` into some of them, and authors abbreviate. Each section is kept or cut whole, except that only the part of the
physical exam written at admission stays. Ambiguous headers are decided by builders.cohort.section_rules. In doubt, text
is cut: losing a sentence costs less than leaking a diagnosis. Line breaks and lists survive.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.headers import (
    ADMISSION_LABS,
    ADMISSION_WORDS,
    DISCHARGE_WORDS,
    EXAM_PART,
    KNOWN,
    ORDER,
    OTHER_RESULTS,
    TEMPLATE,
)
from builders.cohort.section_rules import (
    ABOUT_THE_STAY,
    AMBIGUOUS,
    COURSE,
    DISCHARGE_EXAM,
    EXAM,
    MEDICATIONS,
    Header,
    Place,
    contains_any,
    find_rule,
    follows_empty_line,
)

# One alternative per section, groups s0, s1, …; a remark in brackets may stand between header and colon.
_HEADER = re.compile(
    "|".join(
        rf"(?P<s{place}>(?:{'|'.join(heading.forms)})[ \t]*(?:\([^)]*\))?)" for place, heading in enumerate(TEMPLATE)
    ),
    re.IGNORECASE,
)
# What may be a header: words at the start of a line, followed by a colon or alone on it, perhaps with a remark in
# brackets. The first comma, digit or full stop gives prose away. Possessive, so that each line is scanned once.
_LABEL = re.compile(r"\n[ \t#*=]*+([A-Za-z_][A-Za-z_ /&'-]{0,60}+(?:\([^)\n]{0,60}+\))?+[ \t*=]*+)(?::|(?=\n))")
_SMALL_WORDS = {"of", "the", "or", "and", "on", "at"}
_COURSE_PLACE = ORDER[COURSE]


# A plain tuple: with some thirty headers per note, creating named ones would be a third of the run time.
_Span = tuple[str, int, int]  # section, where its text begins and ends


def split_sections(note: str) -> list[tuple[str, str]]:
    """Return the note's sections as (template name, text) in its own order, without text before the first header."""
    note = _normalize(note)
    return [(name, _trim(note[begin:end])) for name, begin, end in _find_spans(note)]


def extract_admission_sections(note: str, criteria: Criteria = DEFAULT) -> dict[str, str]:
    """Return template name → text of what was known at admission, in template order, without empty sections."""
    note = _normalize(note)
    texts: dict[str, list[str]] = {}
    for name, begin, end, is_about_the_stay in _find_known_spans(_find_spans(note)):
        name = EXAM if criteria.whole_exam and name == DISCHARGE_EXAM else name
        if name not in criteria.sections and not (criteria.admission_labs and name == "Pertinent Results"):
            continue
        text = note[begin:end]
        if name == MEDICATIONS and is_about_the_stay:
            text = text.partition("\n#")[0]  # a problem of the hospital course
        if name == EXAM and not criteria.whole_exam:
            text = extract_admission_exam(text)
        else:
            text = extract_admission_labs(text) if name == "Pertinent Results" else _trim(text)
        if text and text != "___":
            texts.setdefault(name, []).append(text)
    return {name: "\n".join(texts[name]) for name in sorted(texts, key=ORDER.__getitem__)}


def extract_hospital_course(note: str) -> str:
    """Return the note's hospital course; '' if it has none."""
    return "\n".join(text for name, text in split_sections(note) if name == COURSE)


def extract_admission_note(note: str) -> str:
    """Return the admission sections as one text, each under its header."""
    return join_sections(extract_admission_sections(note))


def join_sections(sections: dict[str, str]) -> str:
    """Return sections as one text, each under its header."""
    return "\n\n".join(f"{name}:\n{text}" for name, text in sections.items())


def extract_admission_exam(text: str) -> str:
    """Return a physical exam without what stands under a discharge sub-header.

    >>> extract_admission_exam("ADMISSION EXAM:\\nHR 110\\nDISCHARGE EXAM (day 5):\\nHR 70")
    'ADMISSION EXAM:\\nHR 110'
    """
    if not contains_any(text.casefold(), DISCHARGE_WORDS):
        return _trim(text)
    lines, is_kept = [], True
    for line in text.split("\n"):
        start = line[:80].casefold()
        if (contains_any(start, DISCHARGE_WORDS) or contains_any(start, ADMISSION_WORDS)) and (
            part := EXAM_PART.match(line)
        ):
            is_kept = not (part["out"] or part["out2"])
        if is_kept:
            lines.append(line)
    return _trim("\n".join(lines))


def extract_admission_labs(text: str) -> str:
    """Return the block of the results that is marked as admission labs; '' if none is.

    >>> extract_admission_labs("ADMISSION LABS:\\nWBC 9\\nDISCHARGE LABS:\\nWBC 5")
    'ADMISSION LABS:\\nWBC 9'
    """
    start = ADMISSION_LABS.search(text)
    if start is None:
        return ""
    end = OTHER_RESULTS.search(text, start.end())
    return _trim(text[start.start() : end.start() if end else len(text)])


def _find_known_spans(spans: list[_Span]) -> Iterator[tuple[str, int, int, bool]]:
    """Yield the sections that may be from the admission, and whether a section about the stay precedes them.

    If there are several hospital courses, the last one is this stay's. An earlier one, quoted from another hospital, is
    cut, but the sections after it that continue in the template's order are kept.
    """
    own_course = max((index for index, span in enumerate(spans) if span[0] == COURSE), default=-1)
    is_about_the_stay, reached = False, -1
    for index, (name, begin, end) in enumerate(spans):
        is_about_the_stay = is_about_the_stay or name in ABOUT_THE_STAY
        if index < own_course:
            if reached < ORDER[name] < _COURSE_PLACE:
                reached = ORDER[name]
            elif is_about_the_stay and name not in (MEDICATIONS, spans[index - 1][0]):
                continue
        elif is_about_the_stay and name != MEDICATIONS:
            continue
        yield name, begin, end, is_about_the_stay


def _normalize(note: str) -> str:
    """Return the note with plain line breaks, and one before the first line and after the last."""
    plain = note.replace("\r\n", "\n") if "\r" in note else note
    return f"\n{plain}\n"


def _find_spans(note: str) -> list[_Span]:
    headers = _decide_headers(note, list(_find_headers(note)))
    ends = [start for _, start, _, _ in headers[1:]] + [len(note)]
    return [(name, begin, end) for (name, _, begin, _), end in zip(headers, ends, strict=False)]


def _find_headers(note: str) -> Iterator[Header]:
    """Yield the headers by their words alone.

    They begin with a capital or `___` and end in a colon, or have capitals throughout. Others must follow an empty
    line: wrapped prose may begin a line with the same words.
    """
    for label in _LABEL.finditer(note):
        match = _match_header(label[1])
        if match is None:
            continue
        name, words, has_capital, is_title = match
        start, begin = label.span()
        if not (is_title or (has_capital and note[begin - 1] == ":") or follows_empty_line(note, start)):
            continue
        if (len(words) < 5 or name == MEDICATIONS) and name in KNOWN and "#" in note[start : label.start(1)]:
            continue  # an item of a problem list, such as "# PE"
        if name == "Date of Birth":  # shares its line with the sex
            end_of_line = note.find("\n", begin)
            sex = note.find("Sex:", begin, end_of_line)
            name, begin = ("Sex", sex + len("Sex:")) if sex >= 0 else (name, begin)
        elif name == "Pertinent Results" and "lab" in words.casefold():
            begin = label.start(1)  # the header itself says which labs they are
        yield name, start, begin, words


@lru_cache(maxsize=2**16)  # the same few headers open nearly all sections of a corpus
def _match_header(label: str) -> tuple[str, str, bool, bool] | None:
    """Return section, bare header, and whether its first word and whether all its words have a capital."""
    words = label.rstrip(" \t*=-")
    match = _HEADER.fullmatch(words)
    if match is None:
        return None
    parts = words.split()
    is_title = len(parts) > 1 and all(word in _SMALL_WORDS or not word[0].islower() for word in parts)
    return TEMPLATE[int(str(match.lastgroup)[1:])].name, words, not words[0].islower(), is_title


def _decide_headers(note: str, headers: list[Header]) -> list[Header]:
    """Return the headers with ambiguous ones decided by their place, and without those that are lines of a section."""
    decided: list[Header] = []
    seen: dict[str, int] = {}  # section → where its text begins
    under = ""
    for index, (name, start, begin, words) in enumerate(headers):
        if name in AMBIGUOUS and (name != words or name in seen or name == MEDICATIONS or DISCHARGE_EXAM in seen):
            place = Place(note, name, words.casefold(), start, begin, under, seen, headers[index + 1 :])
            if rule := find_rule(place):
                if rule.opens is None:
                    continue
                name = rule.opens
        under = name
        seen[name] = begin
        decided.append((name, start, begin, words))
    return decided


def _trim(text: str) -> str:
    """Return a text without empty lines at either end or blanks at line ends; inner lines stay as they are."""
    text = text.strip("\n \t")
    return "\n".join(map(str.rstrip, text.split("\n"))) if " \n" in text or "\t\n" in text else text
