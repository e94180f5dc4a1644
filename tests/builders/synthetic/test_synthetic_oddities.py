"""How notes depart from the template: each way occurs in a copy of some thousands, at about its rate."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from builders.synthetic import note_layout
from builders.synthetic.admissions import DUPLICATED, ORGAN_DONOR
from builders.synthetic.diagnosis_sampling import FirstDiagnosisSampler
from builders.synthetic.discharge_note import GoldRow, write_discharge_note
from builders.synthetic.note_admission_sections import COLON_PARAGRAPH, HEADER_IN_PROSE, LIST_WITH_BLANK_LINES
from builders.synthetic.patients import Person, draw_people, plan_batches

HEADER_FORMS = [
    (section, form) for section, forms in note_layout.FORMS.items() if section != "Addendum" for form in forms
]


@dataclass(frozen=True)
class Note:
    text: str
    gold: list[GoldRow]

    def parts(self, section: str) -> list[str]:
        return [text for _, _, name, text, _ in self.gold if name == section]

    def before(self, text: str) -> str:
        """What stands in the note before a part."""
        plain = self.text.replace("\r\n", "\n")
        return plain[: plain.rindex(text)]


@pytest.fixture(scope="module")
def persons() -> list[Person]:
    """Those of two batches: about 4,100 admissions and 2,500 notes."""
    return [person for batch in plan_batches(4096, seed=7) for person in draw_people(batch)]


@pytest.fixture(scope="module")
def notes(persons) -> list[Note]:
    """Of the usual length."""
    made = (write_discharge_note(stay, {}, seq, 7, 4000) for person in persons for seq, stay in person.notes)
    return [Note(str(row[7]), gold) for row, gold in made]


def share(notes: list[Note], which: list[bool]) -> float:
    return sum(which) / len(notes)


def about(rate: float) -> object:
    """Half to one and a half times as often: with 2,500 notes a rate of 1 % comes out between."""
    return pytest.approx(rate, rel=0.5)


@pytest.mark.parametrize(("section", "form"), HEADER_FORMS)
def test_every_form_of_a_header_occurs(notes, section, form):
    assert any(re.search(rf"^{re.escape(form)}:?", note.text, re.MULTILINE) for note in notes)


def test_a_hospital_course_stands_inside_another_section(notes):
    twice = [len(note.parts("Brief Hospital Course")) == 2 for note in notes]
    assert share(notes, twice) == about(note_layout.COURSE_INSIDE)
    inside = [note.parts("Brief Hospital Course")[0] for note, found in zip(notes, twice, strict=True) if found]
    assert all(re.match(r"(?:Brief )?(?:M?ICU |Hospital )Course", text, re.IGNORECASE) for text in inside)


def test_some_exams_are_of_the_discharge_alone(notes):
    with_one = [note for note in notes if note.parts("Discharge Exam")]
    alone = [not note.parts("Physical Exam") for note in with_one]
    assert share(with_one, alone) == about(note_layout.ONLY_DISCHARGE_EXAM)


def test_exams_follow_each_other_without_an_empty_line_and_under_headers_with_digits_and_brackets(notes):
    exams = [note for note in notes if note.parts("Discharge Exam") and note.parts("Physical Exam")]
    tight = [not note.before(note.parts("Discharge Exam")[0]).endswith("\n\n") for note in exams]
    assert share(exams, tight) == about(0.3)
    first_lines = {note.parts("Discharge Exam")[0].split("\n")[0] for note in exams}
    assert any(re.search(r"\(day \d+\)", line) for line in first_lines)
    assert any(re.search(r"\[HD \d+\]", line) for line in first_lines)


def test_a_section_comes_in_two_halves_under_two_headers(notes):
    names = ("History of Present Illness", "Past Medical History", "Medications on Admission")
    assert share(notes, [any(len(note.parts(name)) == 2 for name in names) for note in notes]) == about(
        note_layout.SECTION_TWICE
    )


def test_a_header_may_be_written_twice(notes):
    pattern = re.compile(
        r"^(?:History of Present Illness|Past Medical History):\r?\n[A-Z_][\w ]{1,30}:\r?\n", re.MULTILINE
    )
    assert any(pattern.search(note.text) for note in notes)


def test_a_text_may_begin_on_its_headers_line(notes):
    assert share(
        notes, [bool(re.search(r"^(?:HPI|History of Present Illness): \S", n.text, re.M)) for n in notes]
    ) == about(note_layout.VALUE_ON_HEADER_LINE)


def test_some_headers_have_lost_their_colon(notes):
    assert share(notes, ["\nSocial History\n" in note.text for note in notes]) == about(note_layout.COLON_LOST)


def test_the_line_between_sections_may_be_missing(notes):
    glued = [
        bool(re.search(r"[^:\s]\n(?:Past Medical History|Social History|Physical Exam|Pertinent Results):\n", n.text))
        for n in notes
    ]
    assert share(notes, glued) == about(4 * note_layout.SEPARATOR_LOST)


def test_some_notes_end_in_a_section_known_at_admission(notes):
    last_known = [note.gold[-1][4] for note in notes]
    assert share(notes, last_known) == about(0.9 * note_layout.ENDS_EARLY + note_layout.MEDICATIONS_LAST)
    assert not any(note.text.endswith("\n") for note, last in zip(notes, last_known, strict=True) if last)


def test_some_notes_have_an_addendum(notes):
    assert share(notes, [bool(note.parts("Addendum")) for note in notes]) == about(note_layout.ADDENDUM)


def test_some_lines_end_in_cr_lf(notes):
    assert share(notes, ["\r\n" in note.text for note in notes]) == about(note_layout.CRLF_LINES)
    assert not any(re.search(r"(?<!\r)\n", note.text) for note in notes if "\r\n" in note.text)


def test_a_discharge_may_be_a_finding(notes):
    told = [
        bool(re.search(r"discharge", exam, re.IGNORECASE)) for note in notes for exam in note.parts("Physical Exam")
    ]
    assert sum(told) / len(told) >= note_layout.DISCHARGE_AS_FINDING / 2


def test_paragraphs_open_like_headers(notes):
    opens = ["reports the following:" in text for note in notes for text in note.parts("History of Present Illness")]
    assert sum(opens) / len(opens) == about(COLON_PARAGRAPH)


def test_headers_words_stand_in_sentences(notes):
    words = re.compile(r"past medical history:|social\s+history:|hospital\s+course\s+elsewhere:|home\s+medications:")
    hits = [bool(words.search(" ".join(text.split()))) for n in notes for text in n.parts("History of Present Illness")]
    assert sum(hits) / len(hits) == about(HEADER_IN_PROSE)


def test_problem_lists_have_empty_lines(notes):
    lists = [text for note in notes for text in note.parts("Past Medical History")]
    assert sum("\n\n# " in text for text in lists) / len(lists) == about(LIST_WITH_BLANK_LINES)


def test_organ_donors_leave_before_they_come(persons):
    stays = [row for person in persons for row in person.admissions]
    died = [row for row in stays if row[8] == "DIED"]
    assert 1 <= sum(str(row[3]) <= str(row[2]) for row in died) <= 3 * ORGAN_DONOR * len(died)
    assert all(str(row[2]) < str(row[3]) for row in stays if row[8] != "DIED")


def test_some_admissions_are_entered_twice_by_different_providers(persons):
    stays = [row for person in persons for row in person.admissions]
    twice = [(a, b) for a, b in pairwise(stays) if a[1] == b[1]]
    assert 1 <= len(twice) <= 3 * DUPLICATED * len(stays)
    assert all((*a[:6], *a[7:]) == (*b[:6], *b[7:]) and a[6] != b[6] for a, b in twice)


def test_long_notes_are_as_long_as_asked_and_not_made_of_repetition():
    long = []
    for person in draw_people(plan_batches(700, seed=3)[0]):
        long += [str(write_discharge_note(stay, {}, seq, 3, 10_500)[0][7]) for seq, stay in person.notes]
    lengths = [len(text) for text in long]
    assert sum(lengths) / len(lengths) == pytest.approx(10_500, rel=0.06)
    assert max(lengths) > 20_000
    lines = [line for text in long for line in set(text.split("\n")) if len(line) > 60]
    repeated = [len(found) - len(set(found)) for found in ([x for x in t.split("\n") if len(x) > 60] for t in long)]
    assert sum(repeated) / len(lines) < 0.01


def test_a_copy_of_real_size_has_thousands_of_first_codes():
    drawn = FirstDiagnosisSampler().draw(np.random.default_rng(1), 10, 40_000)
    assert len({diagnosis for diagnosis, _ in drawn}) >= 3000
