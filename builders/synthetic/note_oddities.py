"""Depart from the template as real notes do, in ways that mislead a parser of headers.

Rates are shares of notes, higher than in reality so that a copy of a few thousand shows each oddity. Variants of a
single header are in note_template.py, those of a section's text in the note_*_sections modules.
"""

from collections.abc import Callable, Sequence

from builders.synthetic import note_discharge_sections
from builders.synthetic.clinical_case import Case
from builders.synthetic.note_template import Part

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
