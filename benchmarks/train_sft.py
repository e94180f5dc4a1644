"""Tokens a second of `deepicd train sft`, against TRL's own SFTTrainer with the same settings on the same rows.

Both train the shipped model on made-up notes for so many steps, in processes of their own, turn by turn; what counts is
the time from the first step to the last, start-up left out. The peer gets prompt and completion as messages, as TRL's
own script reads them. They end in the same loss, or the figure is void.

Run: python -m benchmarks.train_sft [STEPS] [ROUNDS]    (in the environment of `make setup-full`)
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import RESULTS, deepicd, python, run

BATCH = 8
PEER = """
import json, sys
import pyarrow.parquet as pq
from datasets import Dataset
from transformers import AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer
from deepicd.engines.shipped import WEIGHTS
rows, out, steps, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
set_seed(42)
trainer = SFTTrainer(
    str(WEIGHTS),
    args=SFTConfig(
        output_dir=out + "/checkpoints", use_cpu=True, bf16=False, max_steps=steps, seed=42, data_seed=42,
        per_device_train_batch_size=batch, learning_rate=1e-3, lr_scheduler_type="linear", warmup_steps=2,
        weight_decay=0.1, max_length=2048, gradient_checkpointing=False, save_strategy="no", logging_steps=1,
        optim="adamw_torch", report_to="none", disable_tqdm=True, model_init_kwargs={"dtype": "float32"},
    ),
    train_dataset=Dataset(pq.read_table(rows)).select_columns(["prompt", "completion"]),
    processing_class=AutoTokenizer.from_pretrained(WEIGHTS),
)
done = trainer.train()
losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
json.dump({"seconds": done.metrics["train_runtime"], "loss": losses[-1]}, open(out + "/peer.json", "w"))
"""


def main(steps: int = 20, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(deepicd("demo", folder / "records", "--admissions", "1000"))
        dataset = folder / "records" / "dataset"
        [rows] = (dataset / "sft").glob("train-*.parquet")
        ours, peer = [], []
        for place in range(rounds):
            out = folder / str(place)
            out.mkdir()
            run(python(PEER, rows, out, str(steps), str(BATCH)))
            peer.append(json.loads((out / "peer.json").read_text()))
            run(deepicd(*_command(dataset, steps), out / "ours"))
            record = json.loads((out / "ours" / "run.json").read_text())["counts"]
            ours.append({"seconds": record["training_seconds"], "loss": record["losses"][-1]["loss"]})
    apart = abs(ours[0]["loss"] - peer[0]["loss"])
    ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in zip(ours, peer, strict=True)]
    found = {
        "steps": steps,
        "batch": BATCH,
        "seconds": round(median(one["seconds"] for one in ours), 2),
        "peer_seconds": round(median(one["seconds"] for one in peer), 2),
        "tokens_per_second_against_peer": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "loss_apart": round(apart, 5),
    }
    print(json.dumps(found, indent=2))
    if apart > 1e-3:
        raise SystemExit("The two did not learn the same, so that their speed says nothing.")
    (RESULTS / "train_sft.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _command(dataset: Path, steps: int) -> list[str | Path]:
    fields = {"max_steps": steps, "max_length": 2048, "effective_batch": BATCH, "per_device": BATCH, "warmup_steps": 2,
              "save_steps": 0, "eval_rows": 0}  # fmt: skip
    flags = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    return ["train", "sft", "--dataset", dataset, "--recipe", "tiny-sft", *flags]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
