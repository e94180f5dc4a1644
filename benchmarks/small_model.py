"""A model of 117 million random weights for machines with a GPU, and what of a GPU a training of it takes.

It is a Qwen2 with the tokenizer of the shipped model, which was learned from made-up records. Before its training it
knows nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.tiny_teacher import WEIGHTS
from distill.tiny_teacher.initial_model import Shape, build_model

SHAPE = Shape(vocabulary=5000, layers=12, width=768, heads=12, feed_forward=3072, context=2048)

# Dense bf16 without sparsity, operations a second, by the makers' data sheets; the name as the driver gives it.
PEAK = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L40S": 362e12, "B200": 2250e12}


def made(folder: Path, shape: Shape = SHAPE) -> Path:
    """Write the model, in bf16, and its tokenizer."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, model_max_length=shape.context)
    model = build_model(shape, tokenizer, seed=1)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def operations(shape: Shape, length: float) -> float:
    """Of training on one token of a row of so many: forward once, backward twice, two for a multiplication.

    Every weight is multiplied with once a token (that of the embedding at the output alone), and every token looks at
    half of the row on average.
    """
    block = 4 * shape.width**2 + 3 * shape.width * shape.feed_forward
    weights = shape.layers * block + shape.vocabulary * shape.width
    attention = shape.layers * 2 * shape.width * length / 2
    return 6 * (weights + attention)


def length(counts: Mapping[str, Any]) -> float:
    """Tokens of a row on the average, from the record of a fine-tuning."""
    lengths = counts["lengths"]["train"]
    return float(lengths["tokens"] / lengths["kept"])


def utilization(rate: float, length: float, gpu: str) -> float | None:
    """The share of a GPU's operations that so many tokens a second take; None for a GPU that PEAK does not have."""
    most = next((most for name, most in PEAK.items() if name in gpu), None)
    return rate * operations(SHAPE, length) / most if most else None
