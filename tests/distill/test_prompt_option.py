"""A prompt of one's own for teacher, judge and student: by file or in the recipe, under its own name everywhere."""

import json
from pathlib import Path

import pytest
from cohorts import NOTE, rows_in, write_cohort
from conftest import Deepicd

from deepicd.engines.ledger import digest_prompt
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description
from distill import prompt
from distill.prompt import Material

DESCRIPTION = Description(
    code="I21", level="3", warning="medium", reasons=(), title="", text="Ihr Herz.\n\nZweiter {{ Absatz }}. "
)
DIGESTS = {
    ("paper", True, True, True): "fe0fc3a74b40c9ae",
    ("paper", True, False, True): "8110b340929dfd94",
    ("paper", True, False, False): "cdb030d5accedebb",
    ("paper", False, True, True): "cef729613d6db9d5",
    ("paper", False, False, True): "c748955e2c4e5183",
    ("paper", False, False, False): "24d88a27dcdcd8be",
    ("prefix", True, True, True): "756405dd1e57af93",
    ("prefix", True, False, True): "06bcbdd0ff258215",
    ("prefix", True, False, False): "25c47d413c96266a",
    ("prefix", False, True, True): "75481067d56f58a9",
    ("prefix", False, False, True): "a8ce58db65ce2d57",
    ("prefix", False, False, False): "551875930b0fa7a9",
}
"""Layout, description, guidelines, a place for them → digest of our prompt. A change here makes ledgers worthless."""

OWN = """\
name: terse-1
messages:
- role: user
  content: |-
    # Admission note
    {{ note }}

    # Diagnosis to arrive at
    {{ code }}: {{ title }}
    Write the code as {{ icd_code }}.
"""


@pytest.mark.parametrize("case", DIGESTS, ids=str)
def test_our_prompt_has_the_bytes_by_which_ledgers_know_it(case: tuple[str, bool, bool, bool]) -> None:
    layout, has_description, has_guidelines, with_guidelines = case
    material = Material(
        note="## Chief Complaint\nChest pain <b>&amp; {% x %}\n\n",
        code=Code("I214"),
        title="NSTEMI: a",
        description=DESCRIPTION if has_description else None,
        guidelines="9. Chapter 9: Circulatory\n- a\n" if has_guidelines else None,
        with_guidelines=with_guidelines,
    )
    chat = prompt.build_messages(material, "paper" if layout == "paper" else "prefix")
    assert digest_prompt(chat, prompt.OPENING)[:16] == DIGESTS[case]


def test_teacher_judge_and_student_are_asked_in_words_of_ones_own(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    (tmp_path / "teacher.yaml").write_text(OWN)
    (tmp_path / "judge.yaml").write_text(
        'name: rubric-mine\nmessages: [{role: user, content: "{{ note }} {{ trace }}"}]\n'
    )
    (tmp_path / "student.yaml").write_text(
        'name: short-1\nmessages: [{role: user, content: "Code this: {{ note }}"}]\n'
    )
    rehearsal = ("--recipe", "rehearsal")
    written = deepicd("distill", cohort, tmp_path / "traces", *rehearsal, "--prompt", tmp_path / "teacher.yaml")
    assert written.code == 0, written.err
    [folder] = (tmp_path / "traces").glob("*/kept")
    assert {row["prompt"] for row in rows_in(folder)} == {"terse-1"}
    assert "“Chest pain”" in rows_in(folder)[0]["trace"]
    record = json.loads((folder.parent / "run.json").read_text())
    assert record["options"]["messages"][0]["content"].startswith("# Admission note\n{{ note }}")
    assert record["counts"]["asked"]["version"] == "terse-1"

    judge = ("--recipe", "judge-rehearsal", "--prompt", tmp_path / "judge.yaml")
    assert deepicd("judge", tmp_path / "traces", tmp_path / "scores", *judge).code == 0
    assert {row["rubric"] for row in rows_in(tmp_path / "scores")} == {"rubric-mine"}

    files = ("--cohort", cohort, "--traces", tmp_path / "traces", tmp_path / "dataset")
    assert deepicd("assemble", *files, "--prompt", tmp_path / "student.yaml").code == 0
    for config in ("sft", "grpo"):
        asked = rows_in(tmp_path / "dataset" / config)[0]["prompt"]
        assert asked == [{"role": "user", "content": f"Code this: {NOTE}"}]
    assert json.loads((tmp_path / "dataset" / "run.json").read_text())["options"]["prompt"]["name"] == "short-1"


def test_another_prompt_asks_anew_and_the_old_one_asks_nothing(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 20), tmp_path / "out"
    (tmp_path / "teacher.yaml").write_text(OWN)
    arguments = ("distill", cohort, out, "--recipe", "rehearsal", "--set", "attempts=1")
    for _ in range(2):
        assert deepicd(*arguments).code == deepicd(*arguments, "--prompt", tmp_path / "teacher.yaml").code == 0
    lines = [json.loads(line) for path in (out / "ledger").glob("0*") for line in path.open()]
    assert sum(line["kind"] == "completion" for line in lines) == 40


def test_a_prompt_of_one_kind_is_refused_for_another(tmp_path: Path, deepicd: Deepicd) -> None:
    (tmp_path / "teacher.yaml").write_text(OWN)
    shown = deepicd("prompt", "show", "judge", tmp_path / "teacher.yaml")
    assert shown.code == 1
    assert "The prompt for the judge" in shown.err and "trace" in shown.err


def test_ours_are_shown_as_files_to_start_from(tmp_path: Path, deepicd: Deepicd) -> None:
    for who in ("teacher", "student", "judge"):
        shown = deepicd("prompt", "show", who)
        mine = tmp_path / f"{who}.yaml"
        mine.write_text(shown.out.replace("name: ", "name: my-"))
        again = deepicd("prompt", "show", who, mine)
        assert again.out == mine.read_text()
