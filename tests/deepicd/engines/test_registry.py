"""Which engines and models there are, by whatever name they are asked for."""

import logging
from pathlib import Path

import pytest
from conftest import Deepicd

from deepicd.engines import registry
from deepicd.engines.model import resolve_path
from deepicd.errors import DeepicdError
from distill.recipe import Recipe, load_recipe
from distill.tiny_teacher import NAME, WEIGHTS


def test_the_floors_engines_and_registered_ones_are_listed() -> None:
    assert registry.list_engines()[:4] == ["vllm", "openai_server", "ray", "transformers"]
    assert "rehearsal" in registry.list_engines()


def test_every_engine_has_a_module_that_opens_it_and_says_what_it_is() -> None:
    for name in registry.list_engines():
        assert callable(registry.find_engine(name).open)
    assert {name for name in registry.list_engines() if registry.asks_server(name)} == {"openai_server"}
    assert {name for name in registry.list_engines() if not registry.uses_model(name)} == {"rehearsal"}


def test_an_unknown_engine_counts_as_one_that_sends_prompts_away() -> None:
    assert registry.asks_server("elsewhere")
    assert registry.uses_model("elsewhere")
    with pytest.raises(DeepicdError, match="There is no engine 'elsewhere'") as error:
        registry.find_engine("elsewhere")
    assert "rehearsal" in error.value.advice


def test_the_former_name_of_an_engine_still_works_and_is_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.yaml").write_text("engine: endpoint\nmodel: m\nbase_url: http://127.0.0.1:8000/v1\n")
    with caplog.at_level(logging.INFO, logger="deepicd"):
        recipe = load_recipe(tmp_path / "old.yaml")
    assert recipe.engine == "openai_server"
    assert "The engine 'endpoint' is now called 'openai_server'; the old name still works." in caplog.messages
    assert recipe == Recipe(name="old", engine="openai_server", model="m", base_url="http://127.0.0.1:8000/v1")


def test_the_former_name_works_on_the_command_line(tmp_path: Path, deepicd: Deepicd) -> None:
    options = ["--engine", "endpoint", "--model", "m", "--preview", 1]
    outcome = deepicd("distill", tmp_path / "absent", tmp_path / "out", *options)
    assert "The engine 'endpoint' is now called 'openai_server'" in outcome.err
    assert "There is no engine" not in outcome.err


@pytest.mark.parametrize("command", ["distill", "judge", "evaluate"])
def test_help_lists_the_engines_that_are_registered(command: str, deepicd: Deepicd) -> None:
    words = "".join(deepicd(command, "--help").out.split())
    assert "[vllm|openai_server|ray|transformers|rehearsal]" in words


def test_an_unknown_engine_on_the_command_line_names_the_others(tmp_path: Path, deepicd: Deepicd) -> None:
    outcome = deepicd("distill", tmp_path / "cohort", tmp_path / "out", "--engine", "oracle")
    assert outcome.code == 2
    assert "There is no engine 'oracle'. Engines are: vllm, openai_server" in outcome.err


def test_a_registered_model_is_found_by_its_name() -> None:
    assert resolve_path(NAME) == str(WEIGHTS)
    assert (WEIGHTS / "config.json").is_file()
    assert resolve_path("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"


def test_an_engine_that_asks_a_server_needs_its_address() -> None:
    with pytest.raises(DeepicdError, match="needs the address of a server"):
        registry.check_engine(Recipe(name="a", engine="openai_server", model="m"))
