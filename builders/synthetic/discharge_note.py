"""A discharge note: its parts in order, its row in note/discharge.csv.gz and its rows in gold.parquet.

    parts = build_note_parts(case)     # [Part('Name', '', False), …, Part('Physical Exam', 'VS: …', True), …]
    text = join_parts(parts, rng)      # ' \\nName:  ___ …'

gold.parquet says which parts of a note were known at admission, so that an extraction can be scored
(benchmarks/sections.py):

    note_id           place  section           text             known_at_admission
    10000019-DS-3     8      Chief Complaint   Chest pain       true
    10000019-DS-3     14     Physical Exam     T 98.4 BP 132/…  true
    10000019-DS-3     15     Discharge Exam    DISCHARGE EXAM…  false

One row per part of the note, in the note's order. `text` occurs in the note verbatim (except for line ends) and is what
a perfect extraction returns: the present illness without a hospital course written into it, the exam without its
discharge part. Sections are named as in builders.cohort.headers. Parts without a sentence are left out: fixed lines of
the form, headings over an admission exam or its results, a lone `___`. Results count as known if they are marked as
those of admission. What gold holds of a note in another hospital's style stands in foreign_note.py.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import pyarrow as pa

from builders.synthetic.clinical_case import Case, Stay, build_case
from builders.synthetic.foreign_note import write_foreign_note
from builders.synthetic.generator_knowledge import Diagnosis, load_common_texts
from builders.synthetic.mimic_csv import Row, format_csv
from builders.synthetic.note_admission_sections import (
    WRAPPED,
    draw_exam_heading,
    draw_labs_heading,
    list_home_medications,
    list_past_conditions,
    withhold_title,
    wrap_lines,
    write_exam,
    write_family_history,
    write_labs,
    write_medical_history,
    write_present_illness,
    write_surgical_history,
    write_vital_signs,
)
from builders.synthetic.note_discharge_sections import (
    build_later_results,
    format_home_medications,
    get_disposition,
    write_discharge_condition,
    write_discharge_diagnosis,
    write_discharge_exam,
    write_discharge_medications,
    write_hospital_course,
    write_instructions,
    write_procedure,
)
from builders.synthetic.note_filler import USUAL_LENGTH, draw_filler
from builders.synthetic.note_layout import (
    OPTIONAL,
    REVIEW_SECTION,
    SECTION_MISSING,
    SURGICAL_SECTION,
    Part,
    add_oddities,
    join_parts,
)

Style = Literal["mimic", "foreign", "mixed"]
"""Whose notes they look like: MIMIC's template, other hospitals' notes (foreign_note.py), or half of each."""

GOLD_FILE = "gold.parquet"
STORETIME_EMPTY = 0.02
ADMISSION_EXAM_HEADED = 0.5
"""Share of exams with a heading above the admission part."""
DISCHARGE_EXAM = 0.7
"""Share of notes whose Physical Exam continues with the exam at discharge."""
TIGHT_EXAMS = 0.3
"""Share of those notes without a blank line between the two exams."""
ADMISSION_LABS_MARKED = 0.8
"""Share of notes that mark the results of admission; in the others they cannot be told apart."""

GOLD = pa.schema(
    [
        ("note_id", pa.string()),
        ("place", pa.int16()),  # of the part in its note, from 0
        ("section", pa.string()),
        ("text", pa.string()),
        ("known_at_admission", pa.bool_()),
    ]
)

GoldRow = tuple[str, int, str, str, bool]


def build_gold_rows(note_id: str, parts: Iterable[Part]) -> list[GoldRow]:
    return [
        (note_id, place, _name_section(part.name), part.text, part.known_at_admission)
        for place, part in enumerate(parts)
        if part.text not in ("", "___")
    ]


def _name_section(section: str) -> str:
    """Return the name that an extraction gives a section: 'Discharge' for 'Discharge Medications' and the like."""
    return "Discharge" if section.startswith("Discharge ") and section != "Discharge Exam" else section


def build_gold_table(rows: list[GoldRow]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [() for _ in GOLD]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, GOLD, strict=True)], GOLD)


Titles = Mapping[Diagnosis, str]


@dataclass(frozen=True, slots=True)
class BatchTables:
    """The output of one batch: lines for each table, without headers, and rows of gold."""

    tables: Mapping[str, bytes]
    gold: pa.Table
    counts: Mapping[str, int]
    chapters: Mapping[int, int] = field(default_factory=dict)
    """ICD-10 notes by the chapter of their first diagnosis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteBatch:
    """Stays of an existing copy that need notes."""

    stays: Sequence[tuple[int, Stay]]
    """(note_seq, stay)"""
    titles: Titles
    """From the copy's dictionary, for the first diagnoses of these stays."""
    seed: int
    length: int
    style: Style = "mimic"


def make_note_table(batch: NoteBatch) -> BatchTables:
    rows, gold, counts = list[Row](), list[GoldRow](), Counter[str]()
    for seq, stay in batch.stays:
        row, gold_rows = write_discharge_note(stay, batch.titles, seq, batch.seed, batch.length, batch.style)
        rows.append(row)
        gold += gold_rows
        counts["notes"] += 1
        counts[f"notes_icd{stay.first.version}"] += 1
    return BatchTables({"note/discharge": format_csv(rows)}, build_gold_table(gold), counts)


