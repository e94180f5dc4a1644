"""What a server's reply means: an answer, a refusal of one row, ask again, or nobody can be served."""

import gzip
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in, write_cohort
from conftest import Deepicd
from openai_server import MODEL, TRACE, Fault, StandIn, hang, openai_server, status

from deepicd import records
from deepicd.engines import ledger_lines, openai_client, outage
from deepicd.engines.registry import check_engine
from deepicd.errors import DeepicdError
from distill import run
from distill.recipe import Recipe

CODE = "<diagnosis>I214</diagnosis>"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        openai_client, "POLICY", replace(openai_client.POLICY, first_wait=0.01, attempts=4, longest_wait=0.1)
    )


def recipe(server: StandIn, **fields: object) -> Recipe:
    return Recipe(name="test", engine="openai_server", model=MODEL, base_url=server.url, timeout=5.0).replace(**fields)


def distilled(server: StandIn, folder: Path, rows: int = 20, **fields: object) -> records.Record:
    cohort = folder / "cohort"
    if not cohort.exists():
        write_cohort(cohort, rows)
    return run.distill(cohort, folder / "out", recipe(server, **fields))


def reply(message: object, finish_reason: object = "stop", **fields: object) -> Fault:
    body = {"choices": [{"message": message, "finish_reason": finish_reason}], **fields}
    return status(200, json.dumps(body))


def refusal(http_status: int, **error: object) -> Fault:
    return status(http_status, json.dumps({"error": {"message": "Words that nobody reads: maximum context.", **error}}))


