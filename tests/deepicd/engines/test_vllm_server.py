"""The engine `openai_server` against vLLM's own server, with the tiny teacher, on loopback."""

import json

import pytest
from engine_requests import answers, request

from deepicd.engines.base import Completion, Engine
from deepicd.engines.registry import open_engine
from distill.recipe import Recipe

pytestmark = pytest.mark.engines


def test_every_request_is_answered_once(tiny: Recipe, server: str) -> None:
    writer = open_engine(tiny.replace(engine="openai_server", base_url=server))
    found = answers(writer, [request(number) for number in range(80)])
    writer.close()
    assert len(found) == 80
    assert all(isinstance(one, Completion) and one.text.startswith("<think>\n") for one in found.values())


def test_the_server_reads_the_prompt_that_the_engine_in_process_reads(tiny: Recipe, server: str, vllm: Engine) -> None:
    writer = open_engine(tiny.replace(engine="openai_server", base_url=server))
    theirs, ours = answers(writer, [request(1)])["key-1"], answers(vllm, [request(1)])["key-1"]
    writer.close()
    assert isinstance(ours, Completion) and isinstance(theirs, Completion)
    assert theirs.prompt_tokens == ours.prompt_tokens


def test_an_answer_meets_the_schema_it_is_asked_in(tiny: Recipe, server: str) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "enum": [1, 2, 3]}}, "required": ["score"]}
    writer = open_engine(tiny.replace(engine="openai_server", base_url=server))
    chat = request(1, schema=schema)
    [answer] = answers(writer, [type(chat)(chat.key, chat.messages, 1, schema=schema)]).values()
    writer.close()
    assert isinstance(answer, Completion)
    assert json.loads(answer.text)["score"] in (1, 2, 3)
