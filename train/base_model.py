"""Check the model that training starts from before its weights are loaded: does it exist, fit and chat?

    base = find_base_model(recipe)     # PretrainedModel(path=…, revision=…, commit='…', chat=…, context=32768)
    check_hardware(recipe)             # refuses a recipe for GPUs on a machine that lacks them
    base.chat.render_prompt(row["prompt"])          # the text that the model continues, as in generation
    base.chat.render_answer("<think>\\n…")          # the text that it should continue with

Prompt and answer are rendered and tokenized separately, as in generation, never passed through the template together
(see deepicd.engines.chat_template): a model would learn to leave the tag out, or to open it twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.answer_form import DIAGNOSIS, THINK, THINK_END
from deepicd.engines.chat_template import ChatTemplate
from deepicd.engines.model import read_model
from deepicd.errors import DeepicdError
from train.config import GrpoRecipe, Recipe, SftRecipe

Messages = Sequence[dict[str, str]]


def keep_diagnosis(completion: str) -> str:
    """Return the answer without its reasoning: the diagnosis blocks alone (DeepICD-R1, Table 4)."""
    return completion[completion.index(DIAGNOSIS, completion.rindex(THINK_END)) :]


def opens_think_once(prompt: str, answer: str) -> bool:
    """Return whether prompt and answer together open exactly one think block, which the answer closes."""
    turn = prompt[-40:] + answer  # the task itself, further up, also names the tags
    return turn.count(THINK) == 1 and answer.count(THINK_END) == 1


@dataclass(frozen=True)
class PretrainedModel:
    """The model that training starts from."""

    path: str
    """A folder, or a name on the Hugging Face Hub."""
    revision: str | None
    commit: str
    """Of the files on the Hub; '' for a folder."""
    chat: ChatTemplate
    context: int
    """Tokens that the model reads at most; 0 if it does not say."""

    @property
    def folder(self) -> Path | None:
        return Path(self.path) if Path(self.path).is_dir() else None

    @property
    def options(self) -> dict[str, str]:
        """The model as a run's options name it: without a path of this machine. A folder is among the inputs."""
        folder = self.folder.resolve() if self.folder else None
        if folder and folder.name == "model":  # OUT/model of a training, which OUT names
            folder = folder.parent
        return {"model": folder.name if folder else self.path, "model_commit": self.commit}

    @property
    def inputs(self) -> dict[str, Path]:
        return {"model": self.folder} if self.folder else {}


def find_base_model(recipe: Recipe) -> PretrainedModel:
    """Return the recipe's model. Raises DeepicdError if it is missing or reads too few tokens."""
    model = read_model(recipe.model, recipe.revision)
    if model.context and recipe.sequence_length > model.context:
        raise DeepicdError(
            f"{recipe.model} reads {model.context:,} tokens at most, the recipe asks for {recipe.sequence_length:,}.",
            f"Lower {' and '.join(recipe.LENGTH_FIELDS)}, for instance with --set.",
        )
    chat = ChatTemplate.from_tokenizer(model.load_tokenizer(recipe.template_date), recipe.model).check_training()
    return PretrainedModel(model.path, model.revision, model.commit, chat, model.context)


def check_hardware(recipe: Recipe) -> None:
    """Raise DeepicdError if this machine lacks the recipe's GPUs. Those of other nodes are left to Ray."""
    import torch

    gpus = torch.cuda.device_count()
    runs_here = isinstance(recipe, SftRecipe) or recipe.nodes == 1
    if recipe.hardware == "gpu" and runs_here and gpus < recipe.devices:
        raise DeepicdError(
            f"The recipe {recipe.name} is for {recipe.devices} GPUs; this machine shows {gpus or 'none'}.",
            "Run it on a machine that has them, or set `devices` (--set devices=1). A CPU can train tiny models only:"
            f" --recipe {'tiny-grpo' if isinstance(recipe, GrpoRecipe) else 'tiny-sft'}.",
        )
    if isinstance(recipe, SftRecipe) and recipe.shards and not gpus:
        raise DeepicdError(
            f"The recipe {recipe.name} shards weights over {recipe.devices} devices; accelerate shards on GPUs only.",
            "Use --set sharding=none: each process then holds all weights.",
        )
    if recipe.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        raise DeepicdError(
            f"The recipe {recipe.name} asks for FlashAttention, and flash-attn is not installed.",
            "pip install flash-attn --no-build-isolation, or go without: --set attention=sdpa",
        )


def export_model(base: PretrainedModel, recipe: Recipe, weights: Path, out: Path) -> None:
    """Write the trained weights as a standalone model of the recipe's dtype: adapters merged, with its tokenizer.

    It stops where the chat template ends an answer, whatever the base model's own settings say.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, recipe.dtype)
    if (weights / "adapter_config.json").is_file():
        from peft import PeftModel

        whole = AutoModelForCausalLM.from_pretrained(base.path, revision=base.revision, dtype=torch.float32)
        model: Any = PeftModel.from_pretrained(whole, str(weights)).merge_and_unload().to(dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
    own_ends = model.generation_config.eos_token_id
    ends = own_ends if isinstance(own_ends, list) else [] if own_ends is None else [own_ends]
    model.generation_config.eos_token_id = sorted({*ends, base.chat.end_token} - {None})
    partial = out.with_name(f".{out.name}.partial")
    model.save_pretrained(partial)
    base.chat.tokenizer.save_pretrained(partial)
    if out.exists():
        storage.remove(out)
    partial.rename(out)
