"""The engine `transformers`, with the tiny teacher."""

from collections.abc import Iterator

import pytest
from engine_requests import answers, request

from deepicd.engines.base import Completion, Engine, Failure
from deepicd.engines.registry import open_engine
from deepicd.errors import DeepicdError
from distill.recipe import Recipe

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def local(tiny: Recipe) -> Iterator[Engine]:
    writer = open_engine(tiny.replace(engine="transformers", max_tokens=48))
    yield writer
    writer.close()


def test_prompts_of_any_length_are_answered_once(local: Engine) -> None:
    found = answers(local, [request(number, "Cough. " * (1 + 7 * number)) for number in range(20)])
    assert len(found) == 20
    assert all(isinstance(one, Completion) and one.text.startswith("<think>\n") for one in found.values())


def test_a_long_prompt_fails_alone(local: Engine) -> None:
    found = answers(local, [request(1), request(2, "cough " * 5000)])
    assert isinstance(found["key-1"], Completion)
    assert found["key-2"] == Failure("key-2", found["key-2"].reason, is_final=True)  # type: ignore[union-attr]


def test_a_schema_is_refused(local: Engine) -> None:
    with pytest.raises(DeepicdError, match="cannot constrain a completion to a JSON schema"):
        local.submit([request(1, schema={"type": "object", "properties": {}})])


def test_it_reads_the_prompt_that_vllm_reads(local: Engine, vllm: Engine) -> None:
    ours, theirs = (answers(writer, [request(1)])["key-1"] for writer in (local, vllm))
    assert isinstance(ours, Completion) and isinstance(theirs, Completion)
    assert ours.prompt_tokens == theirs.prompt_tokens


def test_one_prompt_without_chance_has_one_answer_in_any_batch(tiny: Recipe) -> None:
    writer = open_engine(tiny.replace(engine="transformers", temperature=0.0, max_tokens=24, dtype="float32"))
    alone = answers(writer, [request(1)])["key-1"]
    among = answers(writer, [request(1), request(2, "Fall at home. " * 30)])["key-1"]
    writer.close()
    assert isinstance(alone, Completion) and isinstance(among, Completion)
    assert alone.text == among.text
