"""Sections of a discharge note: what was known at admission stays, what tells the outcome goes.

Each note is made up; each case is a way of writing seen in MIMIC-IV-Note's template.
"""

import pytest
from copies import note

from builders.cohort.exam_parts import trim
from builders.cohort.sections import (
    extract_admission_exam,
    extract_admission_note,
    extract_admission_sections,
    split_sections,
)

VARIANTS = {
    "Chief Complaint": "CC | cc | ___ Complaint",
    "History of Present Illness": (
        "HPI | HISTORY OF THE PRESENT ILLNESS | HISTORY OF PRESENTING ILLNESS | History of Present ___ | "
        "___ of Present Illness | History ___ Present Illness"
    ),
    "Past Medical History": (
        "PMH | PMHx | Past Medical and Surgical History | ___ Medical History | Past ___ History | "
        "Past Medical History (per old record) | ___ History"
    ),
    "Past Surgical History": "PSH",
    "Social History": "Social Hx",
    "Family History": "Family Medical History | Family Hx",
    "Physical Exam": (
        "PE | Physical Examination | Physical ___ | ___ Exam | Physical Exam (on admission) | PHYSICAL EXAM ON ARRIVAL"
    ),
    "Medications on Admission": (
        "Meds on Admission | Preadmission medications | Home medications | ___ on Admission | "
        "Medications on ___ | MEDICATIONS AT HOME | Medications Prior to Admission | "
        "Preadmission medication list"
    ),
}
# Of the stay or its end: the template's own headers, and others.
TEMPLATES_OWN = [
    "Major Surgical or Invasive Procedure", "Major ___ or Invasive Procedure", "___ Surgical or Invasive Procedure",
    "Major Surgical or ___ Procedure", "Major Surgical ___ Invasive Procedure", "Pertinent Results",
    "Brief Hospital Course", "___ Hospital Course", "Brief ___ Course", "Hospital Course by system",
    "Discharge Medications", "Discharge ___", "ischarge Diagnosis", "Discharge Condition", "Facility",
    "Followup Instructions", "___ Instructions", "___", "DISCHARGE EXAM", "Service",
]  # fmt: skip
LATER = [
    "___ Medications", "___ Diagnosis", "___ Disposition", "___ Condition", "Discharge Dx", "Final Diagnosis",
    "Primary Diagnosis", "Principal Diagnosis", "Secondary Diagnoses", "Medications on Discharge",
    "Labs on Discharge", "Imaging", "MICROBIOLOGY", "MICRO/IMAGING", "Imaging and Studies", "Procedures",
    "Assessment and Plan", "A/P", "Impression", "ICU Course", "MICU COURSE", "Summary of Hospital Course",
    "Hospital Course by problem", "ACTIVE ISSUES", "Transitional Issues", "Addendum", "Addendum ___",
    "Discharge Summary", "Transfer Exam", "___ (Discharge)", "Physical Exam (discharge)",
]  # fmt: skip
DISCHARGE_EXAMS = [
    "DISCHARGE PHYSICAL EXAM:", "Discharge Exam", "EXAM ON DISCHARGE (day 5):", "PHYSICAL EXAM AT DISCHARGE:",
    "Physical examination upon discharge: ", "On discharge:", "At Discharge", "Day of discharge:",
    "=== DISCHARGE ===", "DISCHARGE VITALS: 98.0", "D/C exam:", "DEATH EXAM:", "Vitals on discharge: HR 60",
]  # fmt: skip


