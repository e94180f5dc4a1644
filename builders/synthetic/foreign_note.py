"""A discharge note as another hospital writes it, with the parts that gold.parquet holds of it.

    text, parts = write_foreign_note(case, 4000)  # 'DISCHARGE SUMMARY…', [Part('Chief Complaint', 'Cough', True), …]

Headers, their order and the texts of the stay come from foreign_style, the findings from the case. Gold says of each
line whether it was known at admission, and is silent where a careful reader might decide either way: lines of the form,
a history under one header with the stay, histories that only point elsewhere. Sections that MIMIC's template lacks:
`Unknown` is a header that no template knows, `Later History` the sentences of a history that run on into the stay,
`Assessment` an impression that names the diagnosis.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from builders.synthetic.clinical_case import Case
from builders.synthetic.foreign_sections import (
    fill_name,
    format_medications,
    say_quiet,
    say_stay,
    write_course,
    write_course_by_system,
    write_discharge_medications,
    write_exam,
    write_family,
    write_labs,
    write_list,
    write_review,
    write_social,
    write_story,
    write_surgeries,
    write_vitals,
)
from builders.synthetic.foreign_style import Layout, UnknownEntry, draw_layout, load_lexicon
from builders.synthetic.note_admission_sections import (
    list_home_medications,
    list_past_conditions,
    withhold_title,
    wrap_lines,
)
from builders.synthetic.note_discharge_sections import write_discharge_diagnosis, write_procedure
from builders.synthetic.note_filler import draw_filler
from builders.synthetic.note_layout import Part
from builders.synthetic.unlisted_codes import find_chapter_number

# Shares of notes, higher than in reality so that a few hundred show every form
RUNS_ON = 0.08
POINTS_ELSEWHERE = 0.02
MIXED_HEADER = 0.05
COMBINED_HEADER = 0.3
VITALS_APART = 0.2
VITALS_TWICE = 0.15
"""Of those, the share with the vital signs of admission and discharge on one line."""
EXAM_CONTINUES = 0.3
"""Share of discharge exams under the header of the admission exam."""
ADDENDUM = 0.05
LEFT_OUT = {
    "Past Surgical History": 0.45, "Review of Systems": 0.4, "Social History": 0.15, "Family History": 0.2,
    "icu_course": 0.7, "procedures": 0.4, "later_results": 0.4, "discharge_labs": 0.5, "discharge_vitals": 0.5,
    "discharge_exam": 0.25, "assessment": 0.3, "Pertinent Results": 0.2,
}  # fmt: skip
UNKNOWN_HEADERS = (0, 1, 1, 2, 3)
LATE_UNKNOWN_HEADERS = (0, 0, 1, 2)

# Kind of text of the stay → its section in gold; the others are 'Discharge'.
SECTIONS = {
    **dict.fromkeys(("course", "icu_course", "postpartum", "newborn"), "Brief Hospital Course"),
    **dict.fromkeys(("discharge_exam", "discharge_vitals", "death_exam"), "Discharge Exam"),
    **dict.fromkeys(("later_results", "discharge_labs"), "Pertinent Results"),
    "procedures": "Major Surgical or Invasive Procedure",
    "assessment": "Assessment",
    "addendum": "Addendum",
}
_MARKED_AFTER = frozenset(
    {"course", "icu_course", "mixed", "discharge_exam", "discharge_vitals", "discharge_medications"}
)
"""After one of these, an exam or a list of drugs says that it is of the admission."""
_WITHOUT_AFTER_DEATH = frozenset({"discharge_medications", "instructions", "follow_up", "condition", "discharge_labs",
                                  "discharge_vitals"})  # fmt: skip


@dataclass(slots=True)
class Section:
    """What stands under one header."""

    kind: str
    header: str
    parts: list[Part]
    glue: str = "\n"


@dataclass(slots=True)
class _Writer:
    case: Case
    layout: Layout
    length: int
    texts: dict[str, Callable[[], str]] = field(default_factory=dict)
    """Section or kind of text of the stay → its text."""

    def __post_init__(self) -> None:
        case, layout = self.case, self.layout
        filler = draw_filler(case, self.length)
        past, home = list_past_conditions(case), list_home_medications(case, filler.home_medicines)
        vitals = write_vitals(case, layout)
        findings = [case.say(phrase) for phrase in case.condition.findings]
        self.texts = {
            "Chief Complaint": lambda: f"{case.say(case.condition.complaint)}.",
            "History of Present Illness": lambda: write_story(case, layout, past, vitals, filler),
            "Review of Systems": lambda: write_review(case),
            "Past Medical History": lambda: write_list(case, layout, [*past, *filler.history]),
            "Past Surgical History": lambda: write_surgeries(case, layout),
            "Social History": lambda: write_social(case),
            "Family History": lambda: write_family(case),
            "Medications on Admission": lambda: format_medications(case, layout, home),
            "Allergies": lambda: say_quiet(case, "allergies"),
            "Physical Exam": lambda: write_exam(case, layout, vitals),
            "exam_without_vitals": lambda: write_exam(case, layout, ""),
            "admission_vitals": lambda: vitals,
            "Pertinent Results": lambda: write_labs(case, layout, own=True),
            "course": lambda: write_course(case, filler),
            "icu_course": lambda: write_course_by_system(case, "by_system"),
            "newborn": lambda: write_course_by_system(case, "newborn_by_system"),
            "procedures": lambda: write_procedure(case),
            "diagnosis": lambda: write_discharge_diagnosis(case),
            "discharge_exam": lambda: say_stay(case, "discharge_exam"),
            "discharge_vitals": lambda: write_vitals(case, layout),
            "discharge_labs": lambda: write_labs(case, layout, own=False),
            "later_results": lambda: "\n".join(
                [say_stay(case, "later_results"), *findings, *filler.studies, *filler.later_labs]
            ),
            "discharge_medications": lambda: write_discharge_medications(case, layout, home),
            "death_exam": lambda: say_stay(case, "pronouncement"),
        }

    def write(self, kind: str) -> str:
        """Return a section's text, in lines of this hospital's width."""
        name = f"newborn_{kind}" if self.case.is_newborn and kind in ("condition", "instructions") else kind
        text = self.texts[kind]() if kind in self.texts else say_stay(self.case, name)
        return self.reflow(withhold_title(self.case, text) if _is_admission(kind) else text)

    def reflow(self, text: str) -> str:
        return wrap_lines(text) if self.layout.is_wrapped else text

    def write_section(self, kind: str, is_late: bool = False) -> Section:
        """Write a section; `is_late`: the hospital course stands before it."""
        lexicon = load_lexicon()
        if not _is_admission(kind):
            part = Part(SECTIONS.get(kind, "Discharge"), self.write(kind), False)
            return Section(kind, self.case.rng.choice(lexicon.stay[kind]), [part])
        wordings = (is_late and lexicon.admission_marked.get(kind)) or lexicon.admission[kind]
        section = "Physical Exam" if kind == "admission_vitals" else kind
        return Section(kind, self.case.rng.choice(wordings), [Part(section, self.write(kind), True)])


def _is_admission(kind: str) -> bool:
    return kind in load_lexicon().admission or kind == "exam_without_vitals"


def write_foreign_note(case: Case, length: int) -> tuple[str, list[Part]]:
    """Return the note and its parts with gold, in order. `length`: roughly the mean characters over many notes."""
    writer = _Writer(case, draw_layout(case.rng), length)
    kinds = _draw_order(case)
    has_stay = not {"course", "newborn", "mixed"}.isdisjoint(kinds)
    sections = [*_write_sections(writer, kinds)]
    sections = _combine(case, sections)
    if has_stay:
        _continue_exam(writer, sections)
        _run_on(writer, sections)
        sections = _add_unknown(writer, sections)
        if case.chance(POINTS_ELSEWHERE):
            _point_elsewhere(case, sections)
    text = _write_form(writer) + writer.layout.separator
    text += writer.layout.separator.join(_format_section(writer, section, n) for n, section in enumerate(sections, 1))
    parts = [part for section in sections for part in section.parts]
    return f"{text}\n".replace("\n", writer.layout.line_end), [part for part in parts if part.section]


def _draw_order(case: Case) -> list[str]:
    kinds = [kind for kind in case.rng.choice(load_lexicon().orders) if not case.chance(LEFT_OUT.get(kind, 0.02))]
    if case.is_newborn:
        without = {"Past Surgical History", "Medications on Admission", "icu_course", "Review of Systems"}
        kinds = ["newborn" if kind == "course" else kind for kind in kinds if kind not in without]
    elif find_chapter_number(case.stay.first) == 15 and case.stay.sex == "F":
        kinds = ["postpartum" if kind == "icu_course" else kind for kind in kinds]
    if case.stay.has_died:
        kinds = [
            "death_exam" if kind == "discharge_exam" else kind for kind in kinds if kind not in _WITHOUT_AFTER_DEATH
        ]
        kinds = [kind for kind in kinds if kind != "disposition"]
    if {"History of Present Illness", "course"} <= {*kinds} and case.chance(MIXED_HEADER):
        kinds = ["mixed" if kind == "History of Present Illness" else kind for kind in kinds if kind != "course"]
    if "course" in kinds and case.chance(ADDENDUM):
        kinds.append("addendum")
    return kinds


def _write_sections(writer: _Writer, kinds: list[str]) -> Iterator[Section]:
    case = writer.case
    for place, kind in enumerate(kinds):
        if kind == "mixed":
            yield Section(
                "mixed",
                case.rng.choice(load_lexicon().mixed),
                [
                    Part("", writer.write("History of Present Illness"), True),
                    Part("Brief Hospital Course", writer.write("course"), False),
                ],
            )
        elif kind == "Physical Exam" and case.chance(VITALS_APART):
            is_late = not _MARKED_AFTER.isdisjoint(kinds[:place])
            if "course" in kinds and not case.stay.has_died and case.chance(VITALS_TWICE):
                first, second = write_vitals(case, writer.layout), write_vitals(case, writer.layout)
                both = say_stay(case, "vitals_twice").replace("FIRST", first).replace("SECOND", second)
                yield Section("both_vitals", "Vital Signs", [Part("Discharge Exam", both, False)])
            else:
                yield writer.write_section("admission_vitals")
            exam = writer.write_section(kind, is_late)
            exam.parts = [exam.parts[0]._replace(text=writer.write("exam_without_vitals"))]
            yield exam
        else:
            yield writer.write_section(kind, not _MARKED_AFTER.isdisjoint(kinds[:place]))


def _combine(case: Case, sections: list[Section]) -> list[Section]:
    """Put neighbors under one header, for which the lexicon has a wording."""
    combined: list[Section] = []
    for section in sections:
        before = combined[-1] if combined else None
        headers = [header for header, pair in load_lexicon().combined if before and pair == (before.kind, section.kind)]
        if before and headers and case.chance(COMBINED_HEADER):
            parts = [part._replace(section=before.kind) for part in section.parts]
            combined[-1] = Section("combined", case.rng.choice(headers), [*before.parts, *parts])
        else:
            combined.append(section)
    return combined


def _continue_exam(writer: _Writer, sections: list[Section]) -> None:
    """Move the discharge exam under the header of the admission exam, with a line that says so."""
    exam = next((section for section in sections if section.kind == "Physical Exam"), None)
    later = next((section for section in sections if section.kind == "discharge_exam"), None)
    if exam is None or later is None or not writer.case.chance(EXAM_CONTINUES):
        return
    sections.remove(later)
    heading, text = say_stay(writer.case, "exam_continues"), later.parts[0].text
    exam.parts.append(Part("Discharge Exam", heading + writer.case.rng.choice(" \n") + text, False))
    exam.glue = writer.case.rng.choice(("\n", "\n\n"))


def _run_on(writer: _Writer, sections: list[Section]) -> None:
    """Let a history run on into the stay; its sentences begin on a line of their own."""
    case = writer.case
    story = next((section for section in sections if section.kind == "History of Present Illness"), None)
    if story is None or case.stay.has_died or case.is_newborn or not case.chance(RUNS_ON):
        return
    entries = case.rng.sample(_list_fitting(case, "runs_on"), 2 if case.chance(0.3) else 1)
    sentences = [case.say(entry.sentences[0]) for entry in entries]
    story.parts.append(Part("Later History", writer.reflow(" ".join(sentences)), False))


def _list_fitting(case: Case, place: str) -> list[UnknownEntry]:
    """List the entries that make sense for the first diagnosis."""
    chapter = find_chapter_number(case.stay.first)
    return [entry for entry in load_lexicon().unknown[place] if not entry.chapters or chapter in entry.chapters]


def _add_unknown(writer: _Writer, sections: list[Section]) -> list[Section]:
    """Add sections of the stay under headers that no template knows, some of them among those of the admission."""
    case = writer.case
    course = next(n for n, section in enumerate(sections) if section.kind in ("course", "newborn", "mixed"))
    if case.is_newborn:
        return sections
    added = list(sections)
    for place, counts, first in (("late", LATE_UNKNOWN_HEADERS, course + 1), ("anywhere", UNKNOWN_HEADERS, 1)):
        if place == "late" and case.stay.has_died:
            continue
        for entry in case.rng.sample(_list_fitting(case, place), case.rng.choice(counts)):
            text = fill_name(case, " ".join(case.say(phrase) for phrase in entry.sentences))
            part = Part("Unknown", writer.reflow(text), False)
            added.insert(case.rng.randint(first, len(added)), Section("unknown", entry.header, [part]))
    return added


def _point_elsewhere(case: Case, sections: list[Section]) -> None:
    """Replace histories and exam by a reference to another document; gold is silent on what else was known."""
    for section in sections:
        if section.kind in ("History of Present Illness", "Past Medical History", "Physical Exam"):
            section.parts = [Part("", say_quiet(case, "points_elsewhere"), True)]
        section.parts = [part._replace(section="") if part.known_at_admission else part for part in section.parts]


def _write_form(writer: _Writer) -> str:
    case = writer.case
    lines = case.rng.sample(load_lexicon().form, case.rng.randint(2, 6))
    title = [case.rng.choice(("DISCHARGE SUMMARY", "Discharge Summary", "HOSPITAL DISCHARGE LETTER"))]
    return "\n".join((title if case.chance(0.5) else []) + [f"{label}: {value}" for label, value in lines])


def _format_section(writer: _Writer, section: Section, number: int) -> str:
    header = writer.layout.format_header(section.header, number, writer.case.rng)
    return header + section.glue.join(part.text for part in section.parts)
