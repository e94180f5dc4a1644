"""Write a model of 117 million random weights for machines with a GPU; compute the utilization of its training.

It is a Qwen2 with the tokenizer of the shipped model, which was learned from made-up records.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.tiny_teacher import WEIGHTS
from distill.tiny_teacher.initial_model import Shape, build_model

SHAPE = Shape(vocabulary=5000, layers=12, width=768, heads=12, feed_forward=3072, context=2048)

# Part of the driver's name of a GPU → dense bf16 operations per second, by the makers' data sheets
PEAK = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L40S": 362e12, "B200": 2250e12}


def write_model(folder: Path, shape: Shape = SHAPE) -> Path:
    """Write the model, in bf16, and its tokenizer; return the folder."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, model_max_length=shape.context)
    model = build_model(shape, tokenizer, seed=1)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def count_operations(shape: Shape, length: float) -> float:
    """Return the operations to train on one token in a row of this length.

    One forward and two backward passes, two operations per multiplication. Every weight is used once per token (the
    embedding at the output alone), and a token attends to half of the row on average.
    """
    block = 4 * shape.width**2 + 3 * shape.width * shape.feed_forward
    weights = shape.layers * block + shape.vocabulary * shape.width
    attention = shape.layers * 2 * shape.width * length / 2
    return 6 * (weights + attention)


def compute_mean_length(counts: Mapping[str, Any]) -> float:
    """Return the mean tokens per row, from the record of a fine-tuning."""
    lengths = counts["lengths"]["train"]
    return float(lengths["tokens"] / lengths["kept"])


def measure_utilization(rate: float, length: float, gpu: str) -> float | None:
    """Return the share of a GPU's operations that this many tokens per second use; None for a GPU not in PEAK."""
    peak = next((peak for name, peak in PEAK.items() if name in gpu), None)
    return rate * count_operations(SHAPE, length) / peak if peak else None
