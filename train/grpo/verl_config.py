"""Translate a recipe into overrides, from which Hydra composes verl's configuration, and have verl check it.

    build_overrides(setup, out)         # {'data.train_batch_size': 64, 'actor_rollout_ref.rollout.n': 8, …}
    print(compose_config(setup, out))   # the whole configuration, as main_ppo will see it; raises DeepicdError

Keys are those of verl 0.9.1. Before 0.9 the reward's keys were `custom_reward_function.*` and `reward_model.*`; these
still compose and are ignored, so that a run would use verl's own rewards. The check therefore loads the reward function
as verl's workers do, and has it score a right answer. It runs in a process of its own:

    python -m train.grpo.verl_config OVERRIDES.json    (writes config.yaml; the last line of stderr names the error)
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json
from train.grpo.setup import GrpoSetup
from train.launch import SILENT
from train.rewards.points import find_points

Overrides = dict[str, object]
REWARD = "pkg://train.rewards.verl"
TOKENIZER = Path(".verl") / "tokenizer"  # within OUT
_DASHBOARD = "+ray_kwargs.ray_init.include_dashboard"


def build_overrides(setup: GrpoSetup, out: Path) -> Overrides:
    """Return what the recipe decides; everything else is verl's default."""
    recipe = setup.recipe
    actor, rollout = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
    files = [str(path.resolve()) for path in setup.dataset.list_files("train")]
    validation = [str(path.resolve()) for path in setup.dataset.list_files("validation")] or files
    model = str(setup.base.folder.resolve()) if setup.base.folder else setup.base.path
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.use_kl_in_reward": False,
        "data.train_files": files,
        "data.val_files": validation,  # verl requires some; evaluation is a command of its own
        "data.train_batch_size": recipe.batch,
        "data.max_prompt_length": recipe.max_prompt,
        "data.max_response_length": recipe.max_response,
        "data.filter_overlong_prompts": True,
        "data.truncation": "error",
        "data.shuffle": True,
        "data.seed": recipe.seed,
        "actor_rollout_ref.model.path": model,
        "actor_rollout_ref.model.tokenizer_path": str(out / TOKENIZER),  # checked, and with its date pinned
        "actor_rollout_ref.model.enable_gradient_checkpointing": recipe.gradient_checkpointing,
        "actor_rollout_ref.model.use_remove_padding": recipe.attention == "flash_attention_2",
        "+actor_rollout_ref.model.override_config.attn_implementation": recipe.attention,
        actor + "strategy": "fsdp2",
        actor + "optim.lr": recipe.learning_rate,
        actor + "optim.lr_warmup_steps": recipe.warmup_steps,
        actor + "optim.weight_decay": recipe.weight_decay,
        actor + "optim.clip_grad": recipe.max_grad_norm,
        actor + "ppo_mini_batch_size": recipe.mini_batch,
        actor + "ppo_micro_batch_size_per_gpu": recipe.micro_batch,
        actor + "use_kl_loss": recipe.kl > 0,
        actor + "kl_loss_coef": recipe.kl,
        actor + "entropy_coeff": recipe.entropy,
        actor + "fsdp_config.param_offload": recipe.offload,
        actor + "fsdp_config.optimizer_offload": recipe.offload,
        actor + "checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
        actor + "checkpoint.load_contents": ["model", "optimizer", "extra"],
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": recipe.micro_batch,
        rollout + "name": recipe.rollout,
        rollout + "n": recipe.rollouts,
        rollout + "temperature": recipe.temperature,
        rollout + "top_p": recipe.top_p,
        rollout + "dtype": recipe.dtype,
        rollout + "tensor_model_parallel_size": recipe.tensor_parallel,
        rollout + "gpu_memory_utilization": recipe.gpu_memory,
        rollout + "max_model_len": recipe.max_prompt + recipe.max_response,
        rollout + "log_prob_micro_batch_size_per_gpu": recipe.micro_batch,
        "reward.custom_reward_function.path": REWARD,
        "reward.custom_reward_function.name": "compute_score",
        "+reward.custom_reward_function.reward_kwargs": build_reward_fields(setup, out),
        "reward.reward_manager.name": "naive",
        "trainer.nnodes": recipe.nodes,
        "trainer.n_gpus_per_node": recipe.devices,
        "trainer.total_epochs": setup.epochs,
        "trainer.total_training_steps": setup.steps,
        "trainer.save_freq": recipe.save_steps or setup.steps,
        "trainer.max_actor_ckpt_to_keep": recipe.keep_checkpoints or None,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
        "trainer.resume_mode": "auto",
        "trainer.default_local_dir": str(out / ".checkpoints"),
        "trainer.logger": ["console", "file"],
        "trainer.project_name": "deepicd",
        "trainer.experiment_name": recipe.name,
        "+ray_kwargs.ray_init.runtime_env.env_vars": build_environment(),
        # a cluster's dashboard belongs to its owner; here it would open a port and take up to a minute
        **({"+ray_kwargs.ray_init.address": "auto"} if recipe.nodes > 1 else {_DASHBOARD: False}),
        **(ON_CPU if runs_on_cpu(setup) else {}),
    }


