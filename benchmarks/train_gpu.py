"""The training recipe on one GPU: 117 million random weights, some 20,000 made-up stays, SFT, GRPO, two evaluations.

    random ──▶ SFT ──▶ SFT + GRPO        the last two are evaluated on the same test notes, which are not shortened

The commands are those of any run. The result shows that the machinery learns on a GPU what made-up notes hold, how
fast, and with what share of the GPU's operations; it says nothing about medicine. The engine vllm generates the answers
where it is installed, transformers elsewhere.

Run: deepicd demo out/gpu --admissions 60000 && python -m benchmarks.train_gpu out/gpu/dataset out/gpu/training
"""

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import small_model
from benchmarks.measure import RESULTS, deepicd, gpu, machine, run, settings, versions
from deepicd.evaluation_metrics import METRICS_FILE, read_metrics

SFT = {"dtype": "bfloat16", "max_length": 2048, "effective_batch": 32, "per_device": 32, "epochs": 4.0,
       "learning_rate": 6e-4, "warmup_steps": 100, "save_steps": 0}  # fmt: skip
GRPO = {"dtype": "bfloat16", "batch": 64, "mini_batch": 64, "micro_batch": 128, "max_prompt": 1536, "max_response": 384,
        "learning_rate": 1e-5, "max_steps": 20, "save_steps": 0}  # fmt: skip
NOTES = 1000  # to evaluate on


def main(dataset: str, out_name: str, *changes: str) -> None:
    """Train and evaluate. `changes` change fields of both trainings: sft.epochs=2 grpo.max_steps=5"""
    card = gpu()
    if card is None:
        sys.exit("This benchmark is for a machine with a GPU; nvidia-smi shows none.")
    out = Path(out_name)
    sft, grpo = _change_fields("sft", SFT, changes), _change_fields("grpo", GRPO, changes)
    base = small_model.write_model(out / "base")
    results: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "notes": NOTES}
    results["packages"] = dict(versions(["torch", "transformers", "trl", "vllm"]))

    def save(**figures: Any) -> None:  # after each stage: a later one may fail
        results.update(figures)
        (RESULTS / "train_gpu.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(figures, indent=2), flush=True)

    counts = _train("sft", dataset, base, sft, out / "sft")
    save(sft=_measure_speed(counts, card))
    save(SFT=_evaluate(out / "sft" / "model", dataset, out / "evaluation" / "sft"))
    counts = _train("grpo", dataset, out / "sft" / "model", grpo, out / "grpo")
    answers = counts["steps"] * grpo["batch"] * 8
    figures = {name: counts[name] for name in ("steps", "skipped_updates", "training_seconds", "reward")}
    save(grpo=figures | {"answers_per_second": round(answers / counts["training_seconds"], 1)})
    save(**{"SFT + GRPO": _evaluate(out / "grpo" / "model", dataset, out / "evaluation" / "sft-grpo")})


def _change_fields(training: str, fields: Mapping[str, Any], changes: tuple[str, ...]) -> dict[str, Any]:
    pairs = (change.removeprefix(f"{training}.").split("=") for change in changes if change.startswith(f"{training}."))
    return {**fields, **{name: json.loads(value) for name, value in pairs}}


def _train(training: str, dataset: str, model: Path, fields: Mapping[str, Any], out: Path) -> dict[str, Any]:
    started = time.perf_counter()
    run(deepicd("train", training, "--dataset", dataset, "--recipe", f"tiny-{training}", "--model", model,
                *settings(fields), out))  # fmt: skip
    print(f"{training}: {time.perf_counter() - started:.0f} s in all", flush=True)
    counts: dict[str, Any] = json.loads((out / "run.json").read_text())["counts"]
    return counts


def _measure_speed(counts: Mapping[str, Any], card: str) -> dict[str, Any]:
    """Return the figures of the fine-tuning; its tokens are those of rows, without padding."""
    rate, length = counts["tokens_per_second"], small_model.mean_length(counts)
    share = small_model.measure_utilization(rate, length, card)
    return {
        "steps": counts["steps"],
        "seconds": counts["training_seconds"],
        "tokens_per_second": rate,
        "operations_per_token": round(small_model.count_operations(small_model.SHAPE, length)),
        "model_flops_utilization": round(share, 4) if share else None,
        "validation_loss": counts["validation_loss"],
    }


def _evaluate(model: Path, dataset: str, out: Path) -> dict[str, Any]:
    engine = ["--engine", "vllm"] if find_spec("vllm") else ["--engine", "transformers", "--set", "in_flight=512"]
    fields = {"context": 2048, "max_tokens": 384, "dtype": "bfloat16"}
    started = time.perf_counter()
    run(deepicd("evaluate", "--model", model, "--dataset", dataset, "--split", "test", "--limit", str(NOTES),
                *engine, *settings(fields), "--out", out))  # fmt: skip
    print(f"{out.name}: {time.perf_counter() - started:.0f} s", flush=True)
    metrics = read_metrics(out / METRICS_FILE)
    return {
        name: {"macro_f1": round(level.macro_f1, 4), "accuracy": round(level.accuracy, 4)}
        | {"interval": [round(end, 4) for end in level.interval["macro_f1"] or []]}
        for name, level in (("chapter", metrics.chapter), ("category", metrics.category), ("full", metrics.full))
    } | {"seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    main(*sys.argv[1:])
