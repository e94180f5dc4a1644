"""Prompts as templates: ours keep their bytes, and one that cannot work is refused before anything runs."""

from pathlib import Path

import pytest

from deepicd.engines.ledger import digest_prompt
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Description
from deepicd.prompts import student
from deepicd.prompts.template import PromptTemplate, choose_template, load_own, load_prompt

JUDGED = rubric.JudgedTrace("note\n", "trace {{x}}\n", Code("I214"), "NSTEMI")
DESCRIPTION = Description(
    code="I21", level="3", warning="medium", reasons=(), title="", text="Ihr Herz.\n\nZweiter {{ Absatz }}. "
)


@pytest.mark.parametrize(
    ("description", "guidelines", "sha256"),
    [
        (DESCRIPTION, "text\n", "9aead232cb4c0e56"),
        (DESCRIPTION, None, "7917dea8dd9260b5"),
        (None, "text\n", "ecbdb4724979e6fe"),
        (None, None, "7fabb315e58dd06c"),
    ],
)
def test_our_rubric_has_the_bytes_by_which_ledgers_know_it(
    description: Description | None, guidelines: str | None, sha256: str
) -> None:
    template = load_own(rubric.PROMPT)
    chat = rubric.build_messages(JUDGED, template, description=description, guidelines=guidelines)
    assert digest_prompt(chat, "")[:16] == sha256


def test_our_students_chat_has_the_bytes_that_datasets_have() -> None:
    assert digest_prompt(student.build_messages("note {{ x }}\n"), "")[:16] == "20ac419b20ec4cbf"


def judge_prompt(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{{ note }} {{ trace }} {{ truth }}", r"uses truth.\nIts variables are: note, trace, code"),
        ("{{ note }} {{ trace }} {{ description }}", "prints a text that some rows do not have"),
        ("{{ note }} {{ trace[:500] }}", "shows the trace not at all, or only a part of it"),
        ("{{ note }} {{ trace }} {{ note }}", "shows the note twice"),
        ("{{ note }} {{ trace }} {{ 1 / 0 }}", "fails: division by zero"),
        ("{{ note }} {{ trace.__class__ }}", "fails: access to attribute '__class__'"),
        ("{{ note }}\n{% if %}", "Line 2 of the prompt for the judge is not Jinja2"),
        ("{{ trace }}", "shows the note not at all"),
        ("{{ note }} {{ trace }} {{ [1, 2]|random }}", "No filter named 'random'"),
        ("{{ note }} {{ trace }} {{ lipsum() }}", "uses lipsum"),
        ("{{ note }} {{ trace }} {{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
        ("{{ note }} {{ trace }} {{ " + "9" * 5000 + " }}", "a number that is too long"),
        ("{{ note }} {{ trace }} {{ 'a' * 10 ** 18 }}", "needs more memory than there is"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(content: str, message: str) -> None:
    with pytest.raises(DeepicdError, match=message):
        PromptTemplate(rubric.PROMPT, judge_prompt(content))


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ([], "has the turns none"),
        (["system"], "has the turns system"),
        (["user", "assistant"], "It needs one of the user, at most one of the system before it"),
        (["doctor"], r"It needs `role` \(system, user, assistant\) and `content`"),
    ],
)
def test_turns_that_no_chat_has_are_refused(roles: list[str], message: str) -> None:
    with pytest.raises(DeepicdError, match=message):
        PromptTemplate(student.PROMPT, [{"role": role, "content": "{{ note }}"} for role in roles])


def test_braces_in_a_note_mean_nothing() -> None:
    template = PromptTemplate(student.PROMPT, judge_prompt("Note: {{ note }}"))
    assert template.render({"note": "{{ 7 * 7 }} {% x %} <b>"})[0]["content"] == "Note: {{ 7 * 7 }} {% x %} <b>"


def test_a_name_tells_our_words_from_others() -> None:
    turns = judge_prompt("{{ note }} {{ trace }}")
    assert choose_template(rubric.PROMPT, "rubric-1", []) is load_own(rubric.PROMPT)
    assert choose_template(rubric.PROMPT, "mine", turns).turns == turns
    with pytest.raises(DeepicdError, match="asks for the prompt 'mine', and has no messages"):
        choose_template(rubric.PROMPT, "mine", [])
    with pytest.raises(DeepicdError, match="which is that of ours"):
        choose_template(rubric.PROMPT, "rubric-1", turns)


def test_a_file_of_ones_own_is_not_named_as_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text('name: student-1\nmessages: [{role: user, content: "{{ note }}"}]\n')
    with pytest.raises(DeepicdError, match=r"There is no prompt .*nothere.yaml.\n.*deepicd prompt show"):
        load_prompt(tmp_path / "nothere.yaml", student.PROMPT)
    with pytest.raises(DeepicdError, match="is named 'student-1', as our own words are"):
        load_prompt(tmp_path / "mine.yaml", student.PROMPT)
