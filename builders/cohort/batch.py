"""Turn a batch of discharge notes into admission notes, in a worker process: the costly step of a build.

    extract_batch([(text, "I214"), …], criteria, terms={}).kept     # {place in the batch: KeptNote}

A worker starts fast: neither Arrow nor pydantic is imported here, and plain strings go in and out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from builders.cohort.criteria import Criteria, exceeds_tokens
from builders.cohort.leakage import Terms, remove_signals
from builders.cohort.section_rules import COURSE
from builders.cohort.sections import divide_note, drop_references, join_sections
from builders.cohort.unknown_headers import UnknownHeader
from deepicd.icd10cm import Code

NO_SECTION = "no admission section"
ILLNESS = "History of Present Illness"


class KeptNote(NamedTuple):
    """The columns that extraction adds to a note."""

    admission_note: str
    icd_code: str
    category: str
    chapter: int
    sections: list[tuple[str, str]]
    """(name, text), written later."""


@dataclass(slots=True)
class Extraction:
    """The notes of one batch by their place in it."""

    kept: dict[int, KeptNote] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    """The reason."""
    headers: Counter[UnknownHeader] = field(default_factory=Counter)


def extract_batch(
    notes: Iterable[tuple[str | None, str]], criteria: Criteria, terms: Mapping[str, Terms]
) -> Extraction:
    """Extract notes, given as text and icd_code. Only strict criteria need `terms`."""
    result = Extraction()
    for place, (text, icd_code) in enumerate(notes):
        code = Code.find(icd_code)
        if code is None:
            result.lost[place] = "no ICD-10-CM code"
            continue
        found, later = divide_note(text or "", criteria, result.headers)
        sections = drop_references(found)
        is_reference = ILLNESS in found and ILLNESS not in sections
        if criteria.strict and sections:
            course = "\n".join(text for name, text in later if name == COURSE)
            sections = remove_signals(sections, terms[code.value], course)
        note = join_sections(sections)
        if reason := "only a reference" if is_reference else find_reason(sections, note, criteria):
            result.lost[place] = reason
        else:
            result.kept[place] = KeptNote(note, code.value, code.category, code.chapter.number, later)
    return result


def has_required(sections: Mapping[str, str], criteria: Criteria) -> bool:
    """Return whether a note has one of the sections without which it says nothing about the admission."""
    return any(name in sections for name in criteria.required)


def find_reason(sections: Mapping[str, str], text: str, criteria: Criteria) -> str | None:
    """Return why a note of a stay with a code is excluded; None if it is kept."""
    if not has_required(sections, criteria):
        return NO_SECTION
    words = len(text.split()) if criteria.min_words or criteria.max_words else 0
    if words < criteria.min_words:
        return "too short"
    if criteria.max_words and words > criteria.max_words:
        return "too long"
    if criteria.max_tokens and exceeds_tokens(text, criteria.max_tokens, criteria.tokenizer):
        return "too many tokens"
    return None
