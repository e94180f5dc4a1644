"""Any server that speaks OpenAI's chat API, `vllm serve MODEL` above all.

Many requests are in flight, and completions come back as they end. Transient failures are retried (deepicd.http);
others (no such model, no permission) end the run with what to do, and no completion that has arrived is lost.

The assistant's turn is opened with `<think>` where the server can continue an unfinished turn: vLLM and SGLang can
(`continue_final_message`), unless their chat template spoils it (deepicd.engines.server_template). OpenAI's own API and
most others cannot; there the prompt alone asks for the form, and the text is kept as it came, with the `<think>` that a
template opened put before it. Which server it is stands in its list of models (`owned_by`). vLLM and SGLang are sent
all of the sampling, since they would otherwise apply what the model's own generation_config.json recommends; others are
sent what OpenAI documents. A server that takes the reasoning out of the text (vLLM's --reasoning-parser, DeepSeek's
API) has it put back. See deepicd.engines.replies.

A request that is refused before anything was answered may mean that all are, so a prompt without a note is tried in its
place: if that is answered, the refusal concerns the row alone; if not, the run stops and the setting is named.

An API key, where the server needs one, comes from the environment (DEEPICD_API_KEY) and is never written down.
"""

import asyncio
import queue
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from deepicd.engines import replies
from deepicd.engines.base import Completion, Failure, Message, Request, Result, parse_count
from deepicd.engines.chat_template import merge_system
from deepicd.engines.openai_client import LateError, OpenAIClient
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import Answer, Json, RefusedError
from deepicd.engines.server_template import OPENING, PromptForm, read_prompt_form
from deepicd.errors import DeepicdError
from deepicd.http import TransientError

if TYPE_CHECKING:
    from concurrent.futures import Future

REQUIRES = ("httpx", "tenacity", "anyio")
ASKS_SERVER = True

OUTAGE_ATTEMPTS = 8  # of the probe, over a minute: a server that restarts is waited for
IN_FLIGHT = 64
MAX_LISTED = 20  # models in an error
CONTINUES = ("vllm", "sglang")  # servers that continue an unfinished assistant turn
PROBE = "Write the word yes."  # what is asked to learn whether anything is answered; no note is in it


def open_engine(recipe: ModelRecipe) -> "OpenAIServerEngine":
    return OpenAIServerEngine(recipe)


