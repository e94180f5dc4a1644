"""A discharge note: its parts, and the text they are joined to.

A part knows its section and whether it was known at admission, so that an extraction can be scored against parts.

    parts = note_parts(case)     # [Part('Name', '', False), …, Part('Physical Exam', 'VS: …', True), …]
    text = written(parts, rng)   # ' \\nName:  ___ …'; holds each part's text verbatim, in this order
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from builders.synthetic import note_admission_sections, note_discharge_sections
from builders.synthetic.clinical_case import Case, common
from builders.synthetic.note_filler import USUAL_LENGTH, Surplus, surplus
from builders.synthetic.note_template import (
    CARRIAGE_RETURNS,
    HEADER_TWICE,
    OPTIONAL,
    REVIEW_SECTION,
    SECTION_MISSING,
    SEPARATOR_LOST,
    SURGICAL_SECTION,
    VALUE_BESIDE,
    header,
)

ADMISSION_EXAM_HEADED = 0.5
"""Share of exams with a heading over the admission part."""
DISCHARGE_EXAM = 0.7
"""Share of notes whose Physical Exam goes on with the exam at discharge."""
TIGHT_EXAMS = 0.3
"""Share of those without a blank line between the two."""
ADMISSION_LABS_MARKED = 0.8
"""Share of notes that say which results are those of admission; of the others nobody can tell."""
DISCHARGE_LABS = 0.4


class Part(NamedTuple):
    section: str
    """One of headers.TEMPLATE: what it stands under. Neighbours of one section share a header."""
    text: str
    known_at_admission: bool
    tight: bool = False
    """Whether it follows a neighbour of its section without a blank line."""
    is_of: str | None = None
    """The section whose matter it is, where it stands under another's header."""
    own_header: bool = False
    """Whether its section's header is written again."""
    heading: str = ""
    """A line of its own below the header, no part of the text: 'ADMISSION EXAM:'."""

    @property
    def name(self) -> str:
        """The section as an extraction should call it."""
        return self.is_of or self.section


def note_parts(case: Case, length: int = USUAL_LENGTH) -> list[Part]:
    """The note in the order of the template, `length` characters long on the average over many notes."""
    condition, chance = case.condition, case.chance
    more = surplus(case, length)
    past, at_home = (
        note_admission_sections.histories(case),
        note_admission_sections.medications(case, more.home_medicines),
    )
    complaint = case.say(condition.complaint)
    vitals = note_admission_sections.vital_signs(case, condition.vitals)
    shape: Callable[[str], str] = note_admission_sections.wrapped if chance(note_admission_sections.WRAPPED) else str

    def known(section: str, text: str) -> Part:
        return Part(section, shape(_withheld(case, text)), True)

    def later(section: str, text: str) -> Part:
        return Part(section, shape(text), False)

    parts = [
        later("Name", ""),
        later("Admission Date", ""),
        known("Sex", case.stay.sex),
        later("Service", condition.service),  # of the ward that discharged
        known("Allergies", case.one_of(common().lines["allergies"])),
        later("Attending", "___"),
        known("Chief Complaint", complaint),
        later("Major Surgical or Invasive Procedure", note_discharge_sections.procedure(case)),
        known(
            "History of Present Illness", note_admission_sections.present_illness(case, complaint, past, vitals, more)
        ),
    ]
    if chance(REVIEW_SECTION):
        parts.append(known("Review of Systems", case.one_of(common().lines["review"])))
    parts.append(known("Past Medical History", note_admission_sections.medical_history(case, [*past, *more.history])))
    if chance(SURGICAL_SECTION) and not case.newborn:
        parts.append(known("Past Surgical History", note_admission_sections.surgical_history(case)))
    parts += [
        known("Social History", "___"),
        known("Family History", note_admission_sections.family_history(case)),
        known("Physical Exam", note_admission_sections.examination(case, condition.exam, vitals))._replace(
            heading=_one_of(case, _ADMISSION_EXAMS) if chance(ADMISSION_EXAM_HEADED) else ""
        ),
    ]
    if case.stay.died or chance(DISCHARGE_EXAM):
        exam = note_discharge_sections.discharge_exam(case, note_admission_sections.vital_signs(case, {}))
        parts.append(Part("Physical Exam", exam, False, tight=chance(TIGHT_EXAMS), is_of="Discharge Exam"))
    labs = "\n".join([note_admission_sections.laboratory(case, condition.labs), *more.labs])
    parts.append(
        known("Pertinent Results", labs)._replace(heading=_one_of(case, _ADMISSION_LABS))
        if chance(ADMISSION_LABS_MARKED)
        else later("Pertinent Results", labs)
    )
    parts += [later("Pertinent Results", text) for text in _later_results(case, more)]
    parts += [
        later("Brief Hospital Course", note_discharge_sections.hospital_course(case, more)),
        known("Medications on Admission", _preadmission(case, at_home)),
        later(
            "Discharge Medications", note_discharge_sections.discharge_medications(case, at_home, more.prescriptions)
        ),
        later("Discharge Disposition", note_discharge_sections.disposition(case)),
    ]
    if note_discharge_sections.disposition(case) == "Extended Care":
        parts.append(later("Facility", "___"))
    parts += [
        later("Discharge Diagnosis", note_discharge_sections.discharge_diagnosis(case)),
        later("Discharge Condition", note_discharge_sections.discharge_condition(case)),
        later("Discharge Instructions", note_discharge_sections.instructions(case, more.advice)),
        later("Followup Instructions", "___"),
    ]
    missing = {name for name in sorted(OPTIONAL) if chance(SECTION_MISSING)}
    return [part for part in parts if part.section not in missing]


