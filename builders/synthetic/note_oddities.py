"""How real notes depart from the template, in ways that mislead whoever reads them by their headers.

Rates are shares of notes, higher than in life so that a copy of some thousands shows each. What a single header may
suffer stands in headers.py, what belongs to a section's own text in admission.py, notes.py and outcome.py.
"""

from collections.abc import Callable, Sequence

from builders.synthetic import note_discharge_sections
from builders.synthetic.clinical_case import Case
from builders.synthetic.discharge_note import Part

COURSE_INSIDE = 0.01
"""A hospital course stands inside the present illness, the exam or the results."""
ONLY_DISCHARGE_EXAM = 0.015
"""The exam is that of the discharge alone; of notes that have one."""
SECTION_TWICE = 0.01
"""A section comes in two halves, each under its header."""
DISCHARGE_AS_FINDING = 0.02
"""The admission exam speaks of a discharge that is a finding."""
ENDS_EARLY = 0.005
"""The note breaks off after a section that was known at admission."""
MEDICATIONS_LAST = 0.005
"""The admission medications end the note."""
ADDENDUM = 0.015
"""Something is added below the end."""

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


def with_oddities(case: Case, parts: Sequence[Part]) -> list[Part]:
    """The parts as somebody in a hurry might have left them."""
    changed = list(parts)
    for change, rate in _CHANGES:
        if case.chance(rate):
            changed = change(case, changed)
    return changed


def _course_inside(case: Case, parts: list[Part]) -> list[Part]:
    section = case.rng.choice(
        ("History of Present Illness", "History of Present Illness", "Physical Exam", "Pertinent Results")
    )
    places = [place for place, part in enumerate(parts) if part.section == section and part.known_at_admission]
    if not places:
        return parts
    text = f"{case.rng.choice(_COURSE_HEADINGS)}\n{note_discharge_sections.short_course(case)}"
    course = Part(section, text, False, tight=case.chance(0.3), is_of="Brief Hospital Course")
    return [*parts[: places[-1] + 1], course, *parts[places[-1] + 1 :]]


def _only_discharge_exam(case: Case, parts: list[Part]) -> list[Part]:
    if not any(part.name == "Discharge Exam" for part in parts):
        return parts
    return [part for part in parts if part.name != "Physical Exam"]


def _section_twice(case: Case, parts: list[Part]) -> list[Part]:
    """A list or some paragraphs, cut between two lines."""
    section = case.rng.choice(("History of Present Illness", "Past Medical History", "Medications on Admission"))
    gap = "\n\n" if section == "History of Present Illness" else "\n"
    place = next((place for place, part in enumerate(parts) if part.section == section and gap in part.text), None)
    if place is None:
        return parts
    first, second = (half.strip("\n") for half in parts[place].text.split(gap, 1))
    halves = [parts[place]._replace(text=first), parts[place]._replace(text=second, own_header=True)]
    return [*parts[:place], *halves, *parts[place + 1 :]]


def _discharge_as_finding(case: Case, parts: list[Part]) -> list[Part]:
    finding = case.rng.choice(_FINDINGS)
    if case.condition.telling.search(finding):
        return parts
    return [part._replace(text=f"{part.text}\n{finding}") if part.name == "Physical Exam" else part for part in parts]


def _ends_early(case: Case, parts: list[Part]) -> list[Part]:
    last = case.rng.choice(_LAST_SECTIONS)
    end = max((place for place, part in enumerate(parts, 1) if part.section == last), default=len(parts))
    return parts[:end]


def _medications_last(case: Case, parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: part.section == "Medications on Admission")  # stable: the others stay


def _addendum(case: Case, parts: list[Part]) -> list[Part]:
    return [*parts, Part("Addendum", note_discharge_sections.addendum(case), False)]


_CHANGES: tuple[tuple[Change, float], ...] = (
    (_only_discharge_exam, ONLY_DISCHARGE_EXAM),
    (_discharge_as_finding, DISCHARGE_AS_FINDING),
    (_course_inside, COURSE_INSIDE),
    (_section_twice, SECTION_TWICE),
    (_medications_last, MEDICATIONS_LAST),
    (_ends_early, ENDS_EARLY),
    (_addendum, ADDENDUM),
)
