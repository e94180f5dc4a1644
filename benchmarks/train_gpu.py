"""The training recipe on one GPU: 117 million random weights, some 20,000 made-up stays, SFT, GRPO, two evaluations.

    random ──▶ SFT ──▶ SFT + GRPO        the last two evaluated on the same test notes, whole and not shortened

The commands are those of any run. What comes out says that the machinery learns on a GPU what made-up notes hold, how
fast, and with what share of the GPU's operations; it says nothing about medicine. An engine `vllm` writes the answers
where it is installed, `transformers` elsewhere.

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

SFT = {"dtype": "bfloat16", "max_length": 2048, "effective_batch": 32, "per_device": 32, "epochs": 4.0,
       "learning_rate": 6e-4, "warmup_steps": 100, "save_steps": 0}  # fmt: skip
GRPO = {"dtype": "bfloat16", "batch": 64, "mini_batch": 64, "micro_batch": 128, "max_prompt": 1536, "max_response": 384,
        "learning_rate": 1e-5, "max_steps": 20, "save_steps": 0}  # fmt: skip
NOTES = 1000  # to evaluate on


def main(dataset: str, place: str, *given: str) -> None:
    """`given` may change fields of both trainings: sft.epochs=2 grpo.max_steps=5"""
    card = gpu()
    if card is None:
        sys.exit("This benchmark is for a machine with a GPU; nvidia-smi shows none.")
    out = Path(place)
    sft, grpo = _changed("sft", SFT, given), _changed("grpo", GRPO, given)
    base = small_model.made(out / "base")
    found: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "notes": NOTES}
    found["packages"] = dict(versions(["torch", "transformers", "trl", "vllm"]))

    def keep(**figures: Any) -> None:  # at once: a later stage may fail
        found.update(figures)
        (RESULTS / "train_gpu.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(figures, indent=2), flush=True)

    counts = _trained("sft", dataset, base, sft, out / "sft")
    keep(sft=_speed(counts, card))
    keep(SFT=_evaluated(out / "sft" / "model", dataset, out / "evaluation" / "sft"))
    counts = _trained("grpo", dataset, out / "sft" / "model", grpo, out / "grpo")
    answers = counts["steps"] * grpo["batch"] * 8
    told = {name: counts[name] for name in ("steps", "skipped_updates", "training_seconds", "reward")}
    keep(grpo=told | {"answers_per_second": round(answers / counts["training_seconds"], 1)})
    keep(**{"SFT + GRPO": _evaluated(out / "grpo" / "model", dataset, out / "evaluation" / "sft-grpo")})


def _changed(of: str, fields: Mapping[str, Any], given: tuple[str, ...]) -> dict[str, Any]:
    pairs = (one.removeprefix(f"{of}.").split("=") for one in given if one.startswith(f"{of}."))
    return {**fields, **{name: json.loads(value) for name, value in pairs}}


def _trained(what: str, dataset: str, model: Path, fields: Mapping[str, Any], out: Path) -> dict[str, Any]:
    began = time.perf_counter()
    run(deepicd("train", what, "--dataset", dataset, "--recipe", f"tiny-{what}", "--model", model, *settings(fields),
                out))  # fmt: skip
    print(f"{what}: {time.perf_counter() - began:.0f} s in all", flush=True)
    counts: dict[str, Any] = json.loads((out / "run.json").read_text())["counts"]
    return counts


def _speed(counts: Mapping[str, Any], card: str) -> dict[str, Any]:
    """Of the fine-tuning; tokens of rows, padding not among them."""
    rate, length = counts["tokens_per_second"], small_model.length(counts)
    share = small_model.utilization(rate, length, card)
    return {
        "steps": counts["steps"],
        "seconds": counts["training_seconds"],
        "tokens_per_second": rate,
        "operations_per_token": round(small_model.operations(small_model.SHAPE, length)),
        "model_flops_utilization": round(share, 4) if share else None,
        "validation_loss": counts["validation_loss"],
    }


def _evaluated(model: Path, dataset: str, out: Path) -> dict[str, Any]:
    how = ["--engine", "vllm"] if find_spec("vllm") else ["--engine", "transformers", "--set", "in_flight=512"]
    fields = {"context": 2048, "max_tokens": 384, "dtype": "bfloat16"}
    began = time.perf_counter()
    run(deepicd("evaluate", "--model", model, "--dataset", dataset, "--split", "test", "--limit", str(NOTES),
                *how, *settings(fields), "--out", out))  # fmt: skip
    print(f"{out.name}: {time.perf_counter() - began:.0f} s", flush=True)
    metrics = json.loads((out / "metrics.json").read_text())
    kept = ("macro_f1", "accuracy")
    return {
        level: {name: round(metrics[level][name], 4) for name in kept}
        | {"interval": [round(end, 4) for end in metrics[level]["interval"]["macro_f1"]]}
        for level in ("chapter", "category", "full")
    } | {"seconds": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    main(*sys.argv[1:])
