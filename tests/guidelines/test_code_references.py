"""Codes and sections that a text points to."""

import pytest

from guidelines.code_references import find_codes, find_sections

TITLES = {
    "I": "Conventions, general coding guidelines",
    "I.A": "Conventions for the ICD-10-CM",
    "I.A.14": "“And”",
    "I.B": "General Coding Guidelines",
    "I.B.14": "Documentation by Clinicians Other than the Patient's Provider",
    "I.C": "Chapter-Specific Coding Guidelines",
    "I.C.1": "Chapter 1: Certain Infectious and Parasitic Diseases (A00-B99), U07.1, U09.9",
    "I.C.1.g": "Coronavirus infections",
    "I.C.1.g.1": "COVID-19 infection (infection due to SARS-CoV-2)",
    "I.C.1.g.1.m": "Post COVID-19 Condition",
    "I.C.19": "Chapter 19: Injury, poisoning, and certain other consequences of external causes (S00-T88)",
    "I.C.19.c": "Coding of Traumatic Fractures",
    "I.C.21": "Chapter 21: Factors influencing health status and contact with health services (Z00-Z99)",
    "I.C.21.c": "Categories of Z Codes",
    "I.C.21.c.7": "Aftercare",
    "II": "Selection of Principal Diagnosis",
    "II.H": "Uncertain Diagnosis",
    "III": "Reporting Additional Diagnoses",
    "IV": "Outpatient Services",
    "Appendix-I": "",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code B20, and", [("B20", "B20", "B20")]),
        ("default is E11.-, Type 2", [("E11.-", "E11", "E11")]),
        ("T36.0X5-) Examples", [("T36.0X5-", "T360X5", "T360X5")]),
        ("Code X36.0.-, Collapse", [("X36.0.-", "X360", "X360")]),
        ("categories E08 – E13 as needed", [("E08 – E13", "E08", "E13")]),
        (
            "Codes from A00.0 through T88.9, Z00-Z99",
            [("A00.0 through T88.9", "A000", "T889"), ("Z00-Z99", "Z00", "Z99")],
        ),
        ("Injury (S00- T14.9)", [("S00- T14.9", "S00", "T149")]),
        (
            "(O00-O9A), C7A.8 and Z3A.08",
            [("O00-O9A", "O00", "O9A"), ("C7A.8", "C7A8", "C7A8"), ("Z3A.08", "Z3A08", "Z3A08")],
        ),
        ("Z91.12-, Z91.A4- or", [("Z91.12-", "Z9112", "Z9112"), ("Z91.A4-", "Z91A4", "Z91A4")]),
        ("COVID-19, H1N1, Z codes, 7th character A, UB-04, SARS-CoV-2", []),
    ],
)
def test_codes_categories_and_ranges(text, expected):
    assert [(code["text"], code["first"], code["last"]) for code in find_codes(text)] == expected


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("See Section I.B.14. for documentation", ["I.B.14"]),
        ("guideline Section II, H. In this context", ["II.H"]),
        ("see guideline I.C.1.g.1.m. Although", ["I.C.1.g.1.m"]),
        ("(see Section I.C.1.g.1., COVID-19 infection)", ["I.C.1.g.1"]),
        ("See Section I.A.14. Use of the term “And”", ["I.A.14"]),
        ("found in Section IA of these guidelines", ["I.A"]),
        ("See Section C.1. for instructions", ["I.C.1"]),
        ("See Section I.C. 21, for more", ["I.C.21"]),
        ("Sections I, II, and III of the official", ["I", "II", "III"]),
        ("Section IV is for outpatients", ["IV"]),
        ("see Appendix I for reporting", ["Appendix-I"]),
        ("Type I diabetes; I agree, and see below", []),
    ],
)
def test_references_lead_to_sections(text, ids):
    assert find_sections(text, TITLES, own="II.A") == ids


def test_a_quoted_title_leads_below_its_chapter():
    assert find_sections("See Section I.C.19. Coding of traumatic fractures.", TITLES, "I") == ["I.C.19.c"]
    text = "See Section I.C.21. Factors influencing health status and contact with health services, Aftercare"
    assert find_sections(text, TITLES, "I") == ["I.C.21.c.7"]


def test_a_reference_to_a_section_that_is_not_there_leads_to_the_one_above():
    assert find_sections("See Section I.C.1.g.9.", TITLES, "I") == ["I.C.1.g"]


def test_a_section_does_not_point_to_itself():
    assert find_sections("also described in Section I.", TITLES, own="I") == []
