"""`deepicd train grpo --backend verl`: the stock `verl.trainer.main_ppo` on a CPU, with Ray, vLLM and FSDP."""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import Deepicd
from small_dataset import small_verification

from deepicd import records
from deepicd.errors import DeepicdError
from train import config
from train.grpo import verl_config
from train.grpo.monitor import StepLog
from train.grpo.setup import prepare_grpo

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not find_spec("verl"), reason="needs verl: make test-full"),
]

FEW = {"batch": 8, "rollouts": 4, "mini_batch": 8, "micro_batch": 8, "max_prompt": 128, "max_response": 128}


def command(dataset: Path, out: Path, **fields: object) -> list[object]:
    flags = [part for name, value in (FEW | fields).items() for part in ("--set", f"{name}={value}")]
    return ["train", "grpo", "--dataset", dataset, "--recipe", "tiny-grpo-verl", *flags, out]


def test_verl_composes_and_checks_the_recipe_without_starting_anything(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    done = deepicd(*command(dataset, tmp_path / "out"), "--dry-run")
    assert done.code == 0, done.err
    config = yaml.safe_load(done.out[done.out.index("actor_rollout_ref:") :])
    assert config["algorithm"]["adv_estimator"] == "grpo" and config["data"]["train_batch_size"] == 8
    assert config["actor_rollout_ref"]["rollout"]["n"] == 4
    assert config["actor_rollout_ref"]["actor"]["use_kl_loss"] is False
    assert config["reward"]["custom_reward_function"]["path"] == "pkg://train.rewards.verl"
    assert config["reward"]["reward_manager"]["name"] == "naive"
    assert not (tmp_path / "out").exists()


def test_verl_is_given_the_points_and_the_server_that_grades_by_them(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    verified = small_verification(tmp_path / "verified", ["0-DS-train", "1-DS-train"])
    fields = {"points_weight": 0.5, "points_verified": verified, "judge_model": "m"}
    fields |= {"judge_url": "http://127.0.0.1:9/v1"}
    done = deepicd(*command(dataset, tmp_path / "out", **fields), "--dry-run")
    assert done.code == 0, done.err
    config = yaml.safe_load(done.out[done.out.index("actor_rollout_ref:") :])
    given = config["reward"]["custom_reward_function"]["reward_kwargs"]
    assert (given["points"], given["verified"], given["judge_model"]) == (0.5, str(verified), "m")
    assert "judge_guidelines" not in given


def test_a_recipe_for_gpus_is_composed_on_a_machine_without_one(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    fields = {"hardware": "gpu", "dtype": "bfloat16", "attention": "flash_attention_2", "devices": 4, "batch": 16}
    fields |= {"mini_batch": 16, "rollouts": 8, "micro_batch": 16}
    done = deepicd(*command(dataset, tmp_path / "out", **fields), "--dry-run")
    assert done.code == 0, done.err
    assert "not on this machine: The recipe" in done.out and "is for 4 GPUs; this machine shows none." in done.out
    config = yaml.safe_load(done.out[done.out.index("actor_rollout_ref:") :])
    assert config["trainer"]["n_gpus_per_node"] == 4 and config["trainer"]["device"] == "cuda"
    assert config["actor_rollout_ref"]["model"]["use_remove_padding"] is True
    assert config["actor_rollout_ref"]["model"]["tokenizer_path"].endswith("OUT/.verl/tokenizer")
    assert not (tmp_path / "out").exists()


def test_rewards_under_the_keys_of_an_older_verl_are_noticed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They compose, and verl 0.9 would train on with rewards of its own."""
    setup = prepare_grpo(str(dataset), config.load_grpo_recipe(Path("tiny-grpo-verl"), **FEW))
    ours = verl_config.build_overrides(setup, tmp_path)
    old = ours | {"reward.custom_reward_function.path": None}
    monkeypatch.setattr(verl_config, "build_overrides", lambda *_: old)
    with pytest.raises(DeepicdError, match="verl would not use our rewards"):
        verl_config.compose_config(setup, tmp_path)
    older = old | {"custom_reward_function.path": "pkg://train.rewards.verl"}
    monkeypatch.setattr(verl_config, "build_overrides", lambda *_: older)
    with pytest.raises(DeepicdError, match="are those of verl before"):
        verl_config.compose_config(setup, tmp_path)


def test_the_reward_rises_and_the_run_ends_in_a_model(
    dataset: Path, tuned: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    """A model that keeps to the form now and then learns to do so always, being paid for it."""
    out = tmp_path / "out"
    arguments = command(dataset, out, max_steps=8, save_steps=4, learning_rate=5e-4, model=tuned)
    done = deepicd(*arguments)
    assert done.code == 0, done.err
    reports = StepLog(out).read()
    assert [report.step for report in reports] == list(range(1, 9))
    assert all(report.answers == 32 for report in reports)
    early, late = (sum(one.reward for one in half) / 4 for half in (reports[:4], reports[4:]))
    assert late > early
    record = records.read(out)
    assert record is not None and record.counts.steps == 8
    assert (out / "model" / "model.safetensors").is_file()


def test_a_stopped_run_goes_on_from_its_checkpoint(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [str(word) for word in command(dataset, out, max_steps=4, save_steps=1)]
    script = [sys.executable, "-c", "import sys; from deepicd.cli import main; main(sys.argv[1:])", *words]
    stopped = subprocess.Popen(script, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 900
    while not (out / ".checkpoints/latest_checkpointed_iteration.txt").is_file() and time.monotonic() < until:
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.2)
    stopped.send_signal(signal.SIGINT)
    _, stderr = stopped.communicate(timeout=120)
    assert stopped.returncode == 130 and "continue from what is finished" in stderr
    done = subprocess.run(script, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    record = records.read(out)
    assert record is not None and record.counts.resumed_at >= 1
    # the report of a step that was stopped between its checkpoint and verl's line of it is missing
    assert [report.step for report in StepLog(out).read()][-3:] == [2, 3, 4]
