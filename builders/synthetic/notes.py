"""A discharge note: its parts, and the text they are joined to.

A part knows its section and whether it was known at admission, so that an extraction can be scored against parts.

    parts = note_parts(case)     # [Part('Name', '', False), …, Part('Physical Exam', 'VS: …', True), …]
    text = written(parts, rng)   # ' \\nName:  ___ …'; holds each part's text verbatim, in this order
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from builders.synthetic import admission, outcome
from builders.synthetic.case import Case, common
from builders.synthetic.headers import (
    CARRIAGE_RETURNS,
    OPTIONAL,
    REVIEW_SECTION,
    SECTION_MISSING,
    SEPARATOR_LOST,
    SURGICAL_SECTION,
    header,
)

ADMISSION_EXAM_HEADED = 0.5
"""Share of exams with a heading over the admission part."""
DISCHARGE_EXAM = 0.7
"""Share of notes whose Physical Exam goes on with the exam at discharge."""
TIGHT_EXAMS = 0.3
"""Share of those without a blank line between the two."""
DISCHARGE_LABS = 0.4


class Part(NamedTuple):
    section: str
    """One of headers.TEMPLATE; neighbours of one section stand under one header."""
    text: str
    known_at_admission: bool
    tight: bool = False
    """Whether it follows a neighbour of its section without a blank line."""


def note_parts(case: Case) -> list[Part]:
    """The note in the order of the template."""
    condition, chance = case.condition, case.chance
    past, at_home = admission.histories(case), admission.medications(case)
    complaint = case.say(condition.complaint)
    vitals = admission.vital_signs(case, condition.vitals)
    shape: Callable[[str], str] = admission.wrapped if chance(admission.WRAPPED) else str

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
        later("Major Surgical or Invasive Procedure", outcome.procedure(case)),
        known("History of Present Illness", admission.present_illness(case, complaint, past, vitals)),
    ]
    if chance(REVIEW_SECTION):
        parts.append(known("Review of Systems", case.one_of(common().lines["review"])))
    parts.append(known("Past Medical History", admission.medical_history(case, past)))
    if chance(SURGICAL_SECTION) and not case.newborn:
        parts.append(known("Past Surgical History", admission.surgical_history(case)))
    parts += [
        known("Social History", "___"),
        known("Family History", admission.family_history(case)),
        known("Physical Exam", _admission_exam(case, vitals)),
        *([_discharge_exam(case)] if case.stay.died or chance(DISCHARGE_EXAM) else []),
        known("Pertinent Results", "ADMISSION LABS:\n" + admission.laboratory(case, condition.labs)),
    ]
    if found := outcome.findings(case):
        parts.append(later("Pertinent Results", found))
    if chance(DISCHARGE_LABS) and not case.stay.died:
        parts.append(later("Pertinent Results", outcome.discharge_labs(case)))
    parts += [
        later("Brief Hospital Course", outcome.hospital_course(case)),
        known("Medications on Admission", _preadmission(case, at_home)),
        later("Discharge Medications", outcome.discharge_medications(case, at_home)),
        later("Discharge Disposition", outcome.disposition(case)),
    ]
    if outcome.disposition(case) == "Extended Care":
        parts.append(later("Facility", "___"))
    parts += [
        later("Discharge Diagnosis", outcome.discharge_diagnosis(case)),
        later("Discharge Condition", outcome.discharge_condition(case)),
        later("Discharge Instructions", outcome.instructions(case)),
        later("Followup Instructions", "___"),
    ]
    missing = {name for name in sorted(OPTIONAL) if chance(SECTION_MISSING)}
    return [part for part in parts if part.section not in missing]


def written(parts: Sequence[Part], rng: random.Random) -> str:
    """The note as one text. Blocks are parted by a line of one space; Family History follows without one."""
    text = [" \n"]
    before = ""
    for part in parts:
        if part.section == before:
            text.append(("\n" if part.tight else "\n\n") + part.text)
            continue
        if before:
            tight = part.section == "Family History" or rng.random() < SEPARATOR_LOST
            text.append("\n" if tight else "\n \n")
        text += [header(part.section, rng), part.text]
        before = part.section
    text.append("\n")
    whole = "".join(text)
    return whole.replace("\n", "\r\n") if rng.random() < CARRIAGE_RETURNS else whole


def _admission_exam(case: Case, vitals: str) -> str:
    exam = admission.examination(case, case.condition.exam, vitals)
    if not case.chance(ADMISSION_EXAM_HEADED):
        return exam
    heading = case.rng.choice(
        ("ADMISSION PHYSICAL EXAM:", "ADMISSION EXAM:", "Admission PE:", "On admission:", "ADMISSION PHYSICAL EXAM:\n")
    )
    return f"{heading}\n{exam}"


def _discharge_exam(case: Case) -> Part:
    exam = outcome.discharge_exam(case, admission.vital_signs(case, {}))
    return Part("Physical Exam", exam, False, tight=case.chance(TIGHT_EXAMS))


def _preadmission(case: Case, at_home: list[str]) -> str:
    if not at_home:
        return "None"
    remark = "The Preadmission Medication list is accurate and complete.\n" if case.chance(0.6) else ""
    return remark + outcome.numbered(at_home)


def _withheld(case: Case, text: str) -> str:
    """The text with the first diagnosis's title blanked, as de-identification blanks a name.

    Only titles of a common word or two (R11.0 'Nausea') ever turn up here, in a review of systems.
    """
    if case.title.lower() not in text.lower():
        return text
    return re.sub(re.escape(case.title), "___", text, flags=re.IGNORECASE)
