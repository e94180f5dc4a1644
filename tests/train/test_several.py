"""Training on several diagnoses (--config multi), with a model so small that a step takes no time."""

from pathlib import Path

import pytest
from conftest import Deepicd
from small_dataset import small_dataset

from deepicd import records
from train.config import load_grpo_recipe
from train.grpo.monitor import StepLog

FEW_SFT = ["--set", "max_steps=2", "--set", "effective_batch=8", "--set", "per_device=4", "--set", "warmup_steps=1"]
FEW_GRPO = [
    part
    for field in ("batch=4", "rollouts=4", "mini_batch=4", "micro_batch=16", "max_response=48", "max_steps=1")
    for part in ("--set", field)
]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("several") / "dataset", configs=("sft", "grpo", "multi"))


def test_the_recipe_for_several_diagnoses_parses() -> None:
    recipe = load_grpo_recipe(Path("grpo-several-7b"))
    assert (recipe.reward, recipe.build_scheme("").variant, recipe.batch) == ("several", "several", 64)


@pytest.mark.engines
def test_sft_trains_on_the_lists_of_rows_with_a_trace(
    several: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    command = ["train", "sft", "--dataset", several, "--config", "multi", "--recipe", "tiny-sft", "--model", model]
    shown = deepicd(*command, *FEW_SFT, "--preview", "1")
    assert shown.code == 0, shown.err
    answer = shown.out[shown.out.rindex("‹") : shown.out.rindex("›")]
    assert answer.count("<diagnosis>") == 2 and "<diagnosis>I10</diagnosis>" in answer
    done = deepicd(*command, *FEW_SFT, tmp_path / "out")
    assert done.code == 0, done.err
    record = records.read(tmp_path / "out")
    assert record is not None
    assert record.counts.rows == {"train": 36, "validation": 6}  # a quarter has no trace


@pytest.mark.engines
def test_grpo_scores_lists_and_reads_every_prompt(several: Path, model: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    command = ["train", "grpo", "--dataset", several, "--config", "multi", "--recipe", "tiny-grpo", "--model", model]
    done = deepicd(*command, *FEW_GRPO, "--set", "reward=several", tmp_path / "out")
    assert done.code == 0, done.err
    record = records.read(tmp_path / "out")
    assert record is not None and record.counts.rows == {"train": 48}
    assert set(StepLog(tmp_path / "out").read()[0].parts) == {"form", "outcome"}


@pytest.mark.engines
def test_rewards_and_config_that_do_not_fit_are_refused(
    several: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    command = ["train", "grpo", "--dataset", several, "--recipe", "tiny-grpo", "--model", model, tmp_path / "out"]
    for flags in (["--config", "multi"], ["--set", "reward=several"]):
        done = deepicd(*command, *FEW_GRPO, *flags)
        assert done.code == 1
        assert "--config multi --set reward=several, or neither" in done.err
