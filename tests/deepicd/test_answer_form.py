"""The form of an answer, and how near its code is to the true one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepicd.answer_form import (
    TAGS,
    Answer,
    Malformed,
    measure_overlap,
    parse_answer,
    write_answer,
)
from deepicd.icd10cm import Code, load_release
from deepicd.prompts import student

CODES = st.from_regex(r"[A-Z][0-9][0-9AB][0-9A-Z]{0,4}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "missing tag"),
        ("I10", "missing tag"),
        ("<think>a</think>", "missing tag"),
        ("<think>a<diagnosis>I10</diagnosis>", "missing tag"),
        ("a</think><diagnosis>I10</diagnosis>", "missing tag"),  # the primed <think> was not put back
        ("<think>a</think><diagnosis>I10</diagnosis><diagnosis>I11</diagnosis>", "repeated tag"),
        ("<think>a</think><think>b</think><diagnosis>I10</diagnosis>", "repeated tag"),
        ("<think>a<think>b</think></think><diagnosis>I10</diagnosis>", "repeated tag"),
        ("<diagnosis>I10</diagnosis><think>a</think>", "tags out of order"),
        ("<think>a<diagnosis>I10</diagnosis></think>", "tags out of order"),
        ("Sure! <think>a</think><diagnosis>I10</diagnosis>", "text outside the blocks"),
        ("<think>a</think><diagnosis>I10</diagnosis> I am certain.", "text outside the blocks"),
        ("<think> \n</think><diagnosis>I10</diagnosis>", "empty trace"),
        ("<think>a</think><diagnosis></diagnosis>", "no code in the diagnosis"),
        ("<think>a</think><diagnosis>hypertension</diagnosis>", "no code in the diagnosis"),
        ("<think>a</think><diagnosis>I10, I11</diagnosis>", "no code in the diagnosis"),
        ("<THINK>a</THINK><diagnosis>I10</diagnosis>", "missing tag"),
    ],
)
def test_an_answer_without_the_form_is_told_apart(text: str, problem: str) -> None:
    assert parse_answer(text) == Malformed(problem)  # type: ignore[arg-type]


def test_white_space_and_a_dot_are_no_fault() -> None:
    assert parse_answer(" <think>\na\n</think>\n\n<diagnosis> c7a.8 </diagnosis>\n") == Answer("a", Code("C7A8"))


@given(st.text().filter(lambda text: text.strip() and not any(tag in text for tag in TAGS)))
def test_what_is_written_is_read_back(trace: str) -> None:
    answer = parse_answer(write_answer(trace, Code.parse("Z3A.08")))
    assert answer == Answer(trace.strip(), Code("Z3A08"))


def test_every_billable_code_can_be_answered() -> None:
    for code in load_release().list_codes()[::50]:
        assert parse_answer(write_answer("Reasons.", code)) == Answer("Reasons.", code)


def test_the_task_shows_the_note_and_the_form() -> None:
    system, user = student.build_messages("Chief Complaint:\nCough")
    assert user == {"role": "user", "content": "Chief Complaint:\nCough"}
    assert all(tag in system["content"] for tag in TAGS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<" * 2**20, "missing tag"),
        ("<think>" * 2**17, "missing tag"),
        ("".join(TAGS) * 2**15, "repeated tag"),
        ("<think>a</think><diagnosis>" + "I10 " * 2**18 + "</diagnosis>", "no code in the diagnosis"),
    ],
    ids=["brackets", "openings", "spam", "codes"],
)
def test_a_hostile_megabyte_is_refused_like_any_other_text(text: str, problem: str) -> None:
    assert parse_answer(text) == Malformed(problem)  # type: ignore[arg-type]


def test_overlap_counts_characters_without_dots() -> None:
    assert measure_overlap("I50.21", "I5023") == 4
    assert measure_overlap("I10", "J10") == 0
    assert measure_overlap("S72", "S72.001A") == 3
    assert measure_overlap("", "I10") == 0


@given(CODES)
def test_the_gold_answer_overlaps_in_full(code: str) -> None:
    assert measure_overlap(code, code) == len(code)


@given(CODES, CODES)
def test_overlap_is_symmetric_and_bounded(first: str, second: str) -> None:
    assert measure_overlap(first, second) == measure_overlap(second, first) <= min(len(first), len(second))
