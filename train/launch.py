"""Starting the processes of a training: this one alone, or one a device through accelerate.

launch.run("train.sft.worker", job, devices=4, sharding="fsdp", config=None)

A worker is a module with `work(job)`, and reads all it needs from the job's folder.
"""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from deepicd.engines.registry import TELEMETRY_OFF
from deepicd.errors import DeepicdError

# package → the extra that has it
EXTRAS = {
    "trl": "trl",
    "peft": "trl",
    "accelerate": "trl",
    "transformers": "trl",
    "torch": "trl",
    "verl": "verl",
    "vllm": "verl",
}

# Beside the engines' own: trackers that want an account, warnings, bars. Whoever wants one sets the variable otherwise.
SILENT = TELEMETRY_OFF | {
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}

# Each weight on one device only: 7 billion parameters with their optimizer take 112 GB in all.
FSDP = [
    "--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP",
    "--fsdp_reshard_after_forward", "true", "--fsdp_state_dict_type", "FULL_STATE_DICT",
]  # fmt: skip


def run_workers(module: str, job: Path, devices: int, sharding: str, config: Path | None) -> None:
    """Run `module.work(job)` to its end on every device. Raises DeepicdError where a process fails."""
    silence_libraries()
    if devices == 1 and config is None:
        import_module(module).work(job)
        return
    done = subprocess.run(build_command(module, job, devices, sharding, config), check=False)
    if done.returncode:
        raise DeepicdError(
            f"accelerate ended with {done.returncode}; what it printed stands above.",
            "Mend that and run the same command again: it goes on from the last checkpoint.",
        )


def check_installed(*packages: str) -> None:
    """Raises DeepicdError where one is missing, before anything is read."""
    for package in packages:
        if find_spec(package) is None:
            raise DeepicdError(
                f"This needs the Python package {package!r}, which is not installed here.",
                f"With GPUs: pip install -e '.[{EXTRAS[package]}]' and vllm. On a CPU: make setup-full",
            )


def silence_libraries() -> None:
    """Progress is ours to show, and nothing is reported to anybody."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    from transformers.utils import logging

    logging.disable_progress_bar()


def build_command(module: str, job: Path, devices: int, sharding: str, config: Path | None) -> list[str]:
    """The command line of `accelerate launch`: by the user's own configuration, or one machine's devices.

    Without a GPU it is torchrun: accelerate starts one process on a CPU, whatever it is told.
    """
    import torch

    if config is None and not torch.cuda.is_available():
        start = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(devices)]
    else:
        start = ["accelerate.commands.launch", "--num_processes", str(devices)]
        if config is None:
            start += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
            start += FSDP if sharding == "fsdp" else ["--multi_gpu"]
        elif not config.is_file():
            raise DeepicdError(f"There is no file {config}.", "Make one: accelerate config --config_file FILE")
        else:
            start += ["--config_file", str(config)]
    return [sys.executable, "-m", *start, "-m", module, str(job)]
