"""transformers' generate in this process: for a machine where vLLM does not run, and for small models.

Prompts go in batches of similar length, on a GPU where there is one; completions come when the slowest of the batch has
ended. The seed of a batch derives from its requests' seeds, so another batch can draw other tokens. Several times
slower than vLLM; no prefix cache; no JSON schemas.
"""

import time
from collections.abc import Sequence
from typing import Any

from deepicd.engines.base import Completion, Failure, FinishReason, Request, Result
from deepicd.engines.model import check_gpus, find_model, switch_off_cudnn_attention
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.tokens import PromptTokenizer
from deepicd.errors import DeepicdError

REQUIRES = ("torch", "transformers")
ASKS_SERVER = False

BATCH = {"cpu": 16, "cuda": 32, "mps": 8}  # prompts at once, unless the recipe says how many (in_flight)
QUEUED_BATCHES = 8  # to choose from, so that prompts of similar length meet
SMALLER = "Choose a smaller model or `dtype: bfloat16`, or ask a server: --engine openai_server --base-url URL"


def open_engine(recipe: ModelRecipe) -> "TransformersEngine":
    return TransformersEngine(recipe)


class TransformersEngine:
    """An Engine. Raises DeepicdError where the model cannot be loaded."""

    name = "transformers"

    def __init__(self, recipe: ModelRecipe) -> None:
        import torch
        import transformers

        switch_off_cudnn_attention()
        self.version: str = transformers.__version__
        self._recipe = recipe
        self._prompts = PromptTokenizer(recipe)
        self._tokenizer = self._prompts.tokenizer
        model = find_model(recipe)
        check_gpus(recipe)
        self._device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        self._batch_size = recipe.in_flight or BATCH[self._device]
        self.capacity = self._batch_size * QUEUED_BATCHES
        self._waiting: list[tuple[Request, list[int], float]] = []
        self._refused: list[Result] = []
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
                    "The engine 'transformers' cannot constrain a completion to a JSON schema.",
                    "Judge with --engine vllm or openai_server.",
                )
            ids = self._prompts.tokenize(request)
            if isinstance(ids, Failure):
                self._refused.append(ids)
            else:
                self._waiting.append((request, ids, time.perf_counter()))

    def collect(self) -> list[Result]:
        if self._refused or not self._waiting:
            refused, self._refused = self._refused, []
            return refused
        self._waiting.sort(key=lambda waiting: len(waiting[1]))
        batch, self._waiting = self._waiting[: self._batch_size], self._waiting[self._batch_size :]
        return self._complete(batch)

    def close(self) -> None:
        self._waiting.clear()
        del self._model

    def _complete(self, batch: list[tuple[Request, list[int], float]]) -> list[Result]:
        import torch

        longest = max(len(ids) for _, ids, _ in batch)
        padded = torch.tensor([[self._pad] * (longest - len(ids)) + ids for _, ids, _ in batch], device=self._device)
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for _, ids, _ in batch], device=self._device)
        room = min(self._recipe.max_tokens, self._recipe.context - longest)
        torch.manual_seed(sum(request.seed for request, _, _ in batch) % 2**63)
        try:
            with torch.inference_mode():
                out = self._model.generate(padded, attention_mask=mask, max_new_tokens=room, **self._build_sampling())
        except torch.OutOfMemoryError as error:
            raise DeepicdError(
                f"The GPU ran out of memory with {len(batch)} prompts of up to {longest:,} tokens at once.",
                f"Put in_flight={max(1, len(batch) // 2)} in the recipe, or a smaller context.",
            ) from error
        return [
            self._read(request, ids, tokens, started)
            for (request, ids, started), tokens in zip(batch, out[:, longest:].tolist(), strict=True)
        ]

    def _read(self, request: Request, ids: list[int], tokens: list[int], started: float) -> Completion:
        ends = [index for index, token in enumerate(tokens) if token in self._end_tokens]
        completion = tokens[: ends[0]] if ends else tokens
        reason: FinishReason = "stop" if ends else "length"
        return Completion(
            request.key,
            self._prompts.join(request, self._tokenizer.decode(completion, skip_special_tokens=True)),
            reason,
            prompt_tokens=len(ids),
            completion_tokens=len(completion) + len(ends[:1]),
            seconds=time.perf_counter() - started,
        )

    def _build_sampling(self) -> dict[str, Any]:
        recipe = self._recipe
        fixed: dict[str, Any] = {"pad_token_id": self._pad, "repetition_penalty": 1.0, "use_cache": True}
        fixed["eos_token_id"] = sorted(self._end_tokens)
        if recipe.temperature == 0:
            return fixed | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return fixed | {
            "do_sample": True,
            "temperature": recipe.temperature,
            "top_p": recipe.top_p,
            "top_k": recipe.top_k,
        }

    @property
    def _end_tokens(self) -> set[int]:
        """Tokens that end a completion: the model's own list, and what the chat template ends an answer with."""
        ends = self._model.generation_config.eos_token_id
        own = {ends} if isinstance(ends, int) else set(ends or [self._tokenizer.eos_token_id])
        return {end for end in own if end is not None} | set(self._prompts.end_tokens)

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(next(iter(self._end_tokens)) if pad is None else pad)
