"""The reward for points of the stay: a real server that grades by words, and texts that play for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from copies import discharge, note, stay, write_copy
from openai_server import MODEL, StandIn, hang, openai_server, status

from builders.cohort.build import build
from deepicd import storage
from deepicd.answer_form import write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import COHORT
from distill.recipe import Recipe
from distill.run import distill
from distill.verification.recipe import load_recipe
from distill.verification.run import VerifyJob, verify
from train.config import load_grpo_recipe
from train.rewards import score, trl, verl
from train.rewards.bench import benchmark_rewards
from train.rewards.judge_server import FAILURES, parse_judge
from train.rewards.points import MOST_OWN, Points, draw_points, open_points, pay, read_points

NOTE = "Pain in the leg grew worse over two days after a long flight."
STAYS = {
    "leg": ["Does it consider embolism?", "Does it consider anticoagulation?"],
    "chest": ["Does it consider infarction?", "Does it consider aspirin?"],
    "head": ["Does it consider stroke?", "Does it consider bleeding?"],
}
EVERYTHING = "Embolism, anticoagulation, infarction, aspirin, stroke and bleeding."


def write(trace: str) -> str:
    return write_answer(trace, Code("I2699"))


def grade_by_words(body: dict[str, Any]) -> dict[str, Any]:
    """Meet a point where the last words of its question stand in the trace."""
    listed, _, trace = body["messages"][-1]["content"].partition("\n\n# Line of thought\n")
    names = [line.rpartition(" ")[2].rstrip("?") for line in listed.splitlines()[1:]]
    text = json.dumps({"met": [name.lower() in trace.lower() for name in names]})
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}


@pytest.fixture
def server() -> Iterator[StandIn]:
    with openai_server() as stand_in:
        stand_in.completion = grade_by_words  # type: ignore[method-assign]
        yield stand_in


@pytest.fixture
def fields(server: StandIn) -> dict[str, Any]:
    return {"model": MODEL, "base_url": server.url, "timeout": 5.0}


def test_own_points_earn_and_those_of_other_stays_cost(server: StandIn, fields: dict[str, Any]) -> None:
    points = Points(parse_judge(fields, "mimic"), STAYS)
    texts = [
        write("An embolism is likely, so anticoagulation."),
        write("An embolism is likely."),
        write(EVERYTHING),
        write("Several things are possible, and tests will follow."),
        write(f"{NOTE} {NOTE}"),
        "no form",
    ]
    assert points.score(["leg"] * 6, [NOTE] * 6, texts) == [1.0, 0.5, 0.0, 0.0, 0.0, None]
    assert len(server.asked) == 4  # a copy of the note is not even sent
    assert points.score(["leg"] * 6, [NOTE] * 6, texts) == [1.0, 0.5, 0.0, 0.0, 0.0, None]
    assert len(server.asked) == 4
    points.close()


def test_the_server_sees_the_trace_and_questions_and_nothing_else(server: StandIn, fields: dict[str, Any]) -> None:
    points = Points(parse_judge(fields, "mimic"), STAYS)
    points.score(["leg"], [NOTE], [write("Pain in the leg grew worse over two days: an embolism?")])
    prompt = server.asked[0]["messages"][1]["content"]
    listed, _, trace = prompt.partition("\n\n# Line of thought\n")
    assert trace == ": an embolism?"
    questions = [line.partition(". ")[2] for line in listed.splitlines()[1:]]
    assert set(STAYS["leg"]) < set(questions) < {question for listed in STAYS.values() for question in listed}
    assert "I2699" not in prompt and "I26.99" not in prompt and NOTE not in prompt
    points.close()


def test_a_text_that_is_the_same_under_every_note_earns_nothing_on_average() -> None:
    """Things 0 and 1 are right in every second stay, and the text names them always."""
    stays = {f"n{n}": [f"Is it {k}?" for k in sorted({n % 3, n % 5, n % 12})] for n in range(2400)}
    notes = sorted(stays)
    drawn = [draw_points(note_id, stays, notes) for note_id in notes]
    earned = [pay([one in ("Is it 0?", "Is it 1?") for one in asked.questions], asked) for asked in drawn]
    named = [any(asked.questions[place] in ("Is it 0?", "Is it 1?") for place in asked.own) for asked in drawn]
    assert sum(named) / len(named) > 0.7
    assert round(sum(earned) / len(earned), 2) == 0.0
    assert drawn == [draw_points(note_id, stays, notes) for note_id in notes]
    many = {"a": [f"Is it {n}?" for n in range(20)], "b": [f"Was it {n}?" for n in range(20)]}
    assert MOST_OWN < len(draw_points("a", many, ["a", "b"]).questions) <= 2 * MOST_OWN


def test_a_dead_server_costs_nothing_and_is_counted(server: StandIn, fields: dict[str, Any]) -> None:
    server.always = hang(30)
    points = Points(parse_judge(fields | {"timeout": 0.5, "in_flight": 8}, "mimic"), STAYS)
    texts = [write(f"An embolism, {n}.") for n in range(60)]
    assert points.score(["leg"] * 60 + ["none"], [NOTE] * 61, [*texts, texts[0]]) == [None] * 61
    missed = points.count_missed()
    assert missed["no points of the stay"] == 1
    assert missed["no answer within 0.5 seconds"] <= FAILURES + 8
    assert sum(missed.values()) == 61
    points.close()


def test_an_answer_in_another_form_is_no_grade(server: StandIn, fields: dict[str, Any]) -> None:
    for text in ('{"met": [true]}', '{"met": ["yes", "no", "no", "no"]}', "All of them.", "[" * 100_000):
        reply = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
        server.completion = lambda body, reply=reply: reply  # type: ignore[method-assign,misc]
        points = Points(parse_judge(fields, "mimic"), STAYS)
        assert points.score(["leg"], [NOTE], [write("An embolism.")]) == [None]
        assert points.missed == {"no score in the answer": 1}
        points.close()


def test_trl_leaves_out_a_group_of_which_one_was_missed(server: StandIn, fields: dict[str, Any]) -> None:
    points = Points(parse_judge(fields | {"in_flight": 1}, "mimic"), STAYS)
    scheme = score.parse_scheme("default", points=2.0)
    *_, function = trl.build_reward_functions(scheme, points=points.score)
    assert cast(Any, function).__name__ == "points"
    about = [{"note_id": name, "note": NOTE} for name in ("leg", "leg", "head", "head")]
    texts = [write(f"{word}, {n}.") for n, word in enumerate(("Embolism", "Nothing", "Stroke", "Nothing"))]
    server.faults = [status(400)]
    paid = function(texts, extra_info=about)
    assert paid[:2] == [None, None]
    assert paid[3] is not None and paid[2] == paid[3] + 1.0
    points.close()
    with pytest.raises(DeepicdError, match="no verification with points was given"):
        trl.build_reward_functions(scheme)


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verification of rehearsed traces: every stay has a course of its own."""
    folder = tmp_path_factory.mktemp("points")
    text = note("Cough", "It began after a long flight.")
    courses = [f"# Acute {letter * 4}itis: given {letter * 4}mycin." for letter in "abcdefghijklmnopqrst"]
    notes = [
        discharge(20000001 + n, text.replace("Hospital Course:\nLEAK", f"Hospital Course:\n{course}"))
        for n, course in enumerate(courses)
    ]
    rows = [row for n in range(20) for row in stay(20000001 + n, [(1, "R059")])]
    copy = write_copy(folder / "copy", rows, notes)
    build(copy, copy, folder / "cohort")
    distill(folder / "cohort", folder / "traces", Recipe(name="t", engine="rehearsal", model="none"), rehearse=True)
    recipe = load_recipe(Path("rehearsal")).replace(checks=["rubric"], points_least=1)
    verify(VerifyJob(folder / "traces", folder / "verified", recipe, rehearse=True))
    return folder