def test_the_template_is_cut_to_its_admission_part() -> None:
    assert extract_admission_sections(note("Chest pain", "___ woman with pain.\nIt radiates: yes.")) == {
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
    text = extract_admission_note("HPI:\nShe fell.\n \nChief Complaint:\nFall\n")
    assert text == "Chief Complaint:\nFall\n\nHistory of Present Illness:\nShe fell."


@pytest.mark.parametrize(
    ("header", "name"), [(header, name) for name, headers in VARIANTS.items() for header in headers.split(" | ")]
)
def test_a_header_is_known_under_its_variants(header: str, name: str) -> None:
    assert extract_admission_sections(f"Attending: ___.\n \n{header}:\nThe text.\n") == {name: "The text."}


@pytest.mark.parametrize("header", [*TEMPLATES_OWN, *LATER])
@pytest.mark.parametrize("before", ["", "    ", "\t", "# "])
def test_what_tells_the_outcome_is_cut(header: str, before: str) -> None:
    text = f"Chief Complaint:\nCough\n \n{before}{header}:\nLEAK\n"
    assert extract_admission_sections(text) == {"Chief Complaint": "Cough"}


@pytest.mark.parametrize(
    "header", ["Imaging", "Impression", "Addendum", *(header for header in LATER if " " in header)]
)
@pytest.mark.parametrize("section", ["History of Present Illness", "Physical Exam", "Medications on Admission"])
def test_it_is_cut_with_and_without_a_colon_behind_any_section(section: str, header: str) -> None:
    for written in (f"{header}:", header, header.upper()):
        assert extract_admission_sections(f"{section}:\nKnown.\n \n{written}\nLEAK\n") == {section: "Known."}


@pytest.mark.parametrize(
    "header", ["Brief Hospital Course", "Discharge Medications", "PERTINENT RESULTS", "Hospital Course"]
)
def test_a_header_in_capitals_needs_neither_colon_nor_empty_line(header: str) -> None:
    assert extract_admission_sections(f"Physical Exam\nHR 110\n{header}\nLEAK\n") == {"Physical Exam": "HR 110"}
    assert (
        extract_admission_sections(f"PMH:\nGout\nPhysical Exam\nHR 110\n{header}\nLEAK\n")["Physical Exam"] == "HR 110"
    )


def test_behind_the_hospital_course_a_section_is_taken_once_and_an_exam_or_a_paragraph_of_the_course_not() -> None:
    text = (
        "Chief Complaint:\nCough\n \nBrief Hospital Course:\nLEAK\nPast Surgical History: LEAK\n\nSocial History: LEAK"
        "\n \nPast Medical History:\nGout\n \nChief Complaint:\nLEAK\n \nPhysical Exam:\nLEAK\n"
        " \nMedications on Admission:\n1. Aspirin\n \nDischarge Diagnosis:\nLEAK\n"
    )
    assert extract_admission_sections(text) == {
        "Chief Complaint": "Cough",
        "Past Medical History": "Gout",
        "Medications on Admission": "1. Aspirin",
    }


def test_a_redacted_header_early_in_the_note_does_not_end_it() -> None:
    assert extract_admission_sections("___: \nMEDICINE\n \nChief Complaint:\nCough\n") == {"Chief Complaint": "Cough"}


def test_paragraphs_with_colons_and_lists_with_empty_lines_stay_whole() -> None:
    illness = (
        "She came by ambulance.\n\nIn the ED, initial vitals were: 98.2 110 120/80.\n\n"
        "She reports the following:\n- cough\n- fever\n\nNeurologic: no weakness."
    )
    history = "# Diabetes\n\n# Gout\n\n1. Appendectomy\n2. Fracture"
    found = extract_admission_sections(
        f"History of Present Illness:\n{illness}\n \nPast Medical History:\n{history}\n \nSocial History:\n___\n"
    )
    assert found == {"History of Present Illness": illness, "Past Medical History": history}


def test_header_words_inside_prose_open_no_section() -> None:
    illness = "He has a long\npast medical history: too long to tell. Of his social history: nothing."
    assert split_sections(f"HPI:\n{illness}\n") == [("History of Present Illness", illness)]


def test_crlf_reads_as_lf() -> None:
    text = note("Cough", "Line one.\nLine two.")
    assert extract_admission_sections(text.replace("\n", "\r\n")) == extract_admission_sections(text)


def test_a_section_may_end_the_note_and_an_empty_note_has_none() -> None:
    assert extract_admission_sections("Chief Complaint:\nCough") == {"Chief Complaint": "Cough"}
    assert extract_admission_sections("") == {}
    assert extract_admission_sections("no header anywhere") == {}


def test_a_repeated_section_keeps_both_texts() -> None:
    assert extract_admission_sections("PMH:\nGout\n \nPast Medical History:\nAsthma\n") == {
        "Past Medical History": "Gout\nAsthma"
    }


@pytest.mark.parametrize("subheader", DISCHARGE_EXAMS)
def test_the_discharge_part_of_an_exam_is_cut(subheader: str) -> None:
    assert extract_admission_exam(f"ADMISSION EXAM\nHR 110\n\n{subheader}\nLEAK\nLEAK") == "ADMISSION EXAM\nHR 110"
    assert (
        extract_admission_exam(f"{subheader}\nLEAK\nADMISSION PHYSICAL EXAM:\nHR 110")
        == "ADMISSION PHYSICAL EXAM:\nHR 110"
    )
    assert extract_admission_exam(f"{subheader}\nLEAK") == ""


def test_a_discharge_that_is_a_finding_cuts_nothing() -> None:
    exam = "GU: no discharge\nDischarge from the left ear.\nEyes: purulent discharge, both sides\nNo vaginal discharge"
    assert extract_admission_exam(exam) == exam


def test_an_admission_sub_header_with_an_empty_line_keeps_what_follows() -> None:
    text = "Physical Exam:\nADMISSION PHYSICAL EXAM:\n\nHR 110\n \nPertinent Results:\nLEAK\n"
    assert extract_admission_sections(text) == {"Physical Exam": "HR 110"}


@pytest.mark.parametrize(
    "subheader", ["___ (Discharge)", "Transfer Exam:", "___ EXAM:", "Physical ___:", "PE on discharge"]
)
def test_a_second_exam_is_that_of_the_discharge(subheader: str) -> None:
    text = f"Physical Exam:\nHR 110\n\n{subheader}\nLEAK\n \nFacility:\n___\n"
    assert extract_admission_sections(text) == {"Physical Exam": "HR 110"}


def test_an_exam_header_behind_the_vitals_goes_on_with_the_exam_but_a_long_exam_is_not_followed_by_another() -> None:
    assert extract_admission_sections("Physical Exam:\nHR 110\nPhysical exam:\nAlert.\n") == {
        "Physical Exam": "HR 110\nAlert."
    }
    exam = "NEURO: no focal findings\n" * 12
    assert "LEAK" not in extract_admission_note(f"Physical Exam:\n{exam}\nPhysical Exam:\nLEAK\n")


@pytest.mark.parametrize(
    "finding", ["Discharge: none", "discharge - scant, clear", "GU exam without discharge", "PE: on warfarin"]
)
def test_a_finding_in_the_exam_drops_nothing(finding: str) -> None:
    exam = f"HR 110\n{finding}\nNEURO: alert"
    assert extract_admission_sections(f"Physical Exam:\n{exam}\n") == {"Physical Exam": exam}


@pytest.mark.parametrize("header", ["Hospital Course:", "HOSPITAL COURSE", "ICU Course:", "# Brief Hospital Course:"])
def test_a_course_quoted_in_the_present_illness_is_cut_and_what_follows_in_order_is_taken(header: str) -> None:
    quoted = f"{header}\nLEAK\n\nDischarge Medications:\nLEAK\n"
    text = (
        f"HPI:\nShe fell.\n\n{quoted} \nPMH:\nGout\n \nPhysical Exam:\nHR 110\n \nBrief Hospital Course:\nLEAK\n"
        " \nPast Medical History:\nLEAK\n \nMedications on Admission:\n1. Aspirin\n"
    )
    assert extract_admission_sections(text) == {
        "History of Present Illness": "She fell.",
        "Past Medical History": "Gout",
        "Physical Exam": "HR 110",
        "Medications on Admission": "1. Aspirin",
    }


def test_a_section_that_goes_back_in_the_template_is_not_taken_between_two_courses() -> None:
    text = "PMH:\nGout\n \nPhysical Exam:\nHR 110\n \nHospital Course:\nA\n \nPMH:\nLEAK\n \nICU Course:\nLEAK\n"
    assert extract_admission_sections(text) == {"Past Medical History": "Gout", "Physical Exam": "HR 110"}


def test_a_diagnosis_in_a_history_is_an_old_one_where_the_history_goes_on() -> None:
    illness = "Oncologic history:\n\nprimary diagnosis: breast cancer\n___: lumpectomy\nLabs: Na 128\nNow she is weak."
    text = f"HPI:\n{illness}\n \nPhysical Exam:\nHR 110\n"
    assert extract_admission_sections(text) == {"History of Present Illness": illness, "Physical Exam": "HR 110"}
    assert extract_admission_sections("HPI:\nShe fell.\nPrimary Diagnosis: LEAK\n") == {
        "History of Present Illness": "She fell."
    }
    assert "LEAK" not in extract_admission_note("HPI:\nShe fell.\nLabs on discharge:\nLEAK\n")


def test_items_of_a_problem_list_that_read_like_headers_stay() -> None:
    history = "# PE: on warfarin\nPE: in ___\n# Gout"
    assert extract_admission_sections(f"PMH:\n{history}\n \nPE:\nHR 110\n") == {
        "Past Medical History": history,
        "Physical Exam": "HR 110",
    }


def test_a_medication_list_behind_the_course_is_taken_where_it_can_only_be_that_of_the_admission() -> None:
    course = "HPI:\nShe fell.\n \nHospital Course:\nLEAK\nHome medications: LEAK\n \n"
    listed = "The Preadmission Medication list is accurate.\n1. Aspirin"
    assert extract_admission_sections(f"{course}___ Medications:\n{listed}\n")["Medications on Admission"] == listed
    later = f"{course}Discharge Medications:\nLEAK\n \n"
    for header in ("Home Medications", "Medications on ___", "___ Medications"):
        assert extract_admission_sections(f"{later}{header}:\nLEAK\n") == {"History of Present Illness": "She fell."}
    end = f"{later}Followup Instructions:\n___\n \n"
    for header in ("Home Medications", "Medications on ___", "Medications on Admission"):
        assert "1. Aspirin" in extract_admission_note(f"{end}{header}:\n1. Aspirin\n")
    assert "1. Aspirin" in extract_admission_note(f"{later}Medications on Admission:\n1. Aspirin\n")
    for line in (
        "\n\nHome medications: LEAK\n",
        "\n\nMedications on admission: LEAK\n",
        "\n\n# Home medications:\nLEAK\n",
    ):
        assert "LEAK" not in extract_admission_note(f"{course}LEAK{line}LEAK\n")
    assert "LEAK" not in extract_admission_note(f"{course}Home medications:\n1. Aspirin\n\n# Sepsis: LEAK\n")


@pytest.mark.parametrize("blank", list("\r\v\f\x1c\x1f\x85\u00a0\u2028\u3000"))
def test_blanks_of_every_kind_go_from_line_ends_as_they_always_did(blank: str) -> None:
    assert trim(f"\n a \nb{blank}\n{blank}c{blank} {blank}\t\n d{blank}") == f"a\nb\n{blank}c\n d"
    assert trim(f"a{blank}\nb") == f"a{blank}\nb"  # where no line ends in a plain blank or tab
