"""Recipes: every field checked, every difference visible in the digest."""

from pathlib import Path

import pytest

from deepicd.engines.ledger import build_key
from deepicd.engines.registry import check_engine
from deepicd.engines.vllm import build_arguments
from deepicd.errors import DeepicdError
from distill.recipe import CHECKED_IN, Recipe, load_recipe

DIGESTS = {
    "judge-rehearsal": "1faaae653877",
    "judge": "238b8c77f462",
    "paper": "8b8c5bc7bd3b",
    "qwen2.5-32b": "4ef6b53e28ec",
    "qwen2.5-72b": "af2a4dd1e10c",
    "rehearsal": "b6d043013688",
    "tiny": "f6bbb83ec602",
}
"""Folders of traces that exist are named by these: a change here is a change of what people have on disk."""


@pytest.mark.parametrize("path", sorted(CHECKED_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_checked_in_recipe_parses(path: Path) -> None:
    assert load_recipe(path).name == path.stem
    assert load_recipe(Path(path.stem)) == load_recipe(path)
    assert load_recipe(path).digest == DIGESTS[path.stem]


def test_a_whole_number_stays_one_in_the_digest() -> None:
    recipe = load_recipe(Path("rehearsal")).replace(temperature=1, top_p=1, min_words=30, engine="transformers")
    assert recipe.digest == "7afe3640a737"


def test_the_digest_is_of_the_settings_and_not_of_the_name() -> None:
    base = Recipe(name="a", engine="rehearsal", model="none")
    assert len(base.digest) == 12
    assert base.replace(name="b").digest == base.digest
    assert base.replace(seed=43).digest != base.digest
    assert base.replace(seed=None) == base


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine: rehearsal", "model missing"),
        ("{engine: rehearsal, model: none, temprature: 0.9}", "Did you mean temperature?"),
        ("{engine: rehearsal, model: none, seed: '42'}", "seed is '42'"),
        ("{engine: rehearsal, model: none, min_words: 900}", "min_words 900 is above max_words 883"),
        ("- a list", "holds no recipe"),
        ("{", "is not YAML"),
    ],
)
def test_a_bad_recipe_is_refused_with_what_to_mend(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DeepicdError) as error:
        load_recipe(tmp_path / "mine.yaml")
    assert message in str(error.value)


def test_an_unknown_name_lists_ours(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match=r"one of these names: .*rehearsal"):
        load_recipe(tmp_path / "absent")


def test_the_papers_settings_are_the_defaults() -> None:
    recipe = Recipe.parse({"engine": "rehearsal", "model": "none"}, "here")
    assert (recipe.temperature, recipe.seed, recipe.max_tokens) == (0.9, 42, 1024)
    assert (recipe.min_words, recipe.max_words) == (31, 883)


def test_arguments_of_the_engine_that_change_the_text_change_folder_and_key() -> None:
    base = Recipe(name="a", engine="vllm", model="m")
    faster = base.replace(engine_args={"max_num_seqs": 512, "pipeline_parallel_size": 2})
    smaller = base.replace(engine_args={"quantization": "fp8", "max_num_seqs": 512})
    tuned = base.replace(adapter="out/sft")
    assert faster.digest == base.digest != smaller.digest
    assert smaller.options["engine_args"] == {"quantization": "fp8"}
    assert len({build_key(recipe, "n", "p") for recipe in (base, faster, smaller, tuned)}) == 3
    arguments = build_arguments(faster, "path", on_cpu=False)
    assert (arguments["max_num_seqs"], arguments["pipeline_parallel_size"]) == (512, 2)
    assert build_arguments(tuned, "path", on_cpu=False)["enable_lora"] is True


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine_args": {"max_model_len": 4096}}, "The recipe has a field for it: context"),
        ({"engine_args": {"enable_lora": True}}, "The recipe has a field for it: adapter"),
    ],
)
def test_an_argument_that_has_a_field_of_its_own_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(DeepicdError, match=message):
        Recipe(name="a", engine="vllm", model="m").replace(**fields)


def test_an_engine_that_is_no_vllm_takes_no_arguments_for_it() -> None:
    recipe = Recipe(name="a", engine="rehearsal", model="m", engine_args={"max_num_seqs": 8})
    with pytest.raises(DeepicdError, match="The engine 'rehearsal' takes no engine_args"):
        check_engine(recipe)


def test_rollouts_may_be_called_n_as_in_earlier_recipes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "mine.yaml").write_text("engine: rehearsal\nmodel: none\nn: 4\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert "The field n of this recipe is called rollouts." in caplog.text
    assert (recipe.rollouts, recipe.replace(n=2).rollouts, recipe.replace(rollouts=3).rollouts) == (4, 2, 3)
    assert recipe.options["rollouts"] == 4
    with pytest.raises(DeepicdError, match="rollouts is 0"):
        recipe.replace(n=0)
    with pytest.raises(DeepicdError, match="n and rollouts are the same field, and both are given"):
        recipe.replace(n=1, rollouts=3)
