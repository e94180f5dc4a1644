"""Count the tokens of a text with the model's own tokenizer if it is available, else by a conservative estimate.

A tokenizer needs the library transformers and the model's files. For an engine that loads the model here, the tokenizer
is downloaded if need be; for a server's model only files that this machine already has are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deepicd.engines import registry
from deepicd.engines.base import Failure, Message, Request
from deepicd.engines.chat_template import ChatTemplate, join
from deepicd.engines.model import resolve_path
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.tokenizer import is_replaced, load_tokenizer
from deepicd.errors import DeepicdError

CHARACTERS_PER_TOKEN = 3
"""Fewer than the four of English prose, since clinical shorthand and German take more tokens. Errs on the long side."""
CHAT_TOKENS = 32  # that a chat template adds, if the template is not available


def estimate_tokens(text: str) -> int:
    """Return a conservative estimate of the tokens in a text, for models whose tokenizer is not available."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True)
class TokenCounter:
    """Counts by transformers' `tokenizer`; by the estimate without one."""

    tokenizer: Any = None
    template: ChatTemplate | None = None
    """None where the chat template is not available."""

    @property
    def method(self) -> str:
        """How it counts, in words."""
        if self.tokenizer:
            return "the teacher's tokenizer"
        return f"an estimate, {CHARACTERS_PER_TOKEN} characters per token"

    def count(self, text: str) -> int:
        if self.tokenizer is None:
            return estimate_tokens(text)
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def bound_tokens(self, text: str) -> int:
        """Return a cheap upper bound: no token is shorter than a byte."""
        return len(text.encode()) if self.tokenizer else self.count(text)

    def describe_template(self, recipe: ModelRecipe) -> list[str]:
        """Return in sentences what the chat template does to prompts; nothing where a server renders them."""
        is_used = self.template is not None and not registry.asks_server(recipe.engine)
        return self.template.describe(recipe.template_date) if self.template and is_used else []

    def render_chat(self, messages: Sequence[Message], opening: str) -> str | None:
        """Return the prompt as the model reads it, its opening included; None without the model's chat template."""
        return self.template.render(messages, opening) if self.template else None


@lru_cache(maxsize=1)
def find_counter(recipe: ModelRecipe) -> TokenCounter:
    """Return the most accurate counter that is available for a recipe's model.

    Raises DeepicdError where an engine of this process would read a tokenizer that loses text, or a chat template that
    no answer fits.
    """
    if not recipe.uses_model or find_spec("transformers") is None:
        return TokenCounter()
    is_remote = registry.asks_server(recipe.engine)
    if is_remote and not _is_on_this_machine(recipe):
        return TokenCounter()  # without transformers and PyTorch, which take four seconds and 400 MiB
    try:
        tokenizer = load_tokenizer(
            resolve_path(recipe.model),
            recipe.revision or None,
            template_date=recipe.template_date,
            local_files_only=is_remote,
        )
        return TokenCounter(tokenizer, ChatTemplate.from_tokenizer(tokenizer, recipe.model))
    except DeepicdError:
        if not is_remote:
            raise
    except Exception:  # noqa: BLE001, S110 - a folder or the Hub may raise anything, and the estimate always works
        pass
    return TokenCounter()


def _is_on_this_machine(recipe: ModelRecipe) -> bool:
    """Return whether a model's tokenizer is a folder here, or in the Hub's cache."""
    if Path(path := resolve_path(recipe.model)).is_dir():
        return True
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{path.replace('/', '--')}").is_dir():
        return False  # without the rest of huggingface_hub, which takes 7 MiB
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(path, "tokenizer_config.json", revision=recipe.revision or None)
    except HFValidationError:  # no name of the Hub
        cached = None
    return isinstance(cached, str)


class PromptTokenizer:
    """Turns requests into tokens for engines that run the model themselves, and what they write into completions."""

    def __init__(self, recipe: ModelRecipe) -> None:
        counter = find_counter(recipe)
        self._recipe, self.tokenizer = recipe, counter.tokenizer
        self._template = counter.template

    @property
    def template(self) -> ChatTemplate:
        """Raises DeepicdError for a model without a tokenizer."""
        if self._template is None:
            raise DeepicdError(
                f"The tokenizer of {self._recipe.model} could not be loaded.",
                "Check the model's name, and its tokenizer.json and tokenizer_config.json.",
            )
        return self._template

    @property
    def end_tokens(self) -> list[int]:
        """The token with which the template ends an answer, beside the model's own."""
        end = self.template.end_token
        return [] if end is None else [end]

    def save_replaced(self, folder: Path) -> dict[str, Any]:
        """Return vLLM's arguments for the tokenizer: none, or a copy in `folder` where vLLM would load it wrongly."""
        if not is_replaced(self.tokenizer):
            return {}
        self.tokenizer.save_pretrained(folder)
        return {"tokenizer": str(folder), "tokenizer_revision": None}

    def tokenize(self, request: Request) -> list[int] | Failure:
        """Return the prompt in tokens, its opening included; a Failure where it leaves no room to write.

        Raises DeepicdError for a chat template that no answer fits.
        """
        prompt = self.template.render(request.messages, request.opening, is_free=request.schema is None)
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        if len(ids) >= self._recipe.context:
            reason = f"a prompt of {len(ids):,} tokens in a context of {self._recipe.context:,}"
            return Failure(request.key, reason, is_final=True)
        return ids

    def join(self, request: Request, text: str) -> str:
        """Return the whole assistant turn: what the model wrote, after what the prompt has of it."""
        return text if request.schema is not None else join(self.template.find_start(request.opening), text)