class OpenAIServerEngine:
    """An Engine whose requests run in the event loop of a background thread."""

    name = "openai_server"

    def __init__(self, recipe: ModelRecipe) -> None:
        from anyio.from_thread import start_blocking_portal

        self.recipe = recipe
        self.capacity = recipe.in_flight or IN_FLIGHT
        self._client = OpenAIClient(recipe.base_url, self.capacity, recipe.timeout)
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._errors: list[BaseException] = []
        self._in_flight: set[Future[Result]] = set()
        self._waiting = 0  # requests whose results have not been collected
        self._continues = False
        self._form = PromptForm(continues=False)
        self._has_answered = False  # to any request of this session
        self._latest_body: Json = {}
        self._probing = asyncio.Lock()
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal(name="openai_server"))
        try:
            self.version = self._portal.call(self._connect)
        except BaseException:
            self.close()
            raise

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._waiting += 1
            future = self._portal.start_task_soon(self._complete, request)
            self._in_flight.add(future)
            future.add_done_callback(self._put)

    def collect(self) -> list[Result]:
        if not self._waiting:
            return []
        results = [] if self._errors else [self._results.get()]
        while not self._results.empty():
            results.append(self._results.get())
        self._waiting -= len(results)
        self._errors += [result for result in results if isinstance(result, BaseException)]
        if ended := [result for result in results if not isinstance(result, BaseException)]:
            return ended
        raise self._errors[0]  # only now, so that completions that came beside it are kept

    def is_answering(self) -> bool:
        """Return whether a prompt without a note is answered now, waiting for a server that restarts."""
        attempts = OUTAGE_ATTEMPTS
        try:
            self._portal.call(self._client.ask, build_probe(self._latest_body), attempts)
        except (TransientError, RefusedError):
            return False
        return True

    def close(self) -> None:
        for future in list(self._in_flight):
            future.cancel()
        self._portal.call(self._client.close)
        self._stack.close()

    def _put(self, future: "Future[Result]") -> None:
        self._in_flight.discard(future)
        if not future.cancelled():
            self._results.put(future.exception() or future.result())

    async def _connect(self) -> str:
        """Return what serves and its version, as far as it says. Raises DeepicdError where it lacks this model."""
        url = self._client.url
        try:
            models = await self._client.list_models()
        except TransientError as error:
            raise DeepicdError(
                f"{url}: {error}.",
                f"Start a server there, for instance: vllm serve {self.recipe.model} --port {self._client.port}",
            ) from error
        model = next((model for model in models if model.get("id") == self.recipe.model), None)
        if model is None:
            names = ", ".join(replies.shorten_name(model.get("id")) for model in models[:MAX_LISTED])
            raise DeepicdError(
                f"The server at {url} has no model {self.recipe.model!r}.",
                f"It serves: {names or 'nothing'}. Name one with --model, or serve that model.",
            )
        context = parse_count(model.get("max_model_len"))
        if context and context < self.recipe.context:
            raise DeepicdError(
                f"The server's context is {context:,} tokens of prompt and completion; the recipe's is"
                f" {self.recipe.context:,}.",
                f"Add --context {context} (prompts are then shortened to fit), or serve with a longer --max-model-len.",
            )
        owner = replies.shorten_name(model.get("owned_by", ""))
        self._continues = owner in CONTINUES
        if self._continues:
            root = url.removesuffix("/v1")
            self._form = await read_prompt_form(self._client.send, root, self.recipe.model)
        return f"{owner} {await self._client.read_version()}".strip() if self._continues else owner

    async def _complete(self, request: Request) -> Result:
        started = time.monotonic()
        body = self._build_body(request)
        self._latest_body = body
        try:
            answer = await self._ask(body)
        except RefusedError as error:
            if not error.is_certain and not self._has_answered:
                await self._find_out_whether_any_is_answered(body)
            return Failure(request.key, str(error), is_final=True)
        except TransientError as error:
            return Failure(request.key, str(error), is_final=isinstance(error, LateError))
        self._has_answered = True
        opening = request.opening if self._form.continues else OPENING["content"] if self._form.opens else ""
        return Completion(
            key=request.key,
            text=answer.content if request.schema else answer.join(opening),
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            cached_tokens=answer.cached_tokens,
            seconds=time.monotonic() - started,
        )

    async def _ask(self, body: Json) -> Answer:
        """Return the answer; a request that hangs is sent twice, so that it costs two timeouts and no more."""
        try:
            return await self._client.ask(body)
        except LateError:
            return await self._client.ask(body)

    async def _find_out_whether_any_is_answered(self, body: Json) -> None:
        """Return if a prompt without a note is answered; raise DeepicdError that names what is refused if none is."""
        async with self._probing:
            if self._has_answered:
                return
            try:
                await self._client.ask(build_probe(body))
            except RefusedError as error:
                raise await self._explain_refusal(body, error) from error
            except TransientError as error:
                raise DeepicdError(f"The server at {self._client.url}: {error}.", "Is it overloaded?") from error
            self._has_answered = True

    async def _explain_refusal(self, body: Json, refusal: RefusedError) -> DeepicdError:
        """Return the error that names the setting without which the server answers."""
        settings = [name for name in body if name not in ("model", "messages")]
        setting = replies.find_setting(refusal.param, settings)
        if setting is None:
            for name in settings:
                if await self._is_answered(build_probe({key: value for key, value in body.items() if key != name})):
                    setting = name
                    break
        where = f"The server at {self._client.url} refuses every request, also one without a note."
        if setting is not None:
            value = "" if isinstance(body[setting], dict) else f" ({body[setting]})"
            return DeepicdError(
                f"{where} It does not accept {setting!r}{value}.",
                f"Change it in the recipe (--set {setting}=…), or ask a server or a model that accepts it."
                if setting in ModelRecipe.model_fields
                else "Ask a server or a model that accepts it.",
            )
        if await self._is_answered(build_probe(body, with_system=False)):
            return DeepicdError(
                f"{where} Its model's chat template accepts no system message.",
                "Choose a model whose template has one.",
            )
        return DeepicdError(where, "It may not support a setting of this recipe; its own log has the reason.")

    async def _is_answered(self, body: Json) -> bool:
        try:
            await self._client.ask(body, attempts=1)
        except (RefusedError, TransientError):
            return False
        return True

    def _build_body(self, request: Request) -> Json:
        messages: list[Message] = merge_system(request.messages) if self._form.merges_system else [*request.messages]
        sampling = dict(self.recipe.sampling)
        top_k = sampling.pop("top_k")
        body: Json = {"model": self.recipe.model, "seed": request.seed, **sampling}
        if self._continues:
            body |= {"top_k": top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
            if self._form.arguments and request.schema is None:
                body["chat_template_kwargs"] = dict(self._form.arguments)
            if request.opening and self._form.continues:
                messages.append({"role": "assistant", "content": request.opening})
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.schema is not None:
            body["response_format"] = build_response_format(request.schema)
        return body | {"messages": messages}


def build_probe(body: Json, *, with_system: bool = True) -> Json:
    """Return a request with all the settings of another one, and nothing of its prompt."""
    turns = [message for message in body["messages"] if with_system or message["role"] != "system"]
    return body | {
        "messages": [
            message if message["role"] == "assistant" else {"role": message["role"], "content": PROBE}
            for message in turns
        ]
    }


def build_response_format(schema: Mapping[str, object]) -> Json:
    """Return the field of a request's body that holds its answer to a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