def runs_on_cpu(setup: GrpoSetup) -> bool:
    import torch

    return setup.recipe.hardware == "any" and not torch.cuda.is_available()


# Without a GPU (see train.grpo.verl_on_cpu): one worker, nothing compiled, and 64 CPUs for Ray to hand out, since
# verl's actors reserve more of them than they use.
ON_CPU: Overrides = {
    "trainer.device": "cpu",
    "data.dataloader_num_workers": 0,
    "actor_rollout_ref.actor.use_torch_compile": False,
    "actor_rollout_ref.actor.fsdp_config.use_torch_compile": False,
    "actor_rollout_ref.rollout.enforce_eager": True,
    "actor_rollout_ref.rollout.free_cache_engine": False,
    "actor_rollout_ref.rollout.agent.num_workers": 1,
    "+actor_rollout_ref.rollout.enable_sleep_mode": False,
    "reward.num_workers": 1,
    "ray_kwargs.ray_init.num_cpus": 64,
    "+ray_kwargs.ray_init.num_gpus": 1,
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
}


def build_reward_fields(setup: GrpoSetup, out: Path) -> Overrides:
    """Return what train.rewards.verl takes: a scheme's fields, and a judge's prefixed with `judge_`."""
    fields = setup.recipe.build_scheme(setup.base.chat.opening).options | {"record": str(out / ".rewards")}
    if setup.recipe.borne_out_weight:
        fields |= {"cohort": str(storage.expand_home(setup.recipe.borne_out_cohort).absolute())}
    if setup.recipe.points_weight:
        fields |= {"verified": str(find_points(Path(setup.recipe.points_verified)).absolute())}
    if judge := setup.recipe.judge or (setup.recipe.judge_server if setup.recipe.points_weight else {}):
        fields |= {f"judge_{name}": value for name, value in judge.items()} | {"judge_origin": setup.dataset.origin}
    return fields


def build_environment() -> dict[str, str]:
    """Return the environment variables that verl's processes need on every node."""
    import torch

    modules = ["train.grpo.verl_patches"]
    if not torch.cuda.is_available():
        modules.append("train.grpo.verl_on_cpu")
        return SILENT | {
            "VERL_USE_EXTERNAL_MODULES": ",".join(modules),
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",  # the name under which its FSDP engine is registered
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
        }
    return SILENT | {"VERL_USE_EXTERNAL_MODULES": ",".join(modules)}


def format_overrides(overrides: Mapping[str, object]) -> list[str]:
    """Return overrides as Hydra reads them on a command line.

    >>> format_overrides({"a.b": True, "c": [1, "x y"], "+d": {"e": None}})
    ['a.b=true', "c=[1,'x y']", '+d={e:null}']
    """
    return [f"{key}={_format_value(value)}" for key, value in overrides.items()]


def _format_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_format_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(_format_value, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return repr(value)


def compose_config(setup: GrpoSetup, out: Path) -> str:
    """Return verl's configuration as YAML, checked by verl in a process of its own.

    Raises DeepicdError with verl's message.
    """
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder) / "overrides.json"
        overrides.write_text(json.dumps(format_overrides(build_overrides(setup, out))), encoding="utf-8")
        check = subprocess.run(
            [sys.executable, "-m", "train.grpo.verl_config", str(overrides)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | build_environment(),
        )
        if check.returncode:
            lines = [line for line in check.stderr.splitlines() if line.strip()]
            raise DeepicdError(
                f"verl rejects this recipe: {lines[-1][:400] if lines else 'it gave no reason'}",
                "Change the field in question; `--dry-run` checks a recipe without running it.",
            )
        return (Path(folder) / "config.yaml").read_text(encoding="utf-8")


def check_overrides(path: Path) -> None:
    """Compose the configuration and try its rewards. Raises what Hydra or verl raise, or RuntimeError."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=parse_json(path.read_bytes()))
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    OmegaConf.resolve(config)
    if any(value is not None for value in config.get("custom_reward_function", {}).values()):
        raise RuntimeError("the keys custom_reward_function.* are those of verl before 0.9, and are ignored.")
    (path.parent / "config.yaml").write_text(OmegaConf.to_yaml(config), encoding="utf-8")

    record = path.parent / "record"
    record.mkdir()
    fields = config.reward.custom_reward_function.reward_kwargs
    fields.record, fields.judge = str(record), 0.0  # without the judge
    if "points" in fields:
        fields.points = 0.0
    compute_score = get_custom_reward_fn(config)
    answer = "<think>\nFever.\n</think>\n<diagnosis>A000</diagnosis>"
    if fields.opening:
        answer = answer.removeprefix("<think>\n")
    arguments = {"data_source": "", "solution_str": answer, "ground_truth": "A000", "extra_info": {"index": 0}}
    score = compute_score(**arguments)["score"] if compute_score else 0
    if not any(record.iterdir()) or not score > 0:
        raise RuntimeError(
            f"verl would not use our rewards (a right answer earned {score}): it did not recognize their keys."
        )


if __name__ == "__main__":
    try:
        check_overrides(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - whatever verl raises, in one line
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
