"""A recipe's model before it is loaded: is it there, does it read so much text, is there the hardware?

model = found(recipe)    # Model(path='Qwen/Qwen2.5-32B-Instruct', config=…)
"""

import os
from dataclasses import dataclass
from typing import Any

from deepicd.engines import shipped_model
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError


@dataclass(frozen=True, slots=True)
class Model:
    path: str
    """A folder, or a name on the Hugging Face Hub."""
    revision: str | None
    config: Any
    """transformers' configuration of it."""


def find_model(recipe: ModelRecipe) -> Model:
    """The teacher's model. Raises DeepicdError where there is none, or its context is smaller than the recipe's."""
    from transformers import AutoConfig

    path, revision = shipped_model.resolve_path(recipe.model), recipe.revision or None
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError) as error:
        revised = f" at revision {recipe.revision!r}" if recipe.revision else ""
        raise DeepicdError(
            f"There is no model {recipe.model!r}{revised} here, and none could be fetched.",
            "Give a folder with config.json and weights, or a name on the Hugging Face Hub (log in for a gated one); a"
            " machine without network needs it in its cache.",
        ) from error
    longest = getattr(config, "max_position_embeddings", None)
    if longest and recipe.context > longest:
        raise DeepicdError(
            f"{recipe.model} reads {longest:,} tokens at most, and the recipe's context is {recipe.context:,}.",
            f"Put `context: {longest}` in the recipe, or less.",
        )
    if recipe.max_tokens >= recipe.context:
        raise DeepicdError(
            f"A context of {recipe.context:,} tokens has no room for a prompt beside {recipe.max_tokens:,} to write.",
            "Raise `context` or lower `max_tokens` in the recipe.",
        )
    return Model(path, revision, config)


def check_gpus(recipe: ModelRecipe) -> None:
    """Raises DeepicdError where the recipe wants more GPUs than there are; a recipe for one also runs on a CPU."""
    import torch

    wanted, there = recipe.tensor_parallel * recipe.data_parallel, torch.cuda.device_count()
    if wanted > max(there, 1):
        raise DeepicdError(
            f"The recipe is for {wanted} GPUs (tensor_parallel {recipe.tensor_parallel} × data_parallel"
            f" {recipe.data_parallel}); this machine shows {there or 'none'}.",
            "Lower them, take a smaller teacher, or ask a server that has them: --engine endpoint --base-url URL"
            + (
                f" (CUDA_VISIBLE_DEVICES is {shown!r} here)"
                if (shown := os.environ.get("CUDA_VISIBLE_DEVICES"))
                else ""
            ),
        )