def write_discharge_note(
    stay: Stay, titles: Titles, seq: int, seed: int, length: int, style: Style = "mimic"
) -> tuple[Row, list[GoldRow]]:
    """Write a row of discharge, charted at midnight of the discharge day and stored days later, and its gold rows."""
    case = build_case(stay, titles, seed)
    if is_foreign(style, stay, seed):
        text, parts = write_foreign_note(case, length)
    else:
        parts = add_oddities(case, build_note_parts(case, length))
        text = join_parts(parts, case.rng)
    day = stay.discharged[:10]
    stored = datetime.fromisoformat(day) + timedelta(days=case.rng.randint(0, 9), minutes=case.rng.randrange(1440))
    note_id = f"{stay.subject_id}-DS-{seq}"
    storetime = "" if case.chance(STORETIME_EMPTY) else str(stored)
    row = (note_id, stay.subject_id, stay.hadm_id, "DS", seq, f"{day} 00:00:00", storetime, text)
    return row, build_gold_rows(note_id, parts)


def is_foreign(style: Style, stay: Stay, seed: int) -> bool:
    """Return whether a stay's note has another hospital's style; of `mixed` ones, half have."""
    if style == "mixed":
        return random.Random(f"{seed}/{stay.hadm_id}/style").random() < 0.5
    return style == "foreign"


def build_note_parts(case: Case, length: int = USUAL_LENGTH) -> list[Part]:
    """Build the parts in template order. `length`: mean characters over many notes."""
    condition, chance = case.condition, case.chance
    filler = draw_filler(case, length)
    past = list_past_conditions(case)
    home_medications = list_home_medications(case, filler.home_medicines)
    complaint = case.say(condition.complaint)
    vitals = write_vital_signs(case, condition.vitals)
    reflow: Callable[[str], str] = wrap_lines if chance(WRAPPED) else str

    def known_part(section: str, text: str) -> Part:
        return Part(section, reflow(withhold_title(case, text)), True)

    def later_part(section: str, text: str) -> Part:
        return Part(section, reflow(text), False)

    parts = [
        later_part("Name", ""),
        later_part("Admission Date", ""),
        known_part("Sex", case.stay.sex),
        later_part("Service", condition.service),  # of the ward that discharged
        known_part("Allergies", case.say_one_of(load_common_texts().lines["allergies"])),
        later_part("Attending", "___"),
        known_part("Chief Complaint", complaint),
        later_part("Major Surgical or Invasive Procedure", write_procedure(case)),
        known_part(
            "History of Present Illness",
            write_present_illness(case, complaint, past, vitals, filler),
        ),
    ]
    if chance(REVIEW_SECTION):
        parts.append(known_part("Review of Systems", case.say_one_of(load_common_texts().lines["review"])))
    parts.append(known_part("Past Medical History", write_medical_history(case, [*past, *filler.history])))
    if chance(SURGICAL_SECTION) and not case.is_newborn:
        parts.append(known_part("Past Surgical History", write_surgical_history(case)))
    parts += [
        known_part("Social History", "___"),
        known_part("Family History", write_family_history(case)),
        known_part("Physical Exam", write_exam(case, condition.exam, vitals))._replace(
            heading=draw_exam_heading(case) if chance(ADMISSION_EXAM_HEADED) else ""
        ),
    ]
    if case.stay.has_died or chance(DISCHARGE_EXAM):
        exam = write_discharge_exam(case, write_vital_signs(case, {}))
        parts.append(Part("Physical Exam", exam, False, is_tight=chance(TIGHT_EXAMS), is_of="Discharge Exam"))
    labs = "\n".join([write_labs(case, condition.labs), *filler.labs])
    parts.append(
        known_part("Pertinent Results", labs)._replace(heading=draw_labs_heading(case))
        if chance(ADMISSION_LABS_MARKED)
        else later_part("Pertinent Results", labs)
    )
    parts += [later_part("Pertinent Results", text) for text in build_later_results(case, filler)]
    parts += [
        later_part("Brief Hospital Course", write_hospital_course(case, filler)),
        known_part("Medications on Admission", format_home_medications(case, home_medications)),
        later_part(
            "Discharge Medications",
            write_discharge_medications(case, home_medications, filler.prescriptions),
        ),
        later_part("Discharge Disposition", get_disposition(case)),
    ]
    if get_disposition(case) == "Extended Care":
        parts.append(later_part("Facility", "___"))
    parts += [
        later_part("Discharge Diagnosis", write_discharge_diagnosis(case)),
        later_part("Discharge Condition", write_discharge_condition(case)),
        later_part("Discharge Instructions", write_instructions(case, filler.advice)),
        later_part("Followup Instructions", "___"),
    ]
    missing = {name for name in sorted(OPTIONAL) if chance(SECTION_MISSING)}
    return [part for part in parts if part.section not in missing]
