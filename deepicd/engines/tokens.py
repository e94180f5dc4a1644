"""Count the tokens of a text with the model's own tokenizer if it is available, else by a conservative estimate.

A tokenizer needs the library transformers and the model's files. For an engine that loads the model here, the tokenizer
is downloaded if need be; for a server's model only files that this machine already has are used.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deepicd.engines import registry
from deepicd.engines.base import Failure, Message, Request
from deepicd.engines.model import resolve_path
from deepicd.engines.recipe import ModelRecipe
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

    def render_chat(self, messages: Sequence[Message], opening: str) -> str | None:
        """Return the prompt as the model reads it, its opening included; None without the model's chat template."""
        if self.tokenizer is None or not self.tokenizer.chat_template:
            return None
        text: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return text + opening


@lru_cache(maxsize=1)
def find_counter(recipe: ModelRecipe) -> TokenCounter:
    """Return the most accurate counter that is available for a recipe's model."""
    if not recipe.uses_model:
        return TokenCounter()
    try:
        from transformers import AutoTokenizer
    except ImportError:
        return TokenCounter()
    # a model folder or the Hub may raise anything, and the estimate always works
    with contextlib.suppress(Exception):
        return TokenCounter(
            AutoTokenizer.from_pretrained(
                resolve_path(recipe.model),
                revision=recipe.revision or None,
                local_files_only=registry.asks_server(recipe.engine),
            )
        )
    return TokenCounter()


class PromptTokenizer:
    """Turns requests into tokens for engines that run the model themselves."""

    def __init__(self, recipe: ModelRecipe) -> None:
        self._recipe, self._counter = recipe, find_counter(recipe)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._counter.tokenizer

    def tokenize(self, request: Request) -> list[int] | Failure:
        """Return the prompt in tokens, its opening included; a Failure where it leaves no room to write.

        Raises DeepicdError for a model without a chat template.
        """
        prompt = self._counter.render_chat(request.messages, request.opening)
        if prompt is None:
            raise DeepicdError(f"{self._recipe.model} has no chat template.", "Choose an instruction-tuned model.")
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        if len(ids) >= self._recipe.context:
            reason = f"a prompt of {len(ids):,} tokens in a context of {self._recipe.context:,}"
            return Failure(request.key, reason, is_final=True)
        return ids