def test_verl_pays_for_points_that_a_verification_wrote(
    verified: Path, server: StandIn, fields: dict[str, Any]
) -> None:
    rows = storage.read_table(verified / "cohort" / "train.parquet", COHORT).to_pylist()
    points = read_points(verified / "verified")
    row = next(row for row in rows if "Does it mention Acute aaaaitis?" in points[row["note_id"]])
    assert len(points[row["note_id"]]) == 5  # three of them, about headers, are those of every stay
    about = {"note_id": row["note_id"], "note": row["admission_note"]}
    everything = " ".join(one.rpartition(" ")[2].rstrip("?") for listed in points.values() for one in listed)
    judge = {f"judge_{name}": value for name, value in fields.items()}

    def earn(trace: str, note_id: str = row["note_id"]) -> tuple[float, float]:
        paid = verl.compute_score(
            "d", write(trace), "R059", about | {"note_id": note_id}, points=2.0, verified=str(verified / "verified"),
            **judge)  # fmt: skip
        assert paid["score"] == paid["form"] + paid["outcome"] + paid["points"]
        return paid["points"], paid["graded"]

    assert earn("It will be aaaaitis, so aaaamycin.") == (pytest.approx(2 * 2 / 5), 1.0)
    assert earn(f"It will be {everything}.") == (0.0, 1.0)
    server.faults = [status(400)]
    assert earn("Something else.") == (pytest.approx(0.4), 0.0)  # what graded ones earned on average
    assert earn("Something else.", "no such note") == (0.0, 0.0)
    assert "points" not in verl.compute_score("d", write("Cough."), "R059")


def test_a_verification_without_points_and_a_recipe_without_a_judge_are_refused(verified: Path, tmp_path: Path) -> None:
    verify(VerifyJob(verified / "traces", tmp_path / "rules", load_recipe(Path("rules"))))
    with pytest.raises(DeepicdError, match="has points of 0 stays") as error:
        open_points({"model": "m", "base_url": "http://127.0.0.1:9/v1"}, tmp_path / "rules")
    assert "whose checks have `rubric`" in str(error.value.advice)
    with pytest.raises(DeepicdError, match="nothing was sent"):
        open_points({"model": "m", "base_url": "https://8.8.8.8/v1"}, verified / "verified")
    fields = {"points_weight": 1.0, "points_verified": "out/verified", "judge_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(DeepicdError, match="lacks the points or a judge"):
        load_grpo_recipe(Path("tiny-grpo"), **fields)
    recipe = load_grpo_recipe(Path("tiny-grpo"), judge_model="m", **fields)
    assert recipe.weights["points"] == 1.0 and recipe.judge == {}
    assert not {"points_weight", "points_verified"} & set(load_grpo_recipe(Path("tiny-grpo")).options)
    assert "points" not in score.DEFAULT.options


def test_no_trace_that_plays_for_points_earns_any() -> None:
    earned = {str(case["case"]): float(case["points"]) for case in benchmark_rewards()["expectations"]}
    assert earned["expects what came"] == 0.8
    assert earned["expects one thing and is right"] == 0.2
    playing = [
        "claims everything", "weighs everything", "excludes everything", "copies the note ten times", "vague",
        "expects nothing beyond the note",
    ]  # fmt: skip
    assert max(earned[name] for name in playing) <= 0
