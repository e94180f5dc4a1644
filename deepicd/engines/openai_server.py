"""The engine `endpoint`: any server that speaks OpenAI's chat API, `vllm serve MODEL` above all.

Many requests are in flight; answers come back as they end. What may pass is asked again
(deepicd.engines.openai_client); what
will not (no such model, no permission) ends the run with what to do, and nothing that was answered is lost.

The assistant's turn is opened with `<think>` where the server can go on from an unfinished turn: vLLM and SGLang do,
on `continue_final_message`. OpenAI's own API and most others cannot; there the prompt alone asks for the form, and the
text is kept as it came. Which server it is tells the list of its models (`owned_by`). To vLLM and SGLang all of the
sampling is sent, since they would else fill in what the model's own generation_config.json recommends; others get what
OpenAI documents. Start vLLM without --reasoning-parser, which would take the trace out of the text.

A key, where the server wants one, is taken from the environment (DEEPICD_API_KEY) and never written down.
"""

import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from deepicd.engines.base import Completion, Failure, Request
from deepicd.engines.event_loop import EventLoop
from deepicd.engines.openai_client import TRIES, OpenAIClient, PermanentError, TransientError
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError

IN_FLIGHT = 64
CONTINUE = ("vllm", "sglang")  # servers that go on from an unfinished assistant turn
FIRST_TRIES = 3  # of the greeting: a server that is not there is soon known


def engine(recipe: ModelRecipe) -> "OpenAIServerEngine":
    return OpenAIServerEngine(recipe)


class OpenAIServerEngine:
    """Runs an event loop in a thread of its own; `submit` and `finished` hand over to it and take from it."""

    name = "endpoint"

    def __init__(self, recipe: ModelRecipe) -> None:
        self.recipe = recipe
        self.ahead = recipe.in_flight or IN_FLIGHT
        self._server = OpenAIClient(recipe.base_url, self.ahead, recipe.timeout)
        self.url = self._server.url
        self._done: queue.SimpleQueue[Completion | Failure | BaseException] = queue.SimpleQueue()
        self._errors: list[BaseException] = []
        self._under_way = 0
        self._continues = False
        self._loop = EventLoop("endpoint")
        try:
            self.version = self._loop.now(self._greet())
        except BaseException:
            self.close()
            raise

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._under_way += 1
            self._loop.start(self._answer(request)).add_done_callback(self._hand_over)

    def finished(self) -> list[Completion | Failure]:
        if not self._under_way:
            return []
        results = [] if self._errors else [self._done.get()]
        while not self._done.empty():
            results.append(self._done.get())
        self._under_way -= len(results)
        self._errors += [result for result in results if isinstance(result, BaseException)]
        if answered := [result for result in results if not isinstance(result, BaseException)]:
            return answered
        raise self._errors[0]  # only now, so that what was answered beside it is kept

    def close(self) -> None:
        self._loop.cancel()
        self._loop.now(self._server.client.aclose())
        self._loop.close()

    async def _greet(self) -> str:
        """What serves, and its version, as far as it tells. Raises DeepicdError where nobody serves this model."""
        try:
            models = (await self._server.insist("GET", "models", tries=FIRST_TRIES)).get("data")
        except TransientError as error:
            raise DeepicdError(
                f"{self.url}: {error}.",
                f"Start a server there, for instance: vllm serve {self.recipe.model} --port {self._server.port}",
            ) from error
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise DeepicdError(
                f"{self.url} answers, but not as a server of OpenAI's API.", "Point --base-url at its /v1 (vLLM's)."
            )
        serving = [str(model.get("id")) for model in models]
        if self.recipe.model not in serving:
            raise DeepicdError(
                f"The server at {self.url} has no model {self.recipe.model!r}.",
                f"It serves: {', '.join(serving) or 'nothing'}. Name one with --model, or serve that model.",
            )
        model = next(model for model in models if model.get("id") == self.recipe.model)
        if isinstance(context := model.get("max_model_len"), int) and context < self.recipe.context:
            raise DeepicdError(
                f"The server takes {context:,} tokens of prompt and completion, the recipe plans with"
                f" {self.recipe.context:,}.",
                f"Add --context {context} (prompts are then shortened to fit), or serve with --max-model-len.",
            )
        owner = str(model.get("owned_by", ""))
        self._continues = owner in CONTINUE
        return f"{owner} {await self._server.version()}".strip() if self._continues else owner

    def _hand_over(self, future: "Future[Completion | Failure]") -> None:
        if not future.cancelled():
            self._done.put(future.exception() or future.result())

    async def _answer(self, request: Request) -> Completion | Failure:
        clock = time.monotonic()
        try:
            reply = await self._server.insist("POST", "chat/completions", self._body(request))
            return self._read(request, reply, time.monotonic() - clock)
        except PermanentError as error:
            return Failure(request.key, str(error), final=True)
        except TransientError as error:
            return Failure(request.key, f"{error}, {TRIES} times", final=False)

    def _body(self, request: Request) -> dict[str, Any]:
        messages = list(request.messages)
        sampling = dict(self.recipe.sampling)
        top_k = sampling.pop("top_k")
        body: dict[str, Any] = {"model": self.recipe.model, "seed": request.seed, **sampling}
        if self._continues:
            body |= {"top_k": top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
            if request.opening:
                messages.append({"role": "assistant", "content": request.opening})
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.schema is not None:
            named = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body | {"messages": messages}

    def _read(self, request: Request, reply: dict[str, Any], seconds: float) -> Completion:
        """The answer in a reply. Raises MayPass where there is none in it."""
        try:
            choice = reply["choices"][0]
            text, finish = choice["message"]["content"], choice["finish_reason"]
            usage = reply.get("usage") or {}
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise TransientError("the server's answer is not one of OpenAI's chat API") from error
        if text is None and (choice["message"].get("reasoning_content") or choice["message"].get("reasoning")):
            raise DeepicdError(
                "The server takes the reasoning out of its answers.", "Start it without --reasoning-parser."
            )
        if not isinstance(text, str):
            raise TransientError("the server's answer has no text")
        text = text.encode(errors="replace").decode()  # JSON can carry halves of characters, which no file takes
        if self._continues:
            text = request.opening + text
        return Completion(
            key=request.key,
            text=text,
            finish_reason="length" if finish == "length" else "stop",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            cached_tokens=cached,
            seconds=seconds,
        )
