"""Check a recipe's model before its weights are loaded: does it exist, is its context long enough, do the GPUs suffice?

    model = find_model(recipe)    # Model(path='Qwen/Qwen2.5-32B-Instruct', config=…)

A name is a folder, a model that an installed package brings along (deepicd.engines.registry), or one on the Hugging
Face Hub.
"""

import os
from dataclasses import dataclass
from typing import Any

from deepicd.engines import registry
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.tokenizer import load_tokenizer
from deepicd.errors import DeepicdError


@dataclass(frozen=True, slots=True)
class Model:
    """A model that exists, with its configuration."""

    name: str
    """As the recipe has it."""
    path: str
    """A folder, or a name on the Hugging Face Hub."""
    revision: str | None
    config: Any
    """Its transformers.PretrainedConfig."""

    @property
    def context(self) -> int:
        """Tokens that it reads at most; 0 if unknown."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 0)

    @property
    def commit(self) -> str:
        """Of the files on the Hub; '' for a folder."""
        return str(getattr(self.config, "_commit_hash", None) or "")

    def load_tokenizer(self, template_date: str = "") -> Any:
        """Return its transformers.PreTrainedTokenizer. Raises DeepicdError where there is none, or it loses text."""
        try:
            return load_tokenizer(self.path, self.revision, template_date=template_date)
        except (OSError, ValueError) as error:
            raise _explain_missing_model(self.name, self.revision) from error


def resolve_path(name: str) -> str:
    """Return where a recipe's model is loaded from: the folder of a registered model, any other name as it is."""
    return str(registry.find_registered_model(name) or name)


def read_model(name: str, revision: str | None = None) -> Model:
    """Return a model with its configuration, downloaded if need be. Raises DeepicdError where there is none."""
    from transformers import AutoConfig

    path = resolve_path(name)
    try:
        return Model(name, path, revision or None, AutoConfig.from_pretrained(path, revision=revision or None))
    except (OSError, ValueError) as error:
        raise _explain_missing_model(name, revision) from error


def find_model(recipe: ModelRecipe) -> Model:
    """Return the recipe's model. Raises DeepicdError where it is missing or reads less than the recipe's context."""
    model = read_model(recipe.model, recipe.revision)
    if model.context and recipe.context > model.context:
        raise DeepicdError(
            f"{recipe.model} reads {model.context:,} tokens at most, and the recipe's context is {recipe.context:,}.",
            f"Put `context: {model.context}` in the recipe, or less.",
        )
    if recipe.max_tokens >= recipe.context:
        raise DeepicdError(
            f"A context of {recipe.context:,} tokens has no room for a prompt beside {recipe.max_tokens:,} to write.",
            "Raise `context` or lower `max_tokens` in the recipe.",
        )
    return model


def check_gpus(recipe: ModelRecipe) -> None:
    """Raise DeepicdError where the recipe needs more GPUs than there are; a recipe for one also runs on a CPU."""
    import torch

    needed, available = recipe.tensor_parallel * recipe.data_parallel, torch.cuda.device_count()
    if needed <= max(available, 1):
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    raise DeepicdError(
        f"The recipe is for {needed} GPUs (tensor_parallel {recipe.tensor_parallel} × data_parallel"
        f" {recipe.data_parallel}); this machine shows {available or 'none'}.",
        "Lower them, choose a smaller model, or ask a server that has them: --engine openai_server --base-url URL"
        + (f" (CUDA_VISIBLE_DEVICES is {visible!r} here)" if visible else ""),
    )


def _explain_missing_model(name: str, revision: str | None) -> DeepicdError:
    at = f" at revision {revision!r}" if revision else ""
    return DeepicdError(
        f"There is no model {name!r}{at} here, and none could be downloaded.",
        "Give a folder with config.json, tokenizer and weights, or a name on the Hugging Face Hub (log in for a gated"
        " model); a machine without network needs it in its cache.",
    )


def switch_off_cudnn_attention() -> None:
    """Switch off cuDNN's attention, whose backward pass gives NaN gradients on Hopper GPUs (pytorch/pytorch#196678).

    With an explicit mask, a padded length that is 64 modulo 128 and a query row that is all padding (prompts padded on
    the left, so GRPO), the gradient of the queries is NaN while loss and output stay finite: torch 2.11 to 2.13 with
    cuDNN 9.15 to 9.25. PyTorch's own kernels are as fast here. Every process that trains, and the engine
    `transformers`, calls this before a model is loaded; vLLM does the same in its own processes. No effect on a CPU.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
