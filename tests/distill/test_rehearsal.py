"""Rehearsal reads its prompts like any engine."""

import json
from pathlib import Path

import pytest
from cohorts import NOTE
from engine_requests import answers, request

from deepicd.answer_form import Answer, parse_answer
from deepicd.engines.base import Completion, Message, Request
from deepicd.engines.registry import open_engine
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Description
from deepicd.prompts.student import build_messages
from deepicd.prompts.template import load_own
from distill import prompt
from distill.prompt import Material
from distill.recipe import Layout, Recipe
from distill.rehearsal import NO_CODE, read_case

RECIPE = Recipe(name="test", engine="rehearsal", model="none")
DESCRIPTION = Description(
    code="I21", level="3", warning="medium", reasons=(), title="Akuter Myokardinfarkt", text="# Kein Abschnitt\n\nHerz."
)
GUIDELINES = "9. Chapter 9: Circulatory\n\n# An excerpt: no section of the prompt\nMore."


def complete(messages: list[Message], **fields: object) -> str:
    """What rehearsal writes for a chat."""
    engine = open_engine(RECIPE)
    [completion] = answers(engine, [Request("ab" * 16, messages, seed=42, **fields)]).values()  # type: ignore[arg-type]
    assert isinstance(completion, Completion)
    return completion.text


@pytest.mark.parametrize("layout", ["paper", "prefix"])
@pytest.mark.parametrize("note", [NOTE, f"{NOTE}\n\n\n", "Chief Complaint:\n# 1 back pain\n\n# 2 cough", " a\n\n# b "])
@pytest.mark.parametrize("title", ["NSTEMI", "Gout: chronic, right # ankle", ""])
def test_the_case_is_read_from_either_layout(layout: Layout, note: str, title: str) -> None:
    for description, guidelines, with_guidelines in (
        (DESCRIPTION, GUIDELINES, True), (None, None, True), (None, None, False),
    ):  # fmt: skip
        material = Material(note, Code("I214"), title, description, guidelines, with_guidelines)
        case = read_case(prompt.build_messages(material, layout))
        assert (case.note, case.code, case.title) == (note, Code("I214"), title)


def test_a_trace_quotes_the_note_and_closes_on_the_code_of_the_prompt() -> None:
    text = complete(prompt.build_messages(Material(NOTE, Code("M109"), "Gout, unspecified", None, None), "prefix"))
    answer = parse_answer(text)
    assert isinstance(answer, Answer)
    assert answer.code == Code("M109")
    assert "“Chest pain”" in answer.trace and "Gout, unspecified" in answer.trace


def test_a_judges_prompt_is_answered_by_its_schema() -> None:
    judged = rubric.JudgedTrace(NOTE, "A trace.", Code("I214"), "NSTEMI")
    chat = rubric.build_messages(judged, load_own(rubric.PROMPT), description=None, guidelines=None)
    text = complete(chat, schema=rubric.SCHEMA)
    assert rubric.parse_score(text) is not None
    assert set(json.loads(text)) == {"why", "score"}


def test_a_prompt_without_a_code_is_answered_in_form() -> None:
    answer = parse_answer(complete(build_messages(NOTE)))
    assert isinstance(answer, Answer)
    assert answer.code == NO_CODE
    assert "“Chest pain”" in answer.trace
    assert open_engine(RECIPE).collect() == []
    assert complete(request(1).messages)
    assert complete([])


def test_a_request_gets_the_same_completion_in_any_company(tmp_path: Path) -> None:
    chats = [request(number, "Cough. " * number) for number in range(20)]
    engine = open_engine(RECIPE)
    together, alone = answers(engine, chats), answers(engine, chats[7:8])
    assert alone["key-7"] == together["key-7"]
