"""Leaks: what counts as one, and what the audit and the strict filter make of it."""

import json
from pathlib import Path

import pytest
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
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


@pytest.mark.parametrize(
    "sentence",
    [
        "She was taken for bronchoscopy on day 3, which grew CMV.",
        "A film prior to discharge was clear.",
        "On hospital day 2 he was transferred to the intensive care unit.",
        "She was subsequently weaned to room air.",
        "Over the next two days the rash faded.",
        "Pathology returned as lymphoma.",
        "Extubated on day 2, chest tubes out the day after.",
        "Creatinine peaked at 4 and returned to baseline.",
        "She tolerated a regular diet and physical therapy cleared her for discharge.",
    ],
)
def test_a_history_that_runs_on_into_the_stay_has_cues_of_later_events(sentence: str) -> None:
    assert "later" in find_signals(sentence, PNEUMONIA, Course(), "History of Present Illness")
    assert "later" not in find_signals(sentence, PNEUMONIA, Course(), "Physical Exam")
    parts = {"History of Present Illness": f"Fever for a week. {sentence}"}
    assert remove_signals(parts, PNEUMONIA, "") == {"History of Present Illness": "Fever for a week."}


@pytest.mark.parametrize(
    "sentence",
    [
        "The rash began on day 3 of amoxicillin.",
        "She was admitted last year and had a stroke on hospital day 2.",
        "He lost smell on day 2 of the illness.",
        "Discharge from the left ear for a week.",
        "She comes from home with cough.",
    ],
)
def test_what_came_before_the_admission_has_no_such_cue(sentence: str) -> None:
    assert find_signals(sentence, PNEUMONIA, Course(), "History of Present Illness") == set()


def test_eight_words_in_a_row_that_the_course_also_has_are_counted_and_not_removed() -> None:
    same = "a woman with gout and asthma who fell from a ladder"
    parts = {"History of Present Illness": f"This is {same} today."}
    course = f"In short, {same} and broke her hip."
    assert find_section_signals(parts, PNEUMONIA, course) == {"History of Present Illness": {"overlap"}}
    assert remove_signals(parts, PNEUMONIA, course) == parts
    assert find_section_signals({"Chief Complaint": "a woman with gout and asthma"}, PNEUMONIA, course) == {
        "Chief Complaint": set()
    }


def test_the_audit_counts_the_notes_that_build_keeps(tmp_path: Path) -> None:
    texts = [note(), note(), "Brief Hospital Course:\nOnly this.\n", "HPI:\nAs dictated by Dr. ___.\n"]
    rows = [row for n in (1, 3, 4) for row in stay(20000000 + n, [(1, "I214")])]
    stays = (20000001, 20000001, 20000003, 20000004)
    notes = [discharge(hadm, text, seq=seq) for seq, (hadm, text) in enumerate(zip(stays, texts, strict=True), 1)]
    copy = write_copy(tmp_path / "copy", rows, notes)
    kept = sum(build(copy, copy, tmp_path / "cohort").counts.rows.values())
    leakage = audit_copy(copy, copy, tmp_path / "out").counts.leakage
    assert {name: sections[ANY]["notes"] for name, sections in leakage.items()} == {
        "default": kept,
        "paper": kept,
        "published": kept,
    }
    assert kept == 1


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


@pytest.mark.parametrize(
    "sentence",
    [
        "Cough for 5 days, and lost smell on day 2.",  # of the illness
        "On day 3 the pain eased, then the belly became hard.",
        "Last year he was extubated on day 2 at another hospital and went to rehab.",
        "Best on day 3 of antibiotics.",
    ],
)
def test_days_of_an_illness_and_earlier_stays_are_no_later_events(sentence: str) -> None:
    assert "later" not in find_signals(sentence, PNEUMONIA, Course(), "History of Present Illness")
