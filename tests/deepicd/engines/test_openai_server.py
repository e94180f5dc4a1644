"""The engine `openai_server` against a real HTTP server on loopback, in all its moods."""

from dataclasses import replace
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort
from openai_server import MODEL, Fault, StandIn, answer, break_off, hang, openai_server, status

from deepicd import records
from deepicd.engines import openai_client
from deepicd.errors import DeepicdError
from distill import run
from distill.recipe import Recipe


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_client, "POLICY", replace(openai_client.POLICY, first_wait=0.01))


def recipe(stand_in: StandIn, **fields: object) -> Recipe:
    return Recipe(name="test", engine="openai_server", model=MODEL, base_url=stand_in.url, timeout=5.0).replace(
        **fields
    )


def distilled(stand_in: StandIn, folder: Path, rows: int = 20, **fields: object) -> records.Record:
    return run.distill(write_cohort(folder / "cohort", rows), folder / "out", recipe(stand_in, **fields))


def test_every_row_is_answered_with_many_requests_in_flight(tmp_path: Path) -> None:
    with openai_server(delay=0.3) as stand_in:
        record = distilled(stand_in, tmp_path, 200)
    assert record.counts.kept == {"train": 140, "validation": 20, "test": 40}
    assert 32 < stand_in.most_at_once <= 64
    assert record.counts.engines == {"openai_server vllm 0.27.1": 200}
    assert len(stand_in.asked) == 200


def test_a_row_says_what_the_server_said_of_its_tokens(tmp_path: Path) -> None:
    with openai_server() as stand_in:
        record = distilled(stand_in, tmp_path)
    row = rows_in(tmp_path / "out" / record.counts.recipe_digest / "kept")[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (900, 80, 600)
    assert row["seconds"] > 0
    assert record.counts.series[-1]["tokens_out"] == 20 * 80


def test_vllm_goes_on_from_an_opened_turn_and_is_told_all_of_the_sampling(tmp_path: Path) -> None:
    with openai_server() as stand_in:
        distilled(stand_in, tmp_path)
    body = stand_in.asked[0]
    assert body["messages"][-1] == {"role": "assistant", "content": "<think>\n"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert (body["temperature"], body["top_p"], body["top_k"], body["seed"]) == (0.9, 1.0, -1, 42)
    assert (body["repetition_penalty"], body["max_tokens"], body["model"]) == (1.0, 1024, MODEL)


def test_another_server_is_asked_as_openai_documents_it(tmp_path: Path) -> None:
    with openai_server(owned_by="somebody") as stand_in:
        record = distilled(stand_in, tmp_path)
    assert set(stand_in.asked[0]) == {"model", "seed", "temperature", "top_p", "max_tokens", "messages"}
    assert [message["role"] for message in stand_in.asked[0]["messages"]] == ["system", "user"]
    assert sum(record.counts.kept.values()) == 20


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429), status(200, "no JSON"), status(200, "{}"), status(200, "[]"), break_off],
    ids=["500", "503", "429", "no JSON", "no choices", "a list", "broken off"],
)
def test_what_may_pass_is_asked_again(fault: Fault, tmp_path: Path) -> None:
    with openai_server(faults=[fault] * 5) as stand_in:
        record = distilled(stand_in, tmp_path)
    assert sum(record.counts.kept.values()) == 20
    assert len(stand_in.asked) == 25


def test_a_request_that_hangs_is_given_up_and_asked_again(tmp_path: Path) -> None:
    with openai_server(faults=[hang(8.0)]) as stand_in:
        record = distilled(stand_in, tmp_path, timeout=2.0)
    assert sum(record.counts.kept.values()) == 20


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    with openai_server(faults=[status(429, headers={"Retry-After": "1"})]) as stand_in:
        record = distilled(stand_in, tmp_path, 10)
    assert record.seconds > 1.0


def test_a_prompt_over_the_servers_context_is_a_row_without_an_answer(tmp_path: Path) -> None:
    too_long = status(400, '{"error": {"message": "Over 40 tokens", "code": "context_length_exceeded"}}')
    with openai_server(faults=[too_long]) as stand_in:
        record = distilled(stand_in, tmp_path)
        assert sum(record.counts.kept.values()) == 19
        assert record.counts.unanswered == {"the prompt is longer than the server's context": 1}
        [row] = rows_in(tmp_path / "out" / record.counts.recipe_digest / "rejected")
        assert (row["rejected_for"], row["completion"]) == (["no answer"], None)
        again = distilled(stand_in, tmp_path)  # the same command asks for it once more, and for nothing else
        assert len(stand_in.asked) == 21
    assert sum(again.counts.kept.values()) == 20


@pytest.mark.parametrize(
    ("always", "message"),
    [
        (status(401), "export DEEPICD_API_KEY"),
        (status(403), "export DEEPICD_API_KEY"),
        (status(404), "no such model, or no chat API"),
        (status(500), "the server answered 500"),
        (status(200, "<html>"), "is not JSON"),
        (status(200, '{"ok": true}'), "not as a server of OpenAI's API"),
        (status(418), "answered 418"),
        (hang(1.0), "no answer within 0.3 seconds"),
    ],
)
def test_a_server_that_is_none_is_an_error_with_what_to_do(always: Fault, message: str, tmp_path: Path) -> None:
    with openai_server(always=always) as stand_in, pytest.raises(DeepicdError, match=message):
        distilled(stand_in, tmp_path, timeout=0.3 if "0.3" in message else 20.0)


def test_no_server_a_wrong_model_and_a_small_context_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="no server answers"):
        distilled(StandIn(url="http://127.0.0.1:9/v1"), tmp_path)
    with openai_server(max_model_len=4096) as stand_in:
        with pytest.raises(DeepicdError, match="It serves: stand-in"):
            distilled(stand_in, tmp_path, model="another")
        with pytest.raises(DeepicdError, match="Add --context 4096"):
            distilled(stand_in, tmp_path)
        assert sum(distilled(stand_in, tmp_path, context=4096).counts.kept.values()) == 20


def test_what_was_answered_before_the_server_refused_is_not_asked_again(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 60)
    with openai_server() as stand_in:
        one_by_one = recipe(stand_in, in_flight=1)
        stand_in.faults = [lambda handler: answer(stand_in, handler)] * 30 + [status(401)]
        with pytest.raises(DeepicdError, match="needs an API key"):
            run.distill(cohort, tmp_path / "out", one_by_one)
        assert len(stand_in.asked) == 31
        record = run.distill(cohort, tmp_path / "out", one_by_one)
    assert sum(record.counts.kept.values()) == 60
    assert len(stand_in.asked) == 61


def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPICD_API_KEY", "made-up")
    with openai_server() as stand_in:
        distilled(stand_in, tmp_path)
    assert stand_in.headers[0]["Authorization"] == "Bearer made-up"
    assert not any("made-up" in path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*.json*"))
