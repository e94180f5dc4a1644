"""Recipes of training: the checked-in ones, what they are built on, and what is refused."""

import shlex
from pathlib import Path

import pytest

from deepicd import storage
from deepicd.config import parse_assignments
from deepicd.errors import DeepicdError
from train import config
from train.config import CHECKED_IN, GrpoRecipe, SftRecipe
from train.grpo.setup import check_judge

OURS = sorted(path.stem for path in CHECKED_IN.glob("*.yaml"))


DIGESTS = {
    "grpo-7b-1024": "3eadd20ac321",
    "grpo-7b-2048": "78d780159097",
    "grpo-7b-512": "93d3f1aeee04",
    "grpo-7b-authors": "0463ef1f1492",
    "grpo-7b-no-format": "c5672e1458bb",
    "grpo-7b-no-judge": "59bc77890a00",
    "grpo-7b-no-outcome": "b2698450db27",
    "grpo-7b-paper": "cdcf7f2d8b50",
    "grpo-7b": "98269e316bf4",
    "grpo-8b": "711aee4b29a3",
    "grpo-several-7b": "54e6b3f33460",
    "grpo-zero-32b": "fcc532f662d2",
    "grpo-zero-7b": "eca8c78a4818",
    "sft-32b": "aa4db3c2d883",
    "sft-7b-lora": "c60c2b160474",
    "sft-7b-outcome": "ddf8e12ca08c",
    "sft-7b": "00fac5f0dd4d",
    "sft-8b-outcome": "cdae2109be68",
    "sft-8b": "f0fb93b8c644",
    "tiny-grpo-verl": "f112f5459708",
    "tiny-grpo": "397eb30d155b",
    "tiny-sft": "a894df847e35",
}
"""SHA-256 of the options of each checked-in recipe: a run that exists is found by them."""


def parsed(name: str) -> SftRecipe | GrpoRecipe:
    return config.load_sft_recipe(Path(name)) if "sft" in name else config.load_grpo_recipe(Path(name))


@pytest.mark.parametrize("name", OURS)
def test_every_checked_in_recipe_parses_and_divides(name: str) -> None:
    chosen = parsed(name)
    assert chosen.name == name
    assert storage.digest_json(chosen.options)[:12] == DIGESTS[name]
    if isinstance(chosen, SftRecipe):
        assert chosen.per_device * chosen.devices * chosen.accumulation == chosen.effective_batch


def test_fine_tuning_has_the_papers_values() -> None:
    found = config.load_sft_recipe(Path("sft-7b"))
    assert (found.epochs, found.effective_batch, found.learning_rate, found.warmup_steps) == (1, 32, 2e-5, 100)
    assert found.schedule == "linear"
    assert config.load_sft_recipe(Path("sft-8b")).model == "meta-llama/Llama-3.1-8B-Instruct"
    assert config.load_sft_recipe(Path("sft-7b-outcome")).target == "outcome"


def test_grpo_has_the_papers_and_the_authors_values() -> None:
    found = config.load_grpo_recipe(Path("grpo-7b"))
    assert (found.batch, found.rollouts, found.temperature, found.kl) == (64, 8, 0.9, 0)
    assert (found.learning_rate, found.warmup_steps, found.max_prompt, found.max_response) == (1e-6, 80, 2048, 1024)
    assert (found.mini_batch, found.micro_batch, found.entropy, found.devices) == (64, 16, 0.001, 4)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("grpo-7b-no-format", "form_weight", 0),
        ("grpo-7b-no-outcome", "outcome_weight", 0),
        ("grpo-7b-no-judge", "judge_weight", 0),
        ("grpo-7b-512", "max_response", 512),
        ("grpo-7b-1024", "max_response", 1024),
        ("grpo-7b-2048", "max_response", 2048),
        ("grpo-7b-authors", "reward", "authors"),
        ("grpo-7b-paper", "reward", "paper"),
    ],
)
def test_an_ablation_differs_from_its_recipe_in_nothing_else(name: str, field: str, value: object) -> None:
    ablated, whole = config.load_grpo_recipe(Path(name)), config.load_grpo_recipe(Path("grpo-7b"))
    assert getattr(ablated, field) == value
    apart = {key for key, one in ablated.options.items() if whole.options[key] != one}
    assert apart <= {"name", field, "judge_weight" if field == "reward" else field}


@pytest.mark.parametrize(
    ("kind", "name", "changes", "message"),
    [
        ("sft", "sft-7b", {"learning_rat": 1e-5}, "Did you mean learning_rate?"),
        ("sft", "sft-7b", {"target": "both"}, "It takes one of: trace, outcome"),
        ("sft", "sft-7b", {"epochs": "one"}, "It takes a number from 0.0001 to 1000"),
        ("sft", "sft-7b", {"learning_rate": -1.0}, "It takes a number from"),
        ("sft", "sft-7b", {"per_device": 3}, "effective_batch 32 is not a multiple of 12 (per_device 3 × devices 4)"),
        ("grpo", "grpo-7b", {"mini_batch": 48}, "batch 64 is not a multiple of 48"),
        ("grpo", "grpo-7b", {"devices": 3}, "is not a multiple of 48"),
        ("grpo", "grpo-7b", {"rollouts": 1}, "2 or more"),
        ("grpo", "grpo-7b", {"backend": "trl"}, "trains on one device"),
        ("grpo", "grpo-7b", {"rollout": "transformers"}, "verl writes answers with vLLM"),
        ("grpo", "grpo-7b", {"judge_url": ""}, "names no judge"),
        ("grpo", "grpo-7b", {"form_weight": 0, "outcom_weight": 0}, "Did you mean outcome_weight?"),
        ("sft", "stf-7b", {}, "There is no recipe stf-7b"),
        ("sft", "grpo-7b", {}, "has no field"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(kind: str, name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DeepicdError) as error:
        (config.load_sft_recipe if kind == "sft" else config.load_grpo_recipe)(Path(name), **changes)
    assert message in str(error.value)


def test_a_rate_may_be_written_without_a_point() -> None:
    assert config.load_sft_recipe(Path("sft-7b"), **parse_assignments(["learning_rate=3e-5"])).learning_rate == 3e-5


def test_a_file_that_builds_on_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"like: {path}\n")
    with pytest.raises(DeepicdError, match="builds on itself"):
        config.load_sft_recipe(path)


def test_a_file_of_ones_own_builds_on_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("like: sft-7b\nepochs: 2\n")
    found = config.load_sft_recipe(tmp_path / "mine.yaml")
    assert (found.name, found.epochs, found.learning_rate) == ("mine", 2, 2e-5)


def test_every_documented_command_of_grpo_names_what_its_judge_is_shown() -> None:
    repository = Path(__file__).parents[2]
    commands = [
        line
        for page in (repository / "README.md", *sorted((repository / "docs").glob("*.md")))
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if line.startswith("deepicd train grpo ")
    ]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command, comments=True)
        [recipe] = [Path(words[place + 1]) for place, word in enumerate(words) if word == "--recipe"]
        values = parse_assignments([words[place + 1] for place, word in enumerate(words) if word == "--set"])
        check_judge(config.load_grpo_recipe(recipe, **values))
