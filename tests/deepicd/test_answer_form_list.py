"""Answers with several diagnoses: written, parsed, refused."""

import pytest

from deepicd.answer_form import (
    Answer,
    Answers,
    Malformed,
    list_diagnoses,
    parse_answer,
    parse_answers,
    write_answer,
    write_answers,
)
from deepicd.icd10cm import Code

CODES = (Code("I214"), Code("I10"), Code("C7A8"))
THINK = "<think>\nPressure.\n</think>\n"


def test_what_is_written_is_read_again() -> None:
    assert parse_answers(write_answers("Pressure.", CODES)) == Answers("Pressure.", CODES)


def test_one_diagnosis_is_written_and_read_as_the_task_of_one_does() -> None:
    text = write_answer("Pressure.", CODES[0])
    assert write_answers("Pressure.", CODES[:1]) == text
    assert parse_answer(text) == Answer("Pressure.", CODES[0])
    assert parse_answers(text) == Answers("Pressure.", CODES[:1])


def test_order_and_repetition_stay() -> None:
    text = f"{THINK}<diagnosis>I10</diagnosis> <diagnosis>I21.4</diagnosis>\n<diagnosis>I10</diagnosis>"
    assert parse_answers(text) == Answers("Pressure.", (Code("I10"), Code("I214"), Code("I10")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "missing tag"),
        (THINK, "missing tag"),
        (f"{THINK}{THINK}<diagnosis>I10</diagnosis>", "repeated tag"),
        (f"<diagnosis>I10</diagnosis>{THINK}", "tags out of order"),
        (f"{THINK}<diagnosis>I10<diagnosis>I214</diagnosis>", "tags out of order"),
        (f"{THINK}<diagnosis>I10</diagnosis> and <diagnosis>I214</diagnosis>", "text outside the blocks"),
        (f"Well. {THINK}<diagnosis>I10</diagnosis>", "text outside the blocks"),
        (f"{THINK}<diagnosis>I10</diagnosis>.", "text outside the blocks"),
        ("<think> </think><diagnosis>I10</diagnosis><diagnosis>I214</diagnosis>", "empty trace"),
        (f"{THINK}<diagnosis>I10</diagnosis><diagnosis>none</diagnosis>", "no code in the diagnosis"),
        (f"{THINK}<diagnosis>I10, I214</diagnosis>", "no code in the diagnosis"),
    ],
)
def test_another_form_is_refused_with_its_problem(text: str, problem: str) -> None:
    assert parse_answers(text) == Malformed(problem)  # type: ignore[arg-type]


def test_a_megabyte_of_tags_is_read_in_linear_time() -> None:
    many = THINK + "<diagnosis>I10</diagnosis>" * 20_000
    answer = parse_answers(many)
    assert isinstance(answer, Answers)
    assert len(answer.codes) == 20_000
    assert isinstance(parse_answers(THINK + "<diagnosis>" * 50_000), Malformed)


def test_diagnosis_blocks_are_found_without_the_form() -> None:
    text = (
        "So: <diagnosis>I21.4 - NSTEMI</diagnosis> <diagnosis>unclear</diagnosis> <diagnosis>I10</diagnosis><diagnosis>"
    )
    assert list_diagnoses(text) == [Code("I214"), None, Code("I10")]
