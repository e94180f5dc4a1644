"""Prompt files in the form of the paper's authors; every word here is ours."""

import json
from pathlib import Path

import pytest
import yaml

from deepicd.errors import DeepicdError
from deepicd.knowledge import rubric
from deepicd.prompts import student
from deepicd.prompts.authors import import_prompt, write_prompt
from deepicd.prompts.template import PromptTemplate, load_prompt
from distill import prompt as teacher

TEACHER = """role,content
system,"Be brief, ""doctor""."
user,"The note:
$$$NOTE$$$\\n
Reach $$$CODE$$$ of {% $$$CHAPTERNAME$$$ %}: $$$SYMPTOMS$$$ $$$GUIDELINES$$$

End with $$$CODE$$$."
assistant,"<think>"
"""


def test_a_teachers_csv_keeps_its_words_and_its_opening(tmp_path: Path) -> None:
    (tmp_path / "oracle.csv").write_text(TEACHER)
    template = PromptTemplate(
        teacher.PROMPT, import_prompt(tmp_path / "oracle.csv", teacher.PROMPT, "authors").messages
    )
    values = dict(teacher.PROMPT.values) | {"note": "Pale.\n\n", "description": None, "guidelines": "9. Chapter 9"}
    assert template.render(values) == [
        {"role": "system", "content": 'Be brief, "doctor".'},
        {
            "role": "user",
            "content": "The note:\nPale.\n\n\\n\n"
            "Reach I214 of {% Diseases of the circulatory system %}:  9. Chapter 9\n\n"
            "End with I214.",
        },
    ]
    assert template.opening == "<think>"


def test_a_judges_json_is_read_and_written_as_one_of_our_files(tmp_path: Path) -> None:
    turns = {"SYSTEM": "You rate.", "USER": '$$ADMISSION_NOTE$$ $$TRACE$$ $$ICD$$ Answer {{"score": 3}}.'}
    (tmp_path / "judge.json").write_text(json.dumps(turns))
    write_prompt(import_prompt(tmp_path / "judge.json", rubric.PROMPT, "authors"), tmp_path / "judge.yaml")
    read = load_prompt(tmp_path / "judge.yaml", rubric.PROMPT)
    assert read.name == "authors"
    chat = rubric.build_messages(
        rubric.JudgedTrace("A.", "B.", teacher.Code("I214"), ""),
        PromptTemplate(rubric.PROMPT, read.messages),
        description=None,
        guidelines=None,
    )
    assert chat[1]["content"] == 'A. B. I214 Answer {{"score": 3}}.'


def test_a_students_csv_loses_its_opening_which_is_an_option_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "student.csv").write_text('role,content\nuser,"Read {note} well."\nassistant,<think>\n')
    imported = import_prompt(tmp_path / "student.csv", student.PROMPT, "theirs")
    assert imported.messages == [{"role": "user", "content": "Read {{ note }} well."}]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "role,content\nuser,$$$NOTE$$$ $$$AGE$$$\n", "a placeholder 'AGE' that nothing here corresponds to"),
        ("a.csv", "who,what\nuser,x\n", "is not a prompt of the authors"),
        ("a.json", "[1]", "is not a prompt of the authors"),
        ("a.json", '{"USER": 1}', "has no turns"),
        ("a.csv", "role,content\nuser,Nothing.\n", "shows the note not at all"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DeepicdError, match=message):
        import_prompt(tmp_path / name, student.PROMPT, "x")


def test_a_file_that_exists_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "student.csv").write_text("role,content\nuser,{note}\n")
    imported = import_prompt(tmp_path / "student.csv", student.PROMPT, "theirs")
    write_prompt(imported, tmp_path / "new" / "out.yaml")
    assert yaml.safe_load((tmp_path / "new" / "out.yaml").read_text())["name"] == "theirs"
    with pytest.raises(DeepicdError, match="exists"):
        write_prompt(imported, tmp_path / "new" / "out.yaml")
