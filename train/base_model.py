"""Check the model that training starts from before its weights are loaded: does it exist, fit and chat?

    base = find_base_model(recipe)     # PretrainedModel(path=…, revision=…, commit='…', chat=…, context=32768)
    check_hardware(recipe)             # refuses a recipe for GPUs on a machine that lacks them
    base.chat.render_prompt(row["prompt"])          # the text that the model continues, as in generation
    base.chat.render_answer("<think>\\n…")          # the text that it should continue with

Prompt and answer are rendered and tokenized separately, as in generation, never passed through the template together:
several templates drop the reasoning of a finished answer (everything up to `</think>`) or write `<think>` themselves,
so that a model would learn to leave the tag out, or to open it twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from deepicd import storage
from deepicd.answer_form import DIAGNOSIS, THINK, THINK_END
from deepicd.engines.model import read_model
from deepicd.errors import DeepicdError
from train.config import GrpoRecipe, Recipe, SftRecipe

PROBE_PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fever?"}]
PROBE_ANSWER = "Yes, and a cough."

Messages = Sequence[dict[str, str]]


class Tokenizer(Protocol):
    """What training uses of transformers.PreTrainedTokenizer, which has no types."""

    chat_template: str | None

    def apply_chat_template(
        self, conversation: Messages, *, tokenize: bool, add_generation_prompt: bool = False
    ) -> str: ...
    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...
    def decode(self, token_ids: Sequence[int]) -> str: ...
    def save_pretrained(self, save_directory: Path) -> object: ...


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A tokenizer, and what its chat template writes around an answer."""

    tokenizer: Tokenizer
    opening: str
    """What the template opens an answer with: '' or '<think>\\n'."""
    closing: str
    """What ends an answer: '<|im_end|>\\n'."""

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, model: str) -> "ChatTemplate":
        """Probe a chat template. Raises DeepicdError if there is none, or if it does not mark the end of an answer."""
        from jinja2 import TemplateError

        if not tokenizer.chat_template:
            raise DeepicdError(
                f"{model} has no chat template, which is needed to write prompts for it.",
                "Take its instruct version, or put a chat_template.jinja into its folder.",
            )
        try:
            prompt = tokenizer.apply_chat_template(PROBE_PROMPT, tokenize=False, add_generation_prompt=True)
            chat = [*PROBE_PROMPT, {"role": "assistant", "content": PROBE_ANSWER}]
            answered = tokenizer.apply_chat_template(chat, tokenize=False)
        except TemplateError as error:
            raise DeepicdError(
                f"The chat template of {model} rejects a system message and a question: {error}.",
                "Take a model whose template knows the roles system, user and assistant.",
            ) from error
        _, has_answer, closing = answered.rpartition(PROBE_ANSWER)
        if not has_answer or not closing.strip() or PROBE_PROMPT[1]["content"] not in prompt:
            raise DeepicdError(
                f"The chat template of {model} leaves out the question, or writes nothing after an answer.",
                "A model trained with it would never stop. Use another template.",
            )
        opening = prompt[prompt.rindex(THINK) :] if prompt.rstrip().endswith(THINK) else ""
        return cls(tokenizer, opening, closing)

    def render_prompt(self, messages: Messages) -> str:
        return self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)

    def render_answer(self, text: str) -> str:
        """Return the answer as the model has to write it: without what the template has written, and with its end."""
        if self.opening:
            text = text.removeprefix(THINK).lstrip("\n")
        return text + self.closing

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    @property
    def end_token(self) -> int:
        """The token that ends an answer."""
        return self.encode(self.closing)[0]


def keep_diagnosis(completion: str) -> str:
    """Return the answer without its reasoning: the diagnosis block alone (DeepICD-R1, Table 4)."""
    return completion[completion.rindex(DIAGNOSIS) :]


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
    chat = ChatTemplate.from_tokenizer(model.load_tokenizer(), recipe.model)
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
    model.generation_config.eos_token_id = sorted({*ends, base.chat.end_token})
    partial = out.with_name(f".{out.name}.partial")
    model.save_pretrained(partial)
    base.chat.tokenizer.save_pretrained(partial)
    if out.exists():
        storage.remove(out)
    partial.rename(out)