def when(is_met: Callable[[dict[str, Any]], bool], fault: Fault, server: StandIn) -> Fault:
    """Answer with a fault where the request is such a one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = server.asked[-1]  # requests come one by one in these tests
        (fault if is_met(body) else status(200, json.dumps(server.completion(body))))(handler)

    return answer


@pytest.mark.parametrize(
    "message",
    [
        {"content": CODE, "reasoning_content": TRACE},
        {"content": f"\n{CODE}", "reasoning": TRACE},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": TRACE}]},
                {"type": "text", "text": CODE},
            ]
        },
        {"content": f"<think>\n<think>\n{TRACE}\n</think>\n{CODE}".removeprefix("<think>\n")},
        {"content": f"{TRACE}\n</think>\n{CODE}"},
    ],
    ids=["reasoning_content", "reasoning", "parts", "opened twice", "opened by the template"],
)
@pytest.mark.parametrize("owner", ["vllm", "another"])
def test_reasoning_beside_or_within_the_text_makes_one_trace(message: object, owner: str, tmp_path: Path) -> None:
    with openai_server(owned_by=owner, always_chat=reply(message)) as server:
        record = distilled(server, tmp_path, 10)
    assert len(server.asked) == 10
    for row in rows_in(tmp_path / "out" / record.counts.recipe_digest / "kept"):
        assert row["completion"] == f"<think>\n{TRACE}\n</think>\n{CODE}"
        assert row["trace"] == TRACE


@pytest.mark.parametrize("content", [None, ""])
def test_an_answer_that_is_cut_while_reasoning_is_cut_off(content: str | None, tmp_path: Path) -> None:
    cut = reply({"content": content, "reasoning": TRACE}, "length")
    nothing_kept = r"of 20 attempts all were rejected\. Rows by reason: cut off \(10\)"
    with openai_server(always_chat=cut) as server, pytest.raises(DeepicdError, match=nothing_kept):
        distilled(server, tmp_path, 10, attempts=2)
    assert len(server.asked) == 20


@pytest.mark.parametrize("finish_reason", ["abort", "error", "never seen", None, {"a": [1]}, "tool_calls"])
def test_half_a_text_is_no_answer_and_is_asked_for_again(finish_reason: object, tmp_path: Path) -> None:
    half = reply({"content": f"{TRACE}\n</think>\n{CODE}"}, finish_reason)
    with openai_server(faults=[half] * 3) as server:
        record = distilled(server, tmp_path, 10)
    assert (record.counts.attempts, len(server.asked)) == (10, 13)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (reply({"content": "half a sen"}, "content_filter"), "the server's content filter refused the prompt"),
        (reply({"content": None}, "content_filter"), "the server's content filter refused the prompt"),
        (refusal(400, code="content_filter", param="prompt"), "the server's content filter refused the prompt"),
        (refusal(400, code="context_length_exceeded"), "the prompt is longer than the server's context"),
        (refusal(400, type="BadRequestError", param="input_tokens"), "the prompt is longer than the server's context"),
        (refusal(400), "the server answered 400 to this prompt"),
        (refusal(400, param="max_tokens"), "the server answered 400 to this prompt"),
        (refusal(422), "the server answered 422 to this prompt"),
        (reply({"content": None, "refusal": "No."}), "the model refused to answer"),
        (status(200, '{"error": {"code": 400}}'), "the server answered 400 to this prompt"),
    ],
)
def test_one_refused_prompt_is_one_row_without_an_answer(fault: Fault, reason: str, tmp_path: Path) -> None:
    with openai_server(faults=[fault]) as server:  # the first of all, before anything was answered
        record = distilled(server, tmp_path, in_flight=1)
        assert sum(record.counts.kept.values()) == 19
        assert record.counts.unanswered == {reason: 1}
        assert sum(distilled(server, tmp_path).counts.kept.values()) == 20


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("max_tokens", refusal(400, param="max_tokens", code="unsupported_parameter")),
        ("temperature", refusal(400, param="temperature", code="unsupported_value")),
        ("seed", refusal(400, param=None, code="invalid_request_error")),
        ("top_p", status(400, "no JSON at all")),
    ],
)
def test_a_setting_that_is_refused_stops_the_run_at_once_and_is_named(name: str, fault: Fault, tmp_path: Path) -> None:
    with openai_server(owned_by="somebody") as server:
        server.always_chat = when(lambda body: name in body, fault, server)
        with pytest.raises(DeepicdError, match=f"does not accept '{name}'"):
            distilled(server, tmp_path, in_flight=1)
        assert len(server.asked) < 10
        assert all("Admission note" not in json.dumps(body) for body in server.asked[1:])


def test_a_template_without_a_system_message_is_named(tmp_path: Path) -> None:
    with openai_server() as server:
        server.always_chat = when(lambda body: body["messages"][0]["role"] == "system", refusal(400), server)
        with pytest.raises(DeepicdError, match="accepts no system message"):
            distilled(server, tmp_path, in_flight=1)


@pytest.mark.parametrize("fault", [refusal(402), refusal(429, code="insufficient_quota")])
def test_an_empty_account_stops_the_run_at_once(fault: Fault, tmp_path: Path) -> None:
    with openai_server(always_chat=fault) as server:
        with pytest.raises(DeepicdError, match="quota or balance is used up"):
            distilled(server, tmp_path, in_flight=1)
        assert len(server.asked) == 1


@pytest.mark.parametrize("count", ["many", -5, 2**70, True, {"a": 1}, [1], math.nan, 1.5])
def test_counts_that_are_none_do_not_enter_the_ledger(count: object, tmp_path: Path) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    text = {"content": f"{TRACE}\n</think>\n{CODE}"}
    with openai_server(always_chat=reply(text, usage=usage)) as server:
        record = distilled(server, tmp_path, 10)
    row = rows_in(tmp_path / "out" / record.counts.recipe_digest / "kept")[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (None, None, None)


@pytest.mark.parametrize("count", ['"many"', "NaN", "9" * 5000, "-1", "[1]"])
def test_a_ledger_that_holds_such_a_count_is_read(count: str, tmp_path: Path) -> None:
    with openai_server() as server:
        distilled(server, tmp_path, 10)
        [file] = (tmp_path / "out" / "ledger").glob("00000.jsonl")
        lines = []
        for line in file.read_bytes().splitlines(keepends=True):
            body = line[18:-1].replace(b'"prompt_tokens":900', f'"prompt_tokens":{count}'.encode())
            lines.append(ledger_lines._format_checksum(body) + body + b"\n")
        file.write_bytes(b"".join(lines))
        record = distilled(server, tmp_path, 10, min_words=32)  # another folder, from the same ledger
        assert len(server.asked) == 10
    rows = rows_in(tmp_path / "out" / record.counts.recipe_digest / "kept")
    assert [row["prompt_tokens"] for row in rows] == [None] * 10


def _send_gzip(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def test_a_compressed_reply_is_read(tmp_path: Path) -> None:
    text = {"content": f"{TRACE}\n</think>\n{CODE}"}
    body = {"choices": [{"message": text, "finish_reason": "stop"}]}
    data = gzip.compress(json.dumps(body).encode())
    with openai_server(always_chat=lambda handler: _send_gzip(handler, data)) as server:
        assert sum(distilled(server, tmp_path, 10).counts.kept.values()) == 10


def _drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    "fault",
    [
        status(200, '{"choices":' + "[" * 100_000 + "]" * 100_000 + "}"),
        lambda handler: _send_gzip(handler, gzip.compress(b"a" * 2**27)),  # 128 MiB
        lambda handler: _send_gzip(handler, b"no gzip"),
        _drip,
        status(200, '{"choices": {"0": 1}}'),
        status(429, headers={"Retry-After": "\xb2"}),
        reply("x"),
    ],
    ids=["deep", "bomb", "no gzip", "drip", "choices", "header", "message"],
)
def test_what_no_server_should_send_is_asked_for_again(fault: Fault, tmp_path: Path) -> None:
    with openai_server(faults=[fault]) as server:
        record = distilled(server, tmp_path, 10, timeout=2.0)
    assert sum(record.counts.kept.values()) == 10


def test_a_row_that_is_always_refused_stops_no_run_and_is_asked_last(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, notes=["Chief Complaint:\nREFUSE\n" + "It hurts. " * 40])
    with openai_server() as server:
        server.always_chat = when(lambda body: "REFUSE" in str(body["messages"]), refusal(400), server)
        for _ in range(2):
            record = run.distill(cohort, tmp_path / "out", recipe(server, in_flight=1))
            assert record.counts.unanswered == {"the server answered 400 to this prompt": 1}
            assert record.counts.attempts >= 29
        before = len(server.asked)
        run.distill(cohort, tmp_path / "out", recipe(server, in_flight=1), finish=True)
        assert len(server.asked) == before


def test_many_rows_that_always_fail_leave_the_answered_ones_a_dataset(tmp_path: Path) -> None:
    bad = ["Chief Complaint:\nREFUSE\n" + "It hurts. " * 40] * 12
    cohort = write_cohort(tmp_path / "cohort", 30, notes=bad)
    with openai_server() as server:
        server.always_chat = when(lambda body: "REFUSE" in str(body["messages"]), status(500), server)
        record = run.distill(cohort, tmp_path / "out", recipe(server, in_flight=1))
    assert record.counts.unanswered == {"the server answered 500": 12}
    assert record.counts.attempts >= 18


def test_finish_writes_what_is_answered_and_the_rest_with_its_reason(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 30), tmp_path / "out"
    with openai_server() as server:
        options = ["--model", MODEL, "--base-url", server.url, "--set", "in_flight=1"]
        server.faults = [refusal(400, code="content_filter")] + [
            when(lambda _: False, status(500), server) for _ in range(19)
        ]
        server.faults.append(status(401))
        assert deepicd("distill", cohort, out, *options).code == 1
        assert not list(out.glob("*/kept"))
        outcome = deepicd("distill", cohort, out, *options, "--finish")
        assert outcome.code == 0, outcome.err
        assert "19 rows kept, 11 rejected" in outcome.out
        assert "1 rows unanswered: the server's content filter refused the prompt" in outcome.out
        assert "10 rows unanswered: not asked" in outcome.out
        assert len(server.asked) == 21
        assert "30 rows kept" in deepicd("distill", cohort, out, *options).out


def test_a_run_in_which_no_row_was_answered_is_an_error(tmp_path: Path) -> None:
    with (
        openai_server(always_chat=refusal(400, code="content_filter")) as server,
        pytest.raises(DeepicdError, match=r"No row was answered: .* filter refused the prompt \(10\)"),
    ):
        distilled(server, tmp_path, 10)
    assert not list((tmp_path / "out").glob("*/run.json"))


def test_a_row_that_hangs_costs_two_timeouts_and_the_others_are_answered(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20, notes=["Chief Complaint:\nREFUSE\n" + "It hurts. " * 40])
    with openai_server() as server:
        server.always_chat = when(lambda body: "REFUSE" in str(body["messages"]), hang(8.0), server)
        record = run.distill(cohort, tmp_path / "out", recipe(server, in_flight=1, timeout=2.0))
        assert record.counts.unanswered == {"no answer within 2 seconds": 1}
        assert sum("REFUSE" in str(body["messages"]) for body in server.asked) == 2


class Outage:
    """A server that answers 503 for some seconds, from its n-th request on."""

    def __init__(self, server: StandIn, first: int, seconds: float) -> None:
        self.server, self.first, self.seconds, self.began = server, first, seconds, 0.0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        if len(self.server.asked) >= self.first and not self.began:
            self.began = time.monotonic()
        is_out = bool(self.began) and time.monotonic() < self.began + self.seconds
        answer = status(503) if is_out else status(200, json.dumps(self.server.completion(self.server.asked[-1])))
        answer(handler)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_server_that_restarts_is_waited_for(in_flight: int, tmp_path: Path) -> None:
    with openai_server() as server:
        server.always_chat = Outage(server, first=8, seconds=1.5)
        record = distilled(server, tmp_path, 20, in_flight=in_flight)
    assert sum(record.counts.kept.values()) == 20 and not record.counts.unanswered
    assert len(server.asked) < 60  # one request in place of all, further and further apart


def test_an_outage_over_its_budget_ends_the_run_which_then_continues(tmp_path: Path) -> None:
    with openai_server() as server:
        server.always_chat = Outage(server, first=8, seconds=60)
        with pytest.raises(DeepicdError, match="has answered nobody for 0 seconds: the server answered 503"):
            distilled(server, tmp_path, 20, in_flight=2, outage=0.2)
        server.always_chat, before = None, len(server.asked)
        assert sum(distilled(server, tmp_path, 20).counts.kept.values()) == 20
    assert len(server.asked) == before + 13


def test_a_busy_server_that_answers_others_is_waited_for(tmp_path: Path) -> None:
    busy = ["Chief Complaint:\nREFUSE\n" + "It hurts. " * 40] * 3
    cohort = write_cohort(tmp_path / "cohort", 30, notes=busy)
    with openai_server() as server:
        asked = Counter[str]()

        def is_early(body: dict[str, Any]) -> bool:
            asked["busy"] += (is_busy := "REFUSE" in str(body["messages"]))
            return is_busy and asked["busy"] <= 20  # more failures than a row at fault is given

        server.always_chat = when(is_early, status(429), server)
        record = run.distill(cohort, tmp_path / "out", recipe(server, in_flight=1))
    assert sum(record.counts.kept.values()) == 30 and not record.counts.unanswered


def test_a_server_that_asks_for_more_than_the_budget_ends_the_run(tmp_path: Path) -> None:
    busy = status(429, headers={"Retry-After": "86400"})
    with openai_server(always_chat=busy) as server, pytest.raises(DeepicdError, match=r"asks to wait 24\.0 hours"):
        distilled(server, tmp_path, 10)


def test_a_recipe_renames_drops_and_adds_parameters(tmp_path: Path) -> None:
    fields = {
        "rename_parameters": {"max_tokens": "max_completion_tokens"},
        "drop_parameters": ["top_p", "seed"],
        "extra_body": {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}},
    }
    with openai_server(owned_by="somebody") as server:
        plain = distilled(server, tmp_path, 10)
        shaped = distilled(server, tmp_path, 10, **fields)
        assert len(server.asked) == 20
        body = server.asked[-1]
        assert set(body) - set(fields["extra_body"]) == {"model", "temperature", "max_completion_tokens", "messages"}
        assert body["reasoning_effort"] == "low" and body["chat_template_kwargs"] == {"enable_thinking": False}
        distilled(server, tmp_path, 10, rename_parameters={"max_tokens": "max_completion_tokens"})
        distilled(server, tmp_path, 10)  # both sets are kept, and going back asks nothing
        assert len(server.asked) == 20
    assert plain.counts.recipe_digest != shaped.counts.recipe_digest


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_body": {"n": 4}},
        {"extra_body": {"temperature": 1}},
        {"extra_body": {"messages": []}},
        {"drop_parameters": ["messages"]},
        {"rename_parameters": {"model": "m"}},
        {"drop_parameters": "seed"},
        {"extra_body": ["n"]},
    ],
)
def test_what_the_engine_sets_itself_is_no_further_parameter(fields: dict[str, Any]) -> None:
    with pytest.raises(DeepicdError):
        recipe(StandIn(url="http://127.0.0.1:9/v1"), **fields)


def test_an_engine_that_sends_no_request_refuses_further_parameters() -> None:
    with pytest.raises(DeepicdError, match="sends no requests"):
        check_engine(Recipe(engine="rehearsal", model="m", extra_body={"top_k": 20}))


def test_a_dry_run_asks_the_server_a_question_without_a_note(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 20), tmp_path / "out"
    with openai_server(owned_by="somebody") as server:
        options = ["--model", MODEL, "--base-url", server.url, "--dry-run"]
        outcome = deepicd("distill", cohort, out, *options)
        assert outcome.code == 0, outcome.err
        assert "20 to complete" in outcome.out
        assert f"Engine openai_server, model {MODEL}, server {server.url} (somebody): answers." in outcome.out
        assert [[turn["content"] for turn in body["messages"]] for body in server.asked] == [[outage.PROBE] * 2]
        server.always_chat = when(lambda body: "seed" in body, refusal(400, param="seed"), server)
        outcome = deepicd("distill", cohort, out, *options)
        assert outcome.code == 1
        assert "It does not accept 'seed' (42)" in outcome.err and "drop_parameters=[seed]" in outcome.err
        assert deepicd("distill", cohort, out, *options, "--set", "drop_parameters=[seed]").code == 0
    outcome = deepicd("distill", cohort, out, *options)
    assert (outcome.code, "no server answers" in outcome.err) == (1, True)
    assert not out.exists()