def written(parts: Sequence[Part], rng: random.Random) -> str:
    """The note as one text. Blocks are parted by a line of one space; Family History follows without one."""
    text = [" \n"]
    before = ""
    for part in parts:
        if part.section == before and not part.own_header:
            text += ["\n" if part.tight else "\n\n", part.heading, part.text]
            continue
        if before:
            tight = part.section == "Family History" or rng.random() < SEPARATOR_LOST
            text.append("\n" if tight else "\n \n")
        if rng.random() < HEADER_TWICE and part.section in OPTIONAL:
            text.append(f"{part.section}:\n")
        first = header(part.section, rng)
        if first.endswith(":\n") and rng.random() < VALUE_BESIDE:
            first = f"{first[:-1]} "
        text += [first, part.heading, part.text]
        before = part.section
    if not parts[-1].known_at_admission:  # a note that breaks off has no last line end either
        text.append("\n")
    whole = "".join(text)
    return whole.replace("\n", "\r\n") if rng.random() < CARRIAGE_RETURNS else whole


_ADMISSION_EXAMS = (
    "ADMISSION PHYSICAL EXAM:",
    "ADMISSION EXAM:",
    "Admission PE:",
    "On admission:",
    "ADMISSION PHYSICAL EXAM:\n",
    "PHYSICAL EXAM ON ADMISSION:",
    "ADMISSION EXAM\n==============",
)
_ADMISSION_LABS = ("ADMISSION LABS:", "ADMISSION LABS", "LABS ON ADMISSION:", "Admission labs:", "ADMISSION LABS:\n")


def _one_of(case: Case, headings: tuple[str, ...]) -> str:
    return f"{case.rng.choice(headings)}\n"


def _later_results(case: Case, more: Surplus) -> list[str]:
    """Results of the stay, block by block, each under a heading."""
    blocks = []
    if more.later_labs:
        blocks.append(
            "\n".join([case.rng.choice(("INTERVAL LABS:", "OTHER LABS:", "LABS DURING STAY:")), *more.later_labs])
        )
    if found := note_discharge_sections.findings(case, more.studies):
        blocks.append(found)
    if case.chance(DISCHARGE_LABS) and not case.stay.died:
        blocks.append(note_discharge_sections.discharge_labs(case))
    return blocks


def _preadmission(case: Case, at_home: list[str]) -> str:
    if not at_home:
        return "None"
    remark = "The Preadmission Medication list is accurate and complete.\n" if case.chance(0.6) else ""
    return remark + note_discharge_sections.numbered(at_home)


def _withheld(case: Case, text: str) -> str:
    """The text with the first diagnosis's title blanked, as de-identification blanks a name.

    Only titles of a common word or two (R11.0 'Nausea') ever turn up here, in a review of systems.
    """
    if case.title.lower() not in text.lower():
        return text
    return re.sub(re.escape(case.title), "___", text, flags=re.IGNORECASE)
