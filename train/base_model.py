"""The model that training starts from, before its weights are loaded: is it there, can it be asked, is it big enough?

base = found(recipe)         # Base(path=…, revision=…, commit='…', chat=Chat(…), context=32768)
check_hardware(recipe)       # a recipe for GPUs where there are none, or too few, is refused here
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.engines.model import resolve_path
from deepicd.errors import DeepicdError
from train.chat_template import ChatTemplate
from train.config import GrpoRecipe, Recipe, SftRecipe


@dataclass(frozen=True)
class PretrainedModel:
    path: str
    """A folder, or a name on the Hugging Face Hub."""
    revision: str | None
    commit: str
    """Of the files that were read; '' for a folder."""
    chat: ChatTemplate
    context: int
    """Tokens that the model reads at most; 0 where it does not say."""

    @property
    def folder(self) -> Path | None:
        return Path(self.path) if Path(self.path).is_dir() else None

    @property
    def named(self) -> dict[str, str]:
        """For a run's options: no path of this machine; the digest of a folder stands among the inputs."""
        folder = self.folder.resolve() if self.folder else None
        if folder and folder.name == "model":  # of a training of ours, which its folder's name tells
            folder = folder.parent
        name = folder.name if folder else self.path
        return {"model": name, "model_commit": self.commit}


def find_base_model(recipe: Recipe) -> PretrainedModel:
    """The recipe's model. Raises DeepicdError."""
    from transformers import AutoConfig, AutoTokenizer

    revision = recipe.revision or None
    try:
        path = resolve_path(recipe.model)
        config: Any = AutoConfig.from_pretrained(path, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    except (OSError, ValueError) as error:
        at = f" at revision {recipe.revision!r}" if revision else ""
        raise DeepicdError(
            f"There is no model {recipe.model!r}{at} here, and none could be fetched.",
            "Give a folder with config.json, tokenizer and weights (--model DIR), or a name on the Hub (log"
            " in for a gated one); a machine without network needs it in its cache.",
        ) from error
    context = int(getattr(config, "max_position_embeddings", 0) or 0)
    wanted = recipe.max_length if isinstance(recipe, SftRecipe) else recipe.max_prompt + recipe.max_response
    if context and wanted > context:
        fields = "max_length" if isinstance(recipe, SftRecipe) else "max_prompt and max_response"
        raise DeepicdError(
            f"{recipe.model} reads {context:,} tokens at most, the recipe asks for {wanted:,}.",
            f"Lower {fields}, for instance with --set.",
        )
    commit = str(getattr(config, "_commit_hash", None) or "")
    return PretrainedModel(path, revision, commit, ChatTemplate.of(tokenizer, recipe.model), context)


def check_hardware(recipe: Recipe) -> None:
    """Raises DeepicdError where the recipe's GPUs are not there. Those of other nodes are Ray's to find."""
    import torch

    there = torch.cuda.device_count()
    here = isinstance(recipe, SftRecipe) or recipe.nodes == 1
    if recipe.hardware == "gpu" and here and there < recipe.devices:
        raise DeepicdError(
            f"The recipe {recipe.name} is for {recipe.devices} GPUs; this machine shows {there or 'none'}.",
            "Run it where they are, or set `devices` (--set devices=1). A CPU will do for tiny models only: --recipe"
            f" {'tiny-grpo' if isinstance(recipe, GrpoRecipe) else 'tiny-sft'}.",
        )
    if recipe.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        raise DeepicdError(
            f"The recipe {recipe.name} asks for FlashAttention, and flash-attn is not installed.",
            "pip install flash-attn --no-build-isolation, or go without: --set attention=sdpa",
        )
    if isinstance(recipe, SftRecipe) and recipe.packing and recipe.attention != "flash_attention_2":
        raise DeepicdError(
            f"{recipe.name}: packing with attention {recipe.attention!r} lets rows of one sequence see each other.",
            "Install flash-attn and --set attention=flash_attention_2, or --set packing=false.",
        )


def export_model(base: PretrainedModel, recipe: Recipe, trained: Path, out: Path) -> None:
    """The trained weights as a model of its own, in the recipe's type: adapters merged, tokenizer beside it.

    It stops where the chat template ends an answer, whatever the base model's own settings say.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, recipe.dtype)
    if (trained / "adapter_config.json").is_file():
        from peft import PeftModel

        whole = AutoModelForCausalLM.from_pretrained(base.path, revision=base.revision, dtype=torch.float32)
        model: Any = PeftModel.from_pretrained(whole, str(trained)).merge_and_unload().to(dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(trained, dtype=dtype)
    ends = model.generation_config.eos_token_id
    known = ends if isinstance(ends, list) else [] if ends is None else [ends]
    model.generation_config.eos_token_id = sorted({*known, base.chat.end})
    partial = out.with_name(f".{out.name}.partial")
    model.save_pretrained(partial)
    base.chat.tokenizer.save_pretrained(partial)
    if out.exists():
        storage.remove(out)
    partial.rename(out)
