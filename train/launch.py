"""Start the processes of a training: only this one, or one per device through accelerate.

    launch.run_workers("train.sft.worker", job, devices=4, sharding="fsdp", config=None)

A worker is a module with `work(job)`, which reads everything it needs from the job's folder.
"""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from deepicd.engines.model import switch_off_cudnn_attention
from deepicd.engines.registry import TELEMETRY_OFF
from deepicd.errors import DeepicdError, advise_install

# package → the extra that installs it
EXTRAS = {
    "trl": "trl",
    "peft": "trl",
    "accelerate": "trl",
    "transformers": "trl",
    "torch": "trl",
    "verl": "verl",
    "vllm": "verl",
}

# In addition to the engines' own: trackers that need an account, warnings, progress bars. A variable that is set stays.
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


def run_workers(module: str, job: Path, *, devices: int, sharding: str, config: Path | None) -> None:
    """Run `module.work(job)` to its end on every device. Raises DeepicdError if a process fails."""
    prepare_libraries()
    if devices == 1 and config is None:
        import_module(module).work(job)
        return
    command = build_command(module, job, devices=devices, sharding=sharding, config=config)
    completed = subprocess.run(command, check=False)
    if completed.returncode:
        raise DeepicdError(
            f"accelerate ended with exit code {completed.returncode}; its output is above.",
            "Fix this, then rerun the command: it resumes from the last checkpoint.",
        )


def check_installed(*packages: str) -> None:
    """Raise DeepicdError for a missing package, before anything is read."""
    for package in packages:
        if find_spec(package) is None:
            raise DeepicdError(
                f"This needs the Python package {package!r}, which is not installed.",
                f"With GPUs: {advise_install(EXTRAS[package])} and vllm. On a CPU, in a clone: make setup-full",
            )


def prepare_libraries() -> None:
    """Turn off the libraries' progress bars, every kind of reporting to others, and cuDNN's attention.

    Called by every process that trains with TRL, before it loads a model.
    """
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    from transformers.utils import logging

    logging.disable_progress_bar()
    switch_off_cudnn_attention()


def build_command(module: str, job: Path, *, devices: int, sharding: str, config: Path | None) -> list[str]:
    """Return the command line of `accelerate launch`: with the user's own configuration, or for this machine's devices.

    Without a GPU it is torchrun: accelerate always starts a single process on a CPU.
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
