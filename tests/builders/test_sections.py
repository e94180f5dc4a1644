"""Sections of a discharge note: what was known at admission stays, what tells the outcome goes.

Each note is made up; each case is a way of writing seen in MIMIC-IV-Note's template.
"""

import pytest
from copies import note

from builders.sections import admission_exam, admission_note, admission_sections, sections


def test_the_template_is_cut_to_its_admission_part() -> None:
    assert admission_sections(note("Chest pain", "___ woman with pain.\nIt radiates: yes.")) == {
        "Sex": "F",
        "Allergies": "Penicillins",
        "Chief Complaint": "Chest pain",
        "History of Present Illness": "___ woman with pain.\nIt radiates: yes.",
        "Past Medical History": "Hypertension",
        "Family History": "Father with stroke.",
        "Physical Exam": "HR 110",
        "Medications on Admission": "1. Lisinopril 10 mg PO DAILY",
    }


def test_sections_come_in_template_order_with_their_headers() -> None:
    text = admission_note("HPI:\nShe fell.\n \nChief Complaint:\nFall\n")
    assert text == "Chief Complaint:\nFall\n\nHistory of Present Illness:\nShe fell."


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("CC", "Chief Complaint"),
        ("cc", "Chief Complaint"),
        ("___ Complaint", "Chief Complaint"),
        ("HPI", "History of Present Illness"),
        ("HISTORY OF THE PRESENT ILLNESS", "History of Present Illness"),
        ("HISTORY OF PRESENTING ILLNESS", "History of Present Illness"),
        ("History of Present ___", "History of Present Illness"),
        ("___ of Present Illness", "History of Present Illness"),
        ("History ___ Present Illness", "History of Present Illness"),
        ("PMH", "Past Medical History"),
        ("PMHx", "Past Medical History"),
        ("Past Medical and Surgical History", "Past Medical History"),
        ("___ Medical History", "Past Medical History"),
        ("Past ___ History", "Past Medical History"),
        ("Past Medical History (per old record)", "Past Medical History"),
        ("PSH", "Past Surgical History"),
        ("Social Hx", "Social History"),
        ("Family Medical History", "Family History"),
        ("Family Hx", "Family History"),
        ("PE", "Physical Exam"),
        ("Physical Examination", "Physical Exam"),
        ("Physical ___", "Physical Exam"),
        ("___ Exam", "Physical Exam"),
        ("Meds on Admission", "Medications on Admission"),
        ("Preadmission medications", "Medications on Admission"),
        ("Home medications", "Medications on Admission"),
        ("___ on Admission", "Medications on Admission"),
        ("Medications on ___", "Medications on Admission"),
    ],
)
def test_a_header_is_known_under_its_variants(header: str, name: str) -> None:
    assert admission_sections(f"Attending: ___.\n \n{header}:\nThe text.\n") == {name: "The text."}


@pytest.mark.parametrize(
    "header",
    [
        "Major Surgical or Invasive Procedure",
        "Major ___ or Invasive Procedure",
        "___ Surgical or Invasive Procedure",
        "Major Surgical or ___ Procedure",
        "Major Surgical ___ Invasive Procedure",
        "Pertinent Results",
        "Brief Hospital Course",
        "___ Hospital Course",
        "Brief ___ Course",
        "Hospital Course by system",
        "Discharge Medications",
        "Discharge ___",
        "ischarge Diagnosis",
        "Discharge Condition",
        "Facility",
        "Followup Instructions",
        "___ Instructions",
        "___",
        "DISCHARGE EXAM",
        "Service",
    ],
)
def test_what_tells_the_outcome_is_cut(header: str) -> None:
    assert admission_sections(f"Chief Complaint:\nCough\n \n{header}:\nLEAK\n") == {"Chief Complaint": "Cough"}


def test_nothing_but_admission_medications_is_taken_after_the_hospital_course() -> None:
    text = (
        "Chief Complaint:\nCough\n \nBrief Hospital Course:\nLEAK\n \nPast Medical History:\nLEAK\n"
        " \nMedications on Admission:\n1. Aspirin\n \nDischarge Diagnosis:\nLEAK\n"
    )
    assert admission_note(text) == "Chief Complaint:\nCough\n\nMedications on Admission:\n1. Aspirin"


def test_a_redacted_header_early_in_the_note_does_not_end_it() -> None:
    assert admission_sections("___: \nMEDICINE\n \nChief Complaint:\nCough\n") == {"Chief Complaint": "Cough"}


def test_paragraphs_with_colons_and_lists_with_empty_lines_stay_whole() -> None:
    illness = (
        "She came by ambulance.\n\nIn the ED, initial vitals were: 98.2 110 120/80.\n\n"
        "She reports the following:\n- cough\n- fever\n\nNeurologic: no weakness."
    )
    history = "# Diabetes\n\n# Gout\n\n1. Appendectomy\n2. Fracture"
    found = admission_sections(
        f"History of Present Illness:\n{illness}\n \nPast Medical History:\n{history}\n \nSocial History:\n___\n"
    )
    assert found == {"History of Present Illness": illness, "Past Medical History": history}


def test_header_words_inside_prose_open_no_section() -> None:
    illness = "He has a long\npast medical history: too long to tell. Of his social history: nothing."
    assert sections(f"HPI:\n{illness}\n") == [("History of Present Illness", illness)]


def test_crlf_reads_as_lf() -> None:
    text = note("Cough", "Line one.\nLine two.")
    assert admission_sections(text.replace("\n", "\r\n")) == admission_sections(text)


def test_a_section_may_end_the_note_and_an_empty_note_has_none() -> None:
    assert admission_sections("Chief Complaint:\nCough") == {"Chief Complaint": "Cough"}
    assert admission_sections("") == {}
    assert admission_sections("no header anywhere") == {}


def test_a_repeated_section_keeps_both_texts() -> None:
    assert admission_sections("PMH:\nGout\n \nPast Medical History:\nAsthma\n") == {
        "Past Medical History": "Gout\nAsthma"
    }


@pytest.mark.parametrize(
    "subheader",
    [
        "DISCHARGE PHYSICAL EXAM:",
        "Discharge Exam",
        "EXAM ON DISCHARGE (day 5):",
        "PHYSICAL EXAM AT DISCHARGE:",
        "Physical examination upon discharge: ",
        "On discharge:",
        "At Discharge",
        "Day of discharge:",
        "=== DISCHARGE ===",
        "DISCHARGE VITALS: 98.0",
        "D/C exam:",
        "DEATH EXAM:",
        "Vitals on discharge: HR 60",
    ],
)
def test_the_discharge_part_of_an_exam_is_cut(subheader: str) -> None:
    assert admission_exam(f"ADMISSION EXAM\nHR 110\n\n{subheader}\nLEAK\nLEAK") == "ADMISSION EXAM\nHR 110"
    assert admission_exam(f"{subheader}\nLEAK\nADMISSION PHYSICAL EXAM:\nHR 110") == "ADMISSION PHYSICAL EXAM:\nHR 110"
    assert admission_exam(f"{subheader}\nLEAK") == ""


def test_a_discharge_that_is_a_finding_cuts_nothing() -> None:
    exam = "GU: no discharge\nDischarge from the left ear.\nEyes: purulent discharge, both sides\nNo vaginal discharge"
    assert admission_exam(exam) == exam


def test_an_admission_sub_header_with_an_empty_line_keeps_what_follows() -> None:
    text = "Physical Exam:\nADMISSION PHYSICAL EXAM:\n\nHR 110\n \nPertinent Results:\nLEAK\n"
    assert admission_sections(text) == {"Physical Exam": "HR 110"}
