"""A request as the model reads it, for engines that run the model themselves."""

from typing import Any

from deepicd.engines import token_counts
from deepicd.engines.base import Failure, Request
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError


class PromptTokenizer:
    """Knows the teacher's tokenizer and chat template, and how much the recipe's context holds."""

    def __init__(self, recipe: ModelRecipe) -> None:
        self._recipe, self._tokens = recipe, token_counts.find_counter(recipe)

    @property
    def tokenizer(self) -> Any:
        """transformers' own."""
        return self._tokens.tokenizer

    def read(self, request: Request) -> list[int] | Failure:
        """The prompt in tokens, its opening included; a failure where it leaves no room to write.

        Raises DeepicdError for a model without a chat template.
        """
        prompt = self._tokens.chat(request.messages, request.opening)
        if prompt is None:
            raise DeepicdError(f"{self._recipe.model} has no chat template.", "Take an instruction-tuned model.")
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        if len(ids) >= self._recipe.context:
            reason = f"a prompt of {len(ids):,} tokens in a context of {self._recipe.context:,}"
            return Failure(request.key, reason, final=True)
        return ids
