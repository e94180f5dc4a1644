"""Leaks: what counts as one, and what the audit and the strict filter make of it."""

import json
from pathlib import Path

import pytest
from copies import discharge, note, stay, write_copy

from builders.cohort.leakage import (
    Course,
    build_terms,
    find_section_signals,
    find_signals,
    remove_signals,
    split_sentences,
)
from builders.cohort.leakage_audit import ANY, audit_copy, extract_published_sections
from deepicd.icd10cm import Code

NSTEMI = build_terms("I214", "Non-ST elevation (NSTEMI) myocardial infarction", Code.parse("I21.4").inclusion_terms)
PNEUMONIA = build_terms("J189", "Pneumonia, unspecified organism")


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Findings of non-ST elevation (NSTEMI)\nmyocardial infarction.", {"title"}),  # a wrapped line
        ("This was a nontransmural myocardial infarction NOS.", {"synonym"}),
        ("Coded as I21.4 in the past.", {"code"}),
        ("Coded as I214.", {"code"}),
        ("She was discharged on aspirin.", {"outcome"}),
        ("He was subsequently discharged home.", {"outcome"}),
        ("On discharge he felt well.", {"outcome"}),
        ("The patient expired.", {"outcome"}),
        ("Purulent discharge from the wound.", set()),
        ("Troponin rose; ST segments were flat.", set()),
        ("Room I2141 was free.", set()),  # a longer word that begins with the code
    ],
)
def test_a_sentence_is_searched_for_each_signal(sentence: str, found: set[str]) -> None:
    assert find_signals(sentence, NSTEMI, Course()) == found


def test_a_title_is_also_looked_for_without_its_vague_end() -> None:
    assert find_signals("Treated for pneumonia last year.", PNEUMONIA, Course()) == {"title"}
    assert find_signals("Pneumonic sounds.", PNEUMONIA, Course()) == set()


def test_a_sentence_of_the_course_is_found_whatever_its_line_breaks() -> None:
    course = Course("She was given heparin and taken to the catheterization suite, where a stent was placed.")
    same = "She was given heparin and taken to\nthe catheterization suite where a stent was placed."
    assert find_signals(same, NSTEMI, course) == {"course"}
    assert find_signals("She was given heparin.", NSTEMI, course) == set()  # too short to tell


def test_the_strict_filter_removes_the_sentence_and_nothing_else() -> None:
    parts = {
        "History of Present Illness": "She was pale. Coded as I214. She sat up.\n\nNo pain.",
        "Past Medical History": "- Gout\n- I21.4\n- Asthma",
        "Chief Complaint": "I21.4",
    }
    assert remove_signals(parts, NSTEMI, "") == {
        "History of Present Illness": "She was pale. She sat up.\n\nNo pain.",
        "Past Medical History": "- Gout\n- Asthma",
    }
    clean = {"Chief Complaint": "Pain,\nand more.\n\n# List\n- one\n- two"}
    assert remove_signals(clean, NSTEMI, "") == clean


def test_signals_are_counted_by_section() -> None:
    parts = {"Chief Complaint": "Cough", "Past Medical History": "- Pneumonia\n- J18.9"}
    assert find_section_signals(parts, PNEUMONIA, "") == {
        "Chief Complaint": set(),
        "Past Medical History": {"title", "code"},
    }


def test_sentences_are_told_by_stops_lists_and_labels() -> None:
    text = "One. Two!\nstill two\n- item\n1. entry\nGen: fine\n\nThree"
    assert list(split_sentences(text)) == ["One.", "Two!\nstill two", "- item", "1. entry", "Gen: fine", "Three"]


def test_the_published_extraction_has_the_faults_that_are_told_of_it() -> None:
    assert "HR 70" in extract_published_sections(note())["Physical Exam"]  # the discharge exam leaks
    colon = note("Cough", "She fell.\n\nNeurologic: she was confused.")
    assert (
        extract_published_sections(colon)["History of Present Illness"] == "She fell."
    )  # a colon cuts the section short
    assert extract_published_sections("Chief Complaint:\nCough") == {}  # a section that ends the note
    assert extract_published_sections(note("One\ntwo"))["Chief Complaint"] == "One two"


def test_the_audit_sets_three_extractions_side_by_side(tmp_path: Path) -> None:
    leaky = note().replace("DISCHARGE EXAM:\nHR 70", "DISCHARGE EXAM:\nHR 70 after NSTEMI")
    copy = write_copy(
        tmp_path / "copy",
        [row for n in range(1, 5) for row in stay(20000000 + n, [(1, "I214")])],
        [discharge(20000000 + n, leaky if n < 3 else note()) for n in range(1, 5)],
    )
    audit_copy(copy, copy, tmp_path / "out")
    leakage = json.loads((tmp_path / "out" / "leakage.json").read_text())
    assert leakage["default"][ANY]["notes"] == 4
    assert leakage["default"][ANY]["any signal"] == 0
    assert leakage["paper"]["Physical Exam"]["title"] == 2
    assert leakage["published"]["Physical Exam"]["title"] == 2
    assert (tmp_path / "out" / "leakage.png").read_bytes().startswith(b"\x89PNG")
    assert "HR 70" not in (tmp_path / "out" / "leakage.json").read_text()
