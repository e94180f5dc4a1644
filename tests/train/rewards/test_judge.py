"""The judge while training runs: asked side by side, never in the way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from openai_server import MODEL, StandIn, hang, openai_server, status

from deepicd.answer_form import write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from train.rewards.judge import Judge, open_judge
from train.rewards.judge_server import FAILURES
from train.rewards.verl import compute_score

NOTE = "Dyspnea since Monday."


@pytest.fixture
def server() -> Iterator[StandIn]:
    with openai_server() as stand_in:
        yield stand_in


@pytest.fixture
def open_test_judge(server: StandIn) -> Iterator[Callable[..., Judge]]:
    """A function that opens a judge at the server; each is closed at the end."""
    with ExitStack() as judges:
        yield lambda **fields: judges.enter_context(
            closing(open_judge({"model": MODEL, "base_url": server.url, "timeout": 5.0, **fields}))
        )


def answers(number: int, code: str = "I5021") -> list[str]:
    return [write_answer(f"Crackles, {n} of them.", Code(code)) for n in range(number)]


def test_answers_are_judged_side_by_side_and_once(open_test_judge: Callable[..., Judge], server: StandIn) -> None:
    server.delay = 0.1
    judge = open_test_judge()
    texts = [*answers(24), *answers(24), "no form"]
    assert judge.score([NOTE] * 49, texts) == [4] * 48 + [None]
    assert len(server.asked) == 24
    assert server.most_at_once > 8
    assert not judge.missed


def test_the_judge_is_told_of_the_predicted_code_and_asked_for_json(
    open_test_judge: Callable[..., Judge], server: StandIn
) -> None:
    open_test_judge().score([NOTE], answers(1, "J189"))
    prompt = server.asked[0]["messages"][1]["content"]
    assert "J18.9: Pneumonia, unspecified organism" in prompt
    assert NOTE in prompt and "Crackles, 0 of them." in prompt
    assert server.asked[0]["response_format"]["type"] == "json_schema"
    assert server.asked[0]["temperature"] == 0.0


def test_a_judge_that_fails_costs_its_score_and_a_line(
    open_test_judge: Callable[..., Judge], server: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults = [status(400)]
    judge = open_test_judge(in_flight=1)
    assert judge.score([NOTE] * 3, answers(3)) == [None, 4, 4]
    assert judge.missed.total() == 1
    assert "The judge gave no score for 1 answers so far (the server answered 400 to this prompt 1)" in caplog.text
    assert judge.score([NOTE], answers(1)) == [4]  # what was missed is asked for again


def test_rubbish_in_place_of_a_score_is_none(open_test_judge: Callable[..., Judge], server: StandIn) -> None:
    server.completion = lambda body: {"choices": [{"message": {"content": "[" * 100_000}}]}  # type: ignore[method-assign]
    assert open_test_judge().score([NOTE] * 2, answers(2)) == [None, None]


def test_a_dead_judge_costs_one_timeout_and_not_one_for_each_answer(
    open_test_judge: Callable[..., Judge], server: StandIn
) -> None:
    server.always = hang(30)
    judge = open_test_judge(timeout=0.5, in_flight=8)
    assert judge.score([NOTE] * 200, answers(200)) == [None] * 200
    assert judge.missed["no answer within 0.5 seconds"] <= FAILURES + 8
    assert judge.missed["not asked: it failed too often just before"] >= 200 - FAILURES - 8


def test_a_judge_that_is_not_there_is_told_before_training(
    open_test_judge: Callable[..., Judge], server: StandIn
) -> None:
    open_test_judge().check()
    with pytest.raises(DeepicdError, match=r"has no model 'another'"):
        open_test_judge(model="another").check()
    with pytest.raises(DeepicdError, match="no server answers") as error:
        open_test_judge(model="m", base_url="http://127.0.0.1:9/v1").check()
    assert error.value.advice == "Start it, for instance: vllm serve m --port 9"
    with pytest.raises(DeepicdError, match="must be one server"):
        open_judge({"model": "m"})


def test_credentialed_notes_go_to_no_judge_elsewhere() -> None:
    with pytest.raises(DeepicdError, match="nothing was sent"):
        open_judge({"model": "m", "base_url": "https://8.8.8.8/v1"})
    open_judge({"model": "m", "base_url": "https://8.8.8.8/v1", "origin": "synthetic"}).close()


def test_verl_gets_the_judges_part_of_the_score(server: StandIn) -> None:
    fields = {"judge": 0.8, "judge_model": MODEL, "judge_base_url": server.url}
    found = compute_score("mimic-reason", answers(1)[0], "I5021", {"note": NOTE}, **fields)
    assert found == {"score": 6 + 3.2, "form": 1.0, "outcome": 5.0, "judge": 3.2, "judged": 1.0}
    assert compute_score("mimic-reason", "no", "I5021", {"note": NOTE}, **fields)["judge"] == 0.0


def test_an_answer_that_the_judge_missed_earns_in_verl_what_judged_ones_earned(server: StandIn) -> None:
    fields = {"judge": 0.2, "judge_model": MODEL, "judge_base_url": server.url, "judge_in_flight": 3}
    first, second, third = answers(3)
    server.faults = [status(400)]
    missed = compute_score("mimic-reason", first, "I5021", {"note": NOTE}, **fields)
    assert (missed["judge"], missed["judged"]) == (0.0, 0.0)  # before the first score there is nothing to go by
    assert compute_score("mimic-reason", second, "I5021", {"note": NOTE}, **fields)["judge"] == pytest.approx(0.8)
    server.faults = [status(400)]
    missed = compute_score("mimic-reason", third, "I5021", {"note": NOTE}, **fields)
    assert (missed["judge"], missed["judged"]) == (pytest.approx(0.8), 0.0)


def test_a_prompt_over_the_judges_context_is_not_sent(open_test_judge: Callable[..., Judge], server: StandIn) -> None:
    judge = open_test_judge(context=1000)
    assert judge.score([NOTE, "cough " * 2000], [answers(2)[0], answers(2)[1]]) == [4, None]
    assert judge.missed == {"the prompt is too long for the judge's context": 1}
    assert len(server.asked) == 1
