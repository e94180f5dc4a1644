"""Tokens a second of `deepicd train sft`, against TRL's own SFTTrainer with the same settings on the same rows.

Both train the same model on made-up notes for so many steps, in processes of their own, turn by turn; what counts is
the time from the first step to the last, start-up left out. The peer gets prompt and completion as messages, as TRL's
own script reads them. They begin and end with the same loss, or the figure is void. Without a GPU the model is the
shipped one in float32; with one, 117 million random weights in bf16 (small_model.py), and the share of the GPU's
operations is told.

Run: python -m benchmarks.train_sft [STEPS] [ROUNDS] [DATASET]    (in the environment of `make setup-full`)
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import small_model
from benchmarks.measure import Comparison, Cost, deepicd, gpu, python, record, run, settings
from distill.tiny_teacher import WEIGHTS

PEER = """
import json, sys
import pyarrow.parquet as pq
from datasets import Dataset
from transformers import AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer
model, rows, out, steps, batch, rate, on = sys.argv[1:]
steps, batch, rate, on_gpu = int(steps), int(batch), float(rate), on == "gpu"
set_seed(42)
trainer = SFTTrainer(
    model,
    args=SFTConfig(
        output_dir=out + "/checkpoints", use_cpu=not on_gpu, bf16=on_gpu, max_steps=steps, seed=42, data_seed=42,
        per_device_train_batch_size=batch, learning_rate=rate, lr_scheduler_type="linear", warmup_steps=2,
        weight_decay=0.1, max_length=2048, gradient_checkpointing=False, save_strategy="no", logging_steps=1,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch", dataloader_num_workers=2 if on_gpu else 0,
        report_to="none", disable_tqdm=True, model_init_kwargs={"dtype": "float32"},
    ),
    train_dataset=Dataset(pq.read_table(rows)).select_columns(["prompt", "completion"]),
    processing_class=AutoTokenizer.from_pretrained(model),
)
done = trainer.train()
losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
json.dump({"seconds": done.metrics["train_runtime"], "losses": losses}, open(out + "/peer.json", "w"))
"""


@dataclass(frozen=True)
class Setting:
    """What is trained here."""

    model: Path
    batch: int
    rate: float
    on: str  # cpu or gpu

    def command(self, dataset: Path, steps: int) -> list[str | Path]:
        """Our side."""
        fields = {"max_steps": steps, "max_length": 2048, "effective_batch": self.batch, "per_device": self.batch,
                  "warmup_steps": 2, "learning_rate": self.rate, "save_steps": 0, "eval_rows": 0,
                  "dtype": "bfloat16" if self.on == "gpu" else "float32"}  # fmt: skip
        return ["train", "sft", "--dataset", dataset, "--recipe", "tiny-sft", "--model", self.model,
                *settings(fields)]  # fmt: skip


def main(steps: int, rounds: int, given: Path | None) -> None:
    card = gpu()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        setting = (
            Setting(small_model.made(folder / "model"), 32, 3e-4, "gpu") if card else Setting(WEIGHTS, 8, 1e-3, "cpu")
        )
        if given is None:
            run(deepicd("demo", folder / "records", "--admissions", str(max(1000, 5 * steps * setting.batch))))
        dataset = given or folder / "records" / "dataset"
        [rows] = (dataset / "sft").glob("train-*.parquet")
        ours, peer = [], []
        for place in range(rounds):
            out = folder / str(place)
            out.mkdir()
            numbers = [str(steps), str(setting.batch), str(setting.rate), setting.on]
            run(python(PEER, setting.model, rows, out, *numbers))
            peer.append(json.loads((out / "peer.json").read_text()))
            cost = run(deepicd(*setting.command(dataset, steps), out / "ours"))
            ours.append(_told(out / "ours", cost))
    apart = max(abs(ours[0]["losses"][place]["loss"] / peer[0]["losses"][place] - 1) for place in (0, -1))
    print(json.dumps([{key: one[key] for key in ("training_seconds", "tokens_per_second")} for one in ours]), peer)
    if apart > (3e-2 if card else 1e-3):  # on a GPU sums are taken in another order each time
        raise SystemExit(f"The two did not learn the same ({apart:.2%} apart), so that their speed says nothing.")
    rate = median(one["tokens_per_second"] for one in ours)
    told = f"{steps} steps of {setting.batch} rows, {rate:,.0f} tokens/s"
    if card and (share := small_model.utilization(rate, small_model.length(ours[0]), card)):
        told += f", {share:.0%} of the GPU's operations"
    found = Comparison(
        f"deepicd train sft ({told})",
        "TRL's own SFTTrainer, same settings and loss",
        median(one["training_seconds"] for one in ours),
        median(one["seconds"] for one in peer),
        max(one["peak_mib"] for one in ours),
    )
    record(f"train_sft_{setting.on}", [found], ["trl", "torch", "transformers"])


def _told(out: Path, cost: Cost) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads((out / "run.json").read_text())["counts"]
    return counts | {"peak_mib": cost.peak_mib}


if __name__ == "__main__":
    steps, rounds, dataset = [*sys.argv[1:], *["20", "3", ""][len(sys.argv) - 1 :]]
    main(int(steps), int(rounds), Path(dataset) if dataset else None)
