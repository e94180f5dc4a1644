"""How many tokens a text is, by the teacher's own tokenizer where it is at hand, else by a careful estimate.

A tokenizer needs the library transformers and the model's files. For engines that load the model here its tokenizer is
downloaded if need be; for a server's model only what this machine already has is looked at.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deepicd.engines import shipped_model
from deepicd.engines.recipe import ModelRecipe

CHARACTERS_PER_TOKEN = 3
"""Fewer than the four of English prose, since clinical shorthand and German take more tokens. Errs on the long side."""
CHAT = 32  # tokens that a chat template adds, for want of the template


@dataclass(frozen=True)
class TokenCounter:
    """A way to count. `tokenizer` is one of transformers', or None for the estimate."""

    tokenizer: Any = None

    @property
    def counted_by(self) -> str:
        return (
            "the teacher's tokenizer" if self.tokenizer else f"an estimate, {CHARACTERS_PER_TOKEN} characters a token"
        )

    def count(self, text: str) -> int:
        if self.tokenizer is None:
            return -(-len(text) // CHARACTERS_PER_TOKEN)
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def at_most(self, text: str) -> int:
        """A bound that costs nothing: no token is shorter than a byte."""
        return len(text.encode()) if self.tokenizer else self.count(text)

    def chat(self, messages: Sequence[dict[str, str]], opening: str) -> str | None:
        """The prompt as the model reads it, up to where it goes on; None without the teacher's chat template."""
        if self.tokenizer is None or not self.tokenizer.chat_template:
            return None
        text: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return text + opening


@lru_cache(maxsize=1)
def find_counter(recipe: ModelRecipe) -> TokenCounter:
    """The way to count for a recipe's teacher."""
    if not recipe.by_model:
        return TokenCounter()
    try:
        from transformers import AutoTokenizer
    except ImportError:
        return TokenCounter()
    # whatever a stranger's model folder or the Hub may raise: without a tokenizer there is still the estimate
    with contextlib.suppress(Exception):
        return TokenCounter(
            AutoTokenizer.from_pretrained(
                shipped_model.resolve_path(recipe.model),
                revision=recipe.revision or None,
                local_files_only=recipe.engine == "endpoint",
            )
        )
    return TokenCounter()
