"""Compare the tokens per second of `deepicd train sft` with TRL's own SFTTrainer, same settings, same rows.

Both train the same model on made-up notes for the same number of steps, in separate processes, in turns; only the time
from the first step to the last counts. The peer gets prompt and completion as messages, as TRL's own script reads them.
Unless both start and end with the same loss, the benchmark fails. Without a GPU the model is the shipped one in
float32; with one, 117 million random weights in bf16 (small_model.py), and the result includes the share of the GPU's
operations.

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
from benchmarks.measure import Comparison, deepicd, find_gpu, python, record, run, settings
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
class TrainingSettings:
    """The model to train, and how."""

    model: Path
    batch: int
    rate: float
    device: str  # cpu or gpu

    def build_command(self, dataset: Path, steps: int) -> list[str | Path]:
        """Return our command."""
        fields = {"max_steps": steps, "max_length": 2048, "effective_batch": self.batch, "per_device": self.batch,
                  "warmup_steps": 2, "learning_rate": self.rate, "save_steps": 0, "eval_rows": 0,
                  "dtype": "bfloat16" if self.device == "gpu" else "float32"}  # fmt: skip
        return ["train", "sft", "--dataset", dataset, "--recipe", "tiny-sft", "--model", self.model,
                *settings(fields)]  # fmt: skip


def main(steps: int, rounds: int, dataset: Path | None) -> None:
    card = find_gpu()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if card:
            training = TrainingSettings(small_model.write_model(folder / "model"), 32, 3e-4, "gpu")
        else:
            training = TrainingSettings(WEIGHTS, 8, 1e-3, "cpu")
        if dataset is None:
            run(deepicd("demo", folder / "records", "--admissions", str(max(1000, 5 * steps * training.batch))))
            dataset = folder / "records" / "dataset"
        [rows] = (dataset / "sft").glob("train-*.parquet")
        ours, peer = [], []
        for number in range(rounds):
            out = folder / str(number)
            out.mkdir()
            arguments = [str(steps), str(training.batch), str(training.rate), training.device]
            run(python(PEER, training.model, rows, out, *arguments))
            peer.append(json.loads((out / "peer.json").read_text()))
            cost = run(deepicd(*training.build_command(dataset, steps), out / "ours"))
            ours.append(_read_counts(out / "ours") | {"peak_mib": cost.peak_mib})
    difference = max(abs(ours[0]["losses"][place]["loss"] / peer[0]["losses"][place] - 1) for place in (0, -1))
    print(
        json.dumps([{key: counts[key] for key in ("training_seconds", "tokens_per_second")} for counts in ours]), peer
    )
    if difference > (3e-2 if card else 1e-3):  # a GPU adds in another order each time
        raise SystemExit(f"The two losses differ by {difference:.2%}, so the speeds cannot be compared.")
    rate = median(counts["tokens_per_second"] for counts in ours)
    description = f"{steps} steps of {training.batch} rows, {rate:,.0f} tokens/s"
    if card and (share := small_model.measure_utilization(rate, small_model.compute_mean_length(ours[0]), card)):
        description += f", {share:.0%} of the GPU's operations"
    comparison = Comparison(
        f"deepicd train sft ({description})",
        "TRL's own SFTTrainer, same settings and loss",
        median(counts["training_seconds"] for counts in ours),
        median(result["seconds"] for result in peer),
        max(counts["peak_mib"] for counts in ours),
    )
    record(f"train_sft_{training.device}", [comparison], ["trl", "torch", "transformers"])


def _read_counts(out: Path) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads((out / "run.json").read_text())["counts"]
    return counts


if __name__ == "__main__":
    steps, rounds, dataset = [*sys.argv[1:], *["20", "3", ""][len(sys.argv) - 1 :]]
    main(int(steps), int(rounds), Path(dataset) if dataset else None)
