"""Which codes an admission note supports, and by what."""

import pytest

from builders.dataset.code_support import find_support
from deepicd.icd10cm import Code

NOTE = """\
Allergies:
allopurinol, insulin

Chief Complaint:
Chest pain

History of Present Illness:
71 year old man with HTN, T2DM on insulin and CKD. No COPD. Possible pneumonia. History of pneumonia last year.
Former smoker. History of DVT. He denies depression.

Family History:
Mother with gout and breast cancer.

Physical Exam:
BP 82/40, T 101.2

Pertinent Results:
Na 128, K 4.1, platelets 90

Medications on Admission:
1. Warfarin 5 mg PO DAILY
2. Calcitriol 1 CAP PO DAILY
3. Senna 8.6 mg PO BID:PRN constipation
"""


def list_found(*codes: str) -> dict[str, tuple[str, str]]:
    found = find_support(NOTE, [Code(code) for code in codes])
    return {one.code.value: (one.by, NOTE[one.start : one.end]) for one in found}


def test_a_stated_finding_supports_its_code_by_title_synonym_or_abbreviation() -> None:
    assert list_found("I10", "E119", "N189", "R079") == {
        "I10": ("finding", "HTN"),
        "E119": ("finding", "T2DM"),
        "N189": ("finding", "CKD"),
        "R079": ("finding", "Chest pain"),
    }


def test_a_title_of_two_diseases_needs_both() -> None:
    assert list(list_found("E1122", "I130", "I129")) == ["E1122", "I129"]  # no heart failure


def test_what_is_denied_weighed_or_past_supports_nothing() -> None:
    assert list_found("J449", "J189", "F329", "I82409") == {}


def test_a_history_supports_the_code_of_a_history() -> None:
    assert list_found("Z86718", "Z87891") == {
        "Z86718": ("finding", "History of DVT"),
        "Z87891": ("finding", "Former smoker"),
    }


def test_the_family_and_allergies_support_nothing() -> None:
    assert list_found("M109", "C50911", "Z853") == {}


def test_a_drug_supports_what_it_is_for() -> None:
    assert list_found("Z7901", "Z794") == {"Z7901": ("drug", "Warfarin"), "Z794": ("drug", "insulin")}
    assert NOTE.index("insulin") < find_support(NOTE, [Code("Z794")])[0].start  # not the allergy


def test_a_measured_value_supports_what_it_shows() -> None:
    assert list_found("E871", "E870", "E876", "D696", "R509", "I959") == {
        "E871": ("value", "Na 128"),
        "D696": ("value", "platelets 90"),
        "R509": ("value", "T 101.2"),
        "I959": ("value", "BP 82/40"),
    }


def test_a_capsule_is_no_pneumonia_and_an_indication_no_finding() -> None:
    assert list_found("J159", "K5900") == {}


@pytest.mark.parametrize("note", ["", "Wrist fracture.", "Cancer of unknown kind.", "Infection."])
def test_a_vague_word_supports_no_code(note: str) -> None:
    assert find_support(note, [Code("S72001A"), Code("C509"), Code("A419"), Code("B20")]) == []
