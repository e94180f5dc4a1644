"""The engine `vllm`: the real one, with the tiny teacher, on whatever this machine has."""

import json
from pathlib import Path

import pytest
from engine_requests import answers, request

from deepicd.engines.base import Completion, Engine, Failure
from deepicd.engines.registry import open_engine
from deepicd.errors import DeepicdError
from distill.recipe import Recipe
from distill.tiny_teacher import WEIGHTS

pytestmark = pytest.mark.engines


def test_every_request_is_answered_once_and_says_what_it_cost(vllm: Engine) -> None:
    found = answers(vllm, [request(number) for number in range(40)])
    assert found.keys() == {f"key-{number}" for number in range(40)}
    for answer in found.values():
        assert isinstance(answer, Completion)
        assert answer.text.startswith("<think>\n")
        assert answer.finish_reason in ("stop", "length")
        assert answer.prompt_tokens and answer.completion_tokens and answer.seconds


def test_another_seed_writes_another_text(vllm: Engine) -> None:
    found = answers(vllm, [request(number) for number in range(8)])
    assert len({answer.text for answer in found.values() if isinstance(answer, Completion)}) > 1


def test_a_shared_beginning_comes_from_the_cache(vllm: Engine) -> None:
    beginning = "Cough and fever for three days, no travel. " * 40
    answers(vllm, [request(0, beginning + "Now worse.")])
    [again] = answers(vllm, [request(1, beginning + "Now better.")]).values()
    assert isinstance(again, Completion) and again.prompt_tokens and again.cached_tokens
    assert again.cached_tokens / again.prompt_tokens > 0.5


def test_a_prompt_over_the_context_fails_alone_and_for_good(vllm: Engine) -> None:
    found = answers(vllm, [request(1), request(2, "cough " * 5000), request(3)])
    failure = found["key-2"]
    assert isinstance(failure, Failure) and failure.is_final
    assert "tokens in a context of 2,048" in failure.reason and "cough" not in failure.reason
    assert isinstance(found["key-1"], Completion) and isinstance(found["key-3"], Completion)


def test_an_answer_meets_the_schema_it_is_asked_in(vllm: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
        "required": ["score"],
        "additionalProperties": False,
    }
    [answer] = answers(vllm, [request(1, schema=schema)]).values()
    assert isinstance(answer, Completion)
    assert json.loads(answer.text.removeprefix("<think>\n"))["score"] in range(1, 6)


@pytest.mark.parametrize("name", ["vllm", "transformers", "ray"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "nobody/no-such-model"}, "There is no model 'nobody/no-such-model'"),
        ({"context": 32_768}, "reads 2,048 tokens at most, and the recipe's context is 32,768"),
        ({"context": 256}, "has no room for a prompt beside 256 to write"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_at_once(
    tiny: Recipe, name: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(DeepicdError, match=message):
        open_engine(tiny.replace(engine=name, **fields))


def test_a_recipe_for_more_gpus_than_there_are_says_so(tiny: Recipe) -> None:
    with pytest.raises(DeepicdError, match=r"for 64 GPUs .* this machine shows") as error:
        open_engine(tiny.replace(tensor_parallel=64))
    assert "--engine openai_server" in error.value.advice


def test_damaged_weights_are_named_in_one_line(tiny: Recipe, tmp_path: Path) -> None:
    for file in WEIGHTS.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[:100_000] if file.suffix == ".safetensors" else content)
    with pytest.raises(DeepicdError, match=r"vLLM cannot run .*Error: ") as error:
        open_engine(tiny.replace(model=str(tmp_path)))
    assert "Traceback" not in str(error.value)


def test_a_cache_too_small_for_one_prompt_gets_advice(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2_000_000}))
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    with pytest.raises(DeepicdError, match="does not fit into memory") as error:
        open_engine(tiny.replace(model=str(tmp_path), context=1_500_000))
    assert "Lower `context`" in error.value.advice
