"""Stages on the heavy engines: Ray workers, vLLM, and training by TRL, with the shipped tiny model on a CPU.

Only where the engines are installed (`make setup-full`): one trial of a fault takes a minute.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.faults.stage import Stage

SMALL = ["effective_batch=4", "per_device=4", "max_steps=6", "save_steps=2", "eval_rows=4", "warmup_steps=1"]
FEW = ["batch=2", "rollouts=2", "mini_batch=2", "micro_batch=4", "max_response=16", "max_steps=3", "save_steps=1"]


def list_models(demo: Path) -> Iterator[Stage]:
    """Yield the stages whose engine is installed."""
    cohort, dataset = demo / "cohort", demo / "dataset"

    def distill(out: Path) -> list[object]:
        return ["distill", cohort, out, "--recipe", "tiny", "--limit", 3]

    def train(kind: str, values: list[str]) -> list[object]:
        settings = [word for value in values for word in ("--set", value)]
        return ["train", kind, "--dataset", dataset, "--recipe", f"tiny-{kind}", *settings]

    def distill_by_workers(out: Path) -> list[object]:
        return ["distill", cohort, out, "--recipe", "rehearsal", "--workers", 2]

    if find_spec("ray"):
        yield Stage("distill by Ray workers", distill_by_workers, [cohort / "train.parquet"])
    if find_spec("vllm"):
        yield Stage("distill by vLLM", distill, [cohort / "train.parquet"])
    if find_spec("trl"):
        rows = "train-00000-of-00001.parquet"
        yield Stage("train sft", lambda out: [*train("sft", SMALL), out], [dataset / "sft" / rows])
        yield Stage("train grpo", lambda out: [*train("grpo", FEW), out], [dataset / "grpo" / rows])
