"""Reading the code of an answer, and advice that leads in no circle."""

from itertools import product

import pytest

from deepicd.answer_form import read_code, write_answer
from deepicd.icd10cm import Code
from train.evaluation.reading import Reading, extract_code, find_advice

CODE = Code("I5021")
FORM = write_answer("Reasons.", CODE)
OPENED = FORM.removeprefix("<think>")
BARE = "<diagnosis>I50.21</diagnosis>"


@pytest.mark.parametrize(
    "text",
    [
        "I5021", " i50.21\n", "**I50.21**", "`I50.21`", "I50.21.", "I50.21 - Acute systolic heart failure",
        "I50.21: acute", "I50.21 – akut",
        "(I50.21)", "ICD-10-CM: I50.21", "Code: **I50.21**", "ICD-10 code I50.21",
        "- I50.21 (not I50.21)", "I50.21 Acute systolic (congestive) heart failure",
    ],
)  # fmt: skip
def test_a_code_is_read_in_its_markup_and_before_its_title(text: str) -> None:
    assert read_code(text) == CODE


@pytest.mark.parametrize(
    "text",
    [
        "", "I50.21, I10", "I50.21 or I50.23", "It is heart failure", "The code is I50.21", "I50.21.1", "I", "*" * 50,
        "*" * 1_000_000,
    ],
)  # fmt: skip
def test_a_sentence_and_two_codes_are_no_prediction(text: str) -> None:
    assert read_code(text) is None


@pytest.mark.parametrize(
    ("text", "reading", "result"),
    [
        (FORM, "form", CODE),
        (BARE, "form", "missing tag"),
        (BARE, "diagnosis", CODE),
        ("<diagnosis>**I50.21**</diagnosis>", "diagnosis", CODE),
        ("<diagnosis>I50.21 - Acute systolic heart failure</diagnosis>", "diagnosis", CODE),
        ("**I50.21**", "diagnosis", CODE),
        ("Reasons.</think>\nI50.21.", "diagnosis", CODE),
        ("Reasons.</think>\nFirst line.\nI50.21.", "diagnosis", "no diagnosis block"),
        ("<think>I50.21", "diagnosis", "no diagnosis block"),
        ("<diagnosis>I50.21, I10</diagnosis>", "diagnosis", "no code in the diagnosis"),
        (None, "diagnosis", "no answer"),
    ],
)
def test_what_an_answer_predicts(text: str | None, reading: Reading, result: Code | str) -> None:
    assert extract_code(text, reading) == result


def test_no_advice_leads_in_a_circle() -> None:
    for parts in product(range(5), repeat=4):
        texts = [
            text for text, number in zip((FORM, OPENED, BARE, "Nothing."), parts, strict=True) for _ in range(number)
        ]
        for is_model in (False, True):
            opening, reading, seen = "", "form", set()
            while advice := find_advice(texts, reading=reading, opening=opening, is_model=is_model):  # type: ignore[arg-type]
                assert (opening, reading) not in seen, parts
                seen.add((opening, reading))
                if "diagnosis" in advice:
                    reading = "diagnosis"
                else:
                    opening = "" if "without" in advice else "<think>"


def test_lists_are_told_to_be_evaluated_as_lists() -> None:
    several = "<think>Reasons.</think><diagnosis>I5021</diagnosis><diagnosis>I10</diagnosis>"
    advice = find_advice([several, several, BARE], reading="form", opening="", is_model=False)
    assert advice is not None and "--config multi" in advice
    assert find_advice([several], reading="list", opening="", is_model=False) is None


def test_a_model_is_never_told_to_change_its_opening() -> None:
    assert find_advice([OPENED], reading="form", opening="", is_model=False) is not None
    advice = find_advice([OPENED], reading="form", opening="<think>", is_model=True)
    assert advice == "More are read with --answers diagnosis, which needs no reasoning."
    assert find_advice(["Nothing."], reading="form", opening="", is_model=True) is None
