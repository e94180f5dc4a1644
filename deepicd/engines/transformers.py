"""transformers' generate in this process: for a machine where vLLM does not run, and for small models.

Prompts go in batches of like length, on a GPU where there is one; answers come when the slowest of the batch is done.
The seed of a batch is taken from its requests' seeds, so another batch can give other tokens. Several times slower than
vLLM; no prefix cache; answers cannot be held to a JSON schema.
"""

import time
from collections.abc import Sequence
from typing import Any

from deepicd.engines.base import Completion, Failure, FinishReason, Request
from deepicd.engines.model import check_gpus, find_model
from deepicd.engines.prompt_tokens import PromptTokenizer
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError

BATCH = {"cpu": 16, "cuda": 32, "mps": 8}  # prompts at once, unless the recipe says how many (in_flight)
AHEAD = 8  # batches to choose from, so that prompts of like length meet


def engine(recipe: ModelRecipe) -> "TransformersEngine":
    return TransformersEngine(recipe)


class TransformersEngine:
    """An Engine. Raises DeepicdError where the model cannot be loaded."""

    name = "transformers"

    def __init__(self, recipe: ModelRecipe) -> None:
        import torch
        import transformers

        self.version: str = transformers.__version__
        self._recipe = recipe
        self._reader = PromptTokenizer(recipe)
        self._tokenizer = self._reader.tokenizer
        model = find_model(recipe)
        check_gpus(recipe)
        self._device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        self._batch = recipe.in_flight or BATCH[self._device]
        self.ahead = self._batch * AHEAD
        self._waiting: list[tuple[Request, list[int], float]] = []
        self._refused: list[Completion | Failure] = []
        try:
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                model.path, revision=model.revision, dtype=recipe.dtype
            ).to(self._device)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise DeepicdError(f"{recipe.model} does not fit into memory.", SMALLER) from error
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise DeepicdError(f"transformers could not load {recipe.model}: {reason}", SMALLER) from error
        self._model.eval()

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            if request.schema is not None:
                raise DeepicdError(
                    "The engine 'transformers' cannot hold answers to a form.", "Judge with --engine vllm or endpoint."
                )
            ids = self._reader.read(request)
            if isinstance(ids, Failure):
                self._refused.append(ids)
            else:
                self._waiting.append((request, ids, time.perf_counter()))

    def finished(self) -> list[Completion | Failure]:
        if self._refused or not self._waiting:
            refused, self._refused = self._refused, []
            return refused
        self._waiting.sort(key=lambda waiting: len(waiting[1]))
        batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        return self._written(batch)

    def close(self) -> None:
        self._waiting.clear()
        del self._model

    def _written(self, batch: list[tuple[Request, list[int], float]]) -> list[Completion | Failure]:
        import torch

        longest = max(len(ids) for _, ids, _ in batch)
        padded = torch.tensor([[self._pad] * (longest - len(ids)) + ids for _, ids, _ in batch], device=self._device)
        seen = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for _, ids, _ in batch], device=self._device)
        room = min(self._recipe.max_tokens, self._recipe.context - longest)
        torch.manual_seed(sum(request.seed for request, _, _ in batch) % 2**63)
        try:
            with torch.inference_mode():
                out = self._model.generate(padded, attention_mask=seen, max_new_tokens=room, **self._sampling())
        except torch.OutOfMemoryError as error:
            raise DeepicdError(
                f"The GPU ran out of memory with {len(batch)} prompts of up to {longest:,} tokens at once.",
                f"Put in_flight={max(1, len(batch) // 2)} in the recipe, or a smaller context.",
            ) from error
        return [
            self._answer(request, ids, written, began)
            for (request, ids, began), written in zip(batch, out[:, longest:].tolist(), strict=True)
        ]

    def _answer(self, request: Request, ids: list[int], written: list[int], began: float) -> Completion:
        ends = [place for place, token in enumerate(written) if token in self._ends]
        completion = written[: ends[0]] if ends else written
        reason: FinishReason = "stop" if ends else "length"
        return Completion(
            request.key,
            request.opening + self._tokenizer.decode(completion, skip_special_tokens=True),
            reason,
            prompt_tokens=len(ids),
            completion_tokens=len(completion) + len(ends[:1]),
            seconds=time.perf_counter() - began,
        )

    def _sampling(self) -> dict[str, Any]:
        recipe = self._recipe
        given: dict[str, Any] = {"pad_token_id": self._pad, "repetition_penalty": 1.0, "use_cache": True}
        if recipe.temperature == 0:
            return given | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return given | {
            "do_sample": True,
            "temperature": recipe.temperature,
            "top_p": recipe.top_p,
            "top_k": recipe.top_k,
        }

    @property
    def _ends(self) -> set[int]:
        """Tokens that end an answer: the model's own list, as generate goes by it."""
        ends = self._model.generation_config.eos_token_id
        return {ends} if isinstance(ends, int) else set(ends or [self._tokenizer.eos_token_id])

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(next(iter(self._ends)) if pad is None else pad)


SMALLER = "Take a smaller teacher or `dtype: bfloat16`, or ask a server: --engine endpoint --base-url URL"
