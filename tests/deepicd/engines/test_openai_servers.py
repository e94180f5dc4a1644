"""Several servers: prompts that begin alike meet at one, and a server that dies costs no row."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort
from openai_server import MODEL, StandIn, answer, break_off, openai_server, status

from deepicd import disclosure
from deepicd.engines import openai_client, openai_servers
from deepicd.engines.base import Completion, Request
from deepicd.engines.openai_servers import OpenAIServersEngine
from deepicd.engines.registry import open_engine
from deepicd.errors import DeepicdError
from distill import run
from distill.recipe import Recipe


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_client, "POLICY", replace(openai_client.POLICY, first_wait=0.01))
    monkeypatch.setattr(openai_servers, "PATIENCE", 0.3)
    monkeypatch.setattr(openai_servers, "RETRY_EVERY", 0.2)


@pytest.fixture
def servers() -> Iterator[list[StandIn]]:
    with ExitStack() as stack:
        yield [stack.enter_context(openai_server()) for _ in range(3)]


def recipe(servers: list[StandIn], **fields: object) -> Recipe:
    urls = ",".join(server.url for server in servers)
    values = {"base_url": urls, "timeout": 5.0, "outage": 1.0} | fields
    return Recipe(name="test", engine="openai_server", model=MODEL).replace(**values)


def ask(chapter: str, number: int) -> Request:
    turns = [
        {"role": "system", "content": f"Guidelines of {chapter}. " * 200},
        {"role": "user", "content": f"{number}"},
    ]
    return Request(f"{chapter}-{number}", turns, seed=1)


def die_after(server: StandIn, answers: int) -> None:
    """Have a server answer so many requests, and then break off every connection."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        if len(server.asked) <= answers:
            answer(server, handler)
        else:
            server.always = break_off
            break_off(handler)

    server.always_chat = fault


def test_prompts_that_begin_alike_go_to_one_server_while_it_has_room(servers: list[StandIn]) -> None:
    with closing(open_engine(recipe(servers))) as engine:
        assert engine.capacity == 3 * 64
        requests = [ask(f"chapter {chapter}", number) for number in range(3) for chapter in range(20)]
        done = []
        for request in requests:
            engine.submit([request])
        while results := engine.collect():
            done += results
    assert sorted(result.key for result in done) == sorted(request.key for request in requests)
    chapters = [{body["messages"][0]["content"] for body in server.asked} for server in servers]
    assert all(chapters)
    assert sum(map(len, chapters)) == 20  # none at two servers


def test_what_a_full_server_has_no_room_for_goes_to_the_others(servers: list[StandIn]) -> None:
    for server in servers:
        server.delay = 0.2
    with closing(open_engine(recipe(servers, in_flight=4))) as engine:
        engine.submit([ask("one chapter", number) for number in range(12)])
        while engine.collect():
            pass
    assert [len(server.asked) for server in servers] == [4, 4, 4]


def test_a_server_that_dies_in_the_middle_costs_no_row(servers: list[StandIn], tmp_path: Path) -> None:
    die_after(servers[0], 10)
    for server in servers:
        server.delay = 0.02
    record = run.distill(write_cohort(tmp_path / "cohort", 200), tmp_path / "out", recipe(servers, in_flight=8))
    kept = rows_in(tmp_path / "out" / record.counts.recipe_digest / "kept")
    assert len({row["note_id"] for row in kept}) == len(kept) == 200
    assert servers[0].always is break_off
    assert record.counts.unanswered == {}


def test_a_server_that_comes_back_is_asked_again(servers: list[StandIn]) -> None:
    first = servers[0]
    first.always = status(503)
    with closing(open_engine(recipe(servers))) as engine:
        assert engine.capacity == 2 * 64
        first.always = None
        deadline = time.monotonic() + 20
        while engine.capacity < 3 * 64 and time.monotonic() < deadline:
            time.sleep(0.05)
        engine.submit([ask(f"chapter {number}", 0) for number in range(40)])
        results: list[object] = []
        while more := engine.collect():
            results += more
    assert len(results) == 40
    assert all(isinstance(result, Completion) for result in results)
    assert first.asked


def test_when_none_is_left_the_run_ends_with_what_to_do(servers: list[StandIn]) -> None:
    for server in servers:
        die_after(server, 2)
    with closing(open_engine(recipe(servers))) as engine:
        engine.submit([ask(f"chapter {number}", 0) for number in range(60)])
        with pytest.raises(DeepicdError, match="has answered nobody"):
            while engine.collect():
                pass


def test_one_server_is_no_fleet_and_none_that_answers_is_an_error(servers: list[StandIn]) -> None:
    with closing(open_engine(recipe(servers[:1]))) as engine:
        assert not isinstance(engine, OpenAIServersEngine)
    for server in servers:
        server.always = status(404)
    with pytest.raises(DeepicdError, match="Check --base-url"):
        open_engine(recipe(servers))


def test_credentialed_notes_go_to_private_servers_only_each_of_them(servers: list[StandIn]) -> None:
    beside = recipe(servers).replace(base_url=f"{servers[0].url},http://203.0.113.7/v1")
    with pytest.raises(DeepicdError, match=r"203\.0\.113\.7. is neither this machine nor a private address"):
        disclosure.check_server(beside, origin="mimic", sentence=None)
    assert disclosure.check_server(recipe(servers), origin="mimic", sentence=None) is None
