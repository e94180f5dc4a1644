"""A recipe in verl's terms. verl's own Hydra composes the configuration from these overrides, and verl checks it.

    overrides(ready, out)      # {'data.train_batch_size': 64, 'actor_rollout_ref.rollout.n': 8, …}
    print(composed(ready, out))   # the whole configuration, as main_ppo will see it; raises DeepicdError

Keys are those of verl 0.9.1. Before 0.9 the reward's keys were `custom_reward_function.*` and `reward_model.*`: these
still compose and are ignored, so that a run would go on with verl's own rewards. train.grpo.verl_check therefore
loads the reward function the way verl's workers do, and has it pay for a right answer.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepicd.errors import DeepicdError
from train.grpo.run import GrpoSetup
from train.launch import SILENT

Overrides = dict[str, Any]
REWARD = "pkg://train.rewards.verl"
_DASHBOARD = "+ray_kwargs.ray_init.include_dashboard"


def build_overrides(ready: GrpoSetup, out: Path) -> Overrides:
    """What the recipe decides; all else is verl's default."""
    recipe = ready.recipe
    actor, rollout = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
    files = [str(path.resolve()) for path in ready.corpus.files("train")]
    unused = [str(path.resolve()) for path in ready.corpus.files("validation")] or files
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.use_kl_in_reward": False,
        "data.train_files": files,
        "data.val_files": unused,  # verl wants some; evaluation is a command of its own
        "data.train_batch_size": recipe.batch,
        "data.max_prompt_length": recipe.max_prompt,
        "data.max_response_length": recipe.max_response,
        "data.filter_overlong_prompts": True,
        "data.truncation": "error",
        "data.shuffle": True,
        "data.seed": recipe.seed,
        "actor_rollout_ref.model.path": ready.base.path
        if ready.base.folder is None
        else str(ready.base.folder.resolve()),
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
        "+reward.custom_reward_function.reward_kwargs": build_reward_fields(ready, out),
        "reward.reward_manager.name": "naive",
        "trainer.nnodes": recipe.nodes,
        "trainer.n_gpus_per_node": recipe.devices,
        "trainer.total_epochs": ready.epochs,
        "trainer.total_training_steps": ready.steps,
        "trainer.save_freq": recipe.save_steps or ready.steps,
        "trainer.max_actor_ckpt_to_keep": recipe.keep_checkpoints or None,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
        "trainer.resume_mode": "auto",
        "trainer.default_local_dir": str(out / ".checkpoints"),
        "trainer.logger": ["console", "file"],
        "trainer.project_name": "deepicd",
        "trainer.experiment_name": recipe.name,
        "+ray_kwargs.ray_init.runtime_env.env_vars": build_environment(),
        # a cluster's dashboard is for whoever started it; here one would open a port and take up to a minute
        **({"+ray_kwargs.ray_init.address": "auto"} if recipe.nodes > 1 else {_DASHBOARD: False}),
        **(_ON_CPU if runs_on_cpu(ready) else {}),
    }


def runs_on_cpu(ready: GrpoSetup) -> bool:
    import torch

    return ready.recipe.hardware == "any" and not torch.cuda.is_available()


# Where there is no GPU (see train.grpo.verl_on_cpu): one worker, nothing compiled, and 64 CPUs for Ray to count down
# from, since verl's actors reserve more of them than they use.
_ON_CPU: Overrides = {
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


def build_reward_fields(ready: GrpoSetup, out: Path) -> Overrides:
    """What train.rewards.verl takes: a scheme's fields, and a judge's with `judge_` before them."""
    fields = ready.recipe.scheme(ready.base.chat.opening).options | {"record": str(out / ".rewards")}
    if judge := ready.recipe.judge:
        fields |= {f"judge_{name}": value for name, value in judge.items()} | {"judge_origin": ready.corpus.origin}
    return fields


def build_environment() -> dict[str, str]:
    """What verl's processes need of us, on every node."""
    import torch

    modules = ["train.grpo.verl_without_trl"]
    if not torch.cuda.is_available():
        modules.append("train.grpo.verl_on_cpu")
        return SILENT | {
            "VERL_USE_EXTERNAL_MODULES": ",".join(modules),
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",  # the registration that its FSDP engine has
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
        }
    return SILENT | {"VERL_USE_EXTERNAL_MODULES": ",".join(modules)}


def format_overrides(given: Mapping[str, Any]) -> list[str]:
    """Overrides as Hydra reads them on a command line.

    >>> format_overrides({"a.b": True, "c": [1, "x y"], "+d": {"e": None}})
    ['a.b=true', "c=[1,'x y']", '+d={e:null}']
    """
    return [f"{key}={_value(value)}" for key, value in given.items()]


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return repr(value)


def compose_config(ready: GrpoSetup, out: Path) -> str:
    """verl's configuration as YAML, checked by verl in a process of its own. Raises DeepicdError with verl's words."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "overrides.json"
        asked.write_text(json.dumps(format_overrides(build_overrides(ready, out))), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "train.grpo.verl_check", str(asked)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | build_environment(),
        )
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.strip()]
            raise DeepicdError(
                f"verl does not take this recipe: {words[-1][:400] if words else 'it said nothing'}",
                "Change the field in question; `--dry-run` checks a recipe without running it.",
            )
        return (Path(folder) / "config.yaml").read_text(encoding="utf-8")
