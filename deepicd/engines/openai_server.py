"""Any server that speaks OpenAI's chat API, `vllm serve MODEL` above all.

Many requests are in flight, and completions come back as they end. Transient failures are retried, and a server that
restarts is waited for (deepicd.engines.outage); other failures (no such model, no permission) end the run with what to
do, and no completion that has arrived is lost.

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
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, TypeVar

from deepicd.engines import replies
from deepicd.engines.base import Completion, Failure, Message, Request, Result, parse_count
from deepicd.engines.chat_template import merge_system
from deepicd.engines.openai_client import LateError, OpenAIClient
from deepicd.engines.openai_servers import OpenAIServersEngine
from deepicd.engines.outage import PROBE, PatientClient, build_probe, explain_refusal
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import Json, RefusedError
from deepicd.engines.server_template import OPENING, PromptForm, read_prompt_form
from deepicd.errors import DeepicdError
from deepicd.http import TransientError

Value = TypeVar("Value")

REQUIRES = ("aiohttp", "tenacity")
ASKS_SERVER = True

PROBE_ATTEMPTS = 3
IN_FLIGHT = 64
MAX_LISTED = 20  # models in an error
CONTINUES = ("vllm", "sglang")  # servers that continue an unfinished assistant turn


def open_engine(recipe: ModelRecipe) -> "OpenAIServerEngine | OpenAIServersEngine":
    if len(recipe.base_urls) > 1:
        return OpenAIServersEngine(recipe, OpenAIServerEngine)
    return OpenAIServerEngine(recipe)


class OpenAIServerEngine:
    """An Engine whose requests run in an event loop, in another thread, while `collect` waits for them.

    The loop stands still while completions are checked and written: two busy threads would take turns for each byte.
    """

    name = "openai_server"

    def __init__(self, recipe: ModelRecipe) -> None:
        self.recipe = recipe
        self.capacity = recipe.in_flight or IN_FLIGHT
        self._client = OpenAIClient(recipe.base_url, recipe.timeout)
        self._server = PatientClient(self._client, recipe.outage)
        self._ended: list[asyncio.Task[Result]] = []
        self._errors: list[BaseException] = []
        self._in_flight: set[asyncio.Task[Result]] = set()
        self._submitted, self._counting = 0, threading.Lock()  # requests whose results have not been collected
        self._has_ended = asyncio.Event()
        self._running: asyncio.Task[Any] | None = None
        self._continues = False
        self._form = PromptForm(continues=False)
        self._latest_body: Json = {}
        self._explaining = asyncio.Lock()
        self._loop, self._thread = asyncio.new_event_loop(), ThreadPoolExecutor(1, "openai_server")
        try:
            self.version = self._run(self._connect())
        except BaseException:
            self.close()
            raise

    @property
    def has_requests(self) -> bool:
        return self._submitted > 0

    def submit(self, requests: Sequence[Request]) -> None:
        with self._counting:
            self._submitted += len(requests)
        self._loop.call_soon_threadsafe(self._start, requests)

    def collect(self) -> list[Result]:
        if not self._submitted:
            return []
        if not self._errors:
            self._run(self._has_ended.wait())
        ended, self._ended = self._ended, []
        self._has_ended.clear()
        with self._counting:
            self._submitted -= len(ended)
        self._errors += [error for task in ended if (error := task.exception())]
        if results := [task.result() for task in ended if not task.exception()]:
            return results
        raise self._errors[0]  # only now, so that completions that came beside it are kept

    def is_answering(self) -> bool:
        """Return whether a prompt without a note is answered now."""
        try:
            self._run(self._client.ask_patiently(build_probe(self._latest_body), PROBE_ATTEMPTS))
        except (TransientError, RefusedError):
            return False
        return True

    def ask_probe(self, with_opening: str) -> None:
        """Ask a question without a note under all settings. Raises DeepicdError, which names one that is refused."""
        turns: list[Message] = [{"role": role, "content": PROBE} for role in ("system", "user")]
        body = self._build_body(Request("", turns, self.recipe.derive_seed(0), with_opening))
        self._run(self._find_out_whether_any_is_answered(body))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.submit(self._loop.run_until_complete, self._disconnect()).result()
        self._thread.shutdown()
        self._loop.close()

    def _run(self, work: Coroutine[object, object, Value]) -> Value:
        """Return the result of a coroutine; requests in flight run beside it."""

        async def run() -> Value:
            self._running = asyncio.current_task()
            return await work

        return self._thread.submit(self._loop.run_until_complete, run()).result()

    def _start(self, requests: Sequence[Request]) -> None:
        for request in requests:
            task = self._loop.create_task(self._complete(request))
            self._in_flight.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[Result]") -> None:
        self._in_flight.discard(task)
        if not task.cancelled():
            self._ended.append(task)
            self._has_ended.set()

    def _cancel(self) -> None:
        for task in self._in_flight:
            task.cancel()
        if self._running is not None:
            self._running.cancel()  # Ctrl-C interrupts the wait for it, not itself

    async def _disconnect(self) -> None:
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        await self._client.close()

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
            self._form = await read_prompt_form(self._client.send, root, self.recipe.model, self.recipe.template_date)
        return f"{owner} {await self._client.read_version()}".strip() if self._continues else owner

    async def _complete(self, request: Request) -> Result:
        started = time.monotonic()
        body = self._build_body(request)
        self._latest_body = body
        try:
            answer = await self._server.ask(body)
        except RefusedError as error:
            if not error.is_certain and not self._server.has_answered:
                await self._find_out_whether_any_is_answered(body)
            return Failure(request.key, str(error), is_final=True)
        except TransientError as error:
            return Failure(request.key, str(error), is_final=isinstance(error, LateError))
        opening = request.opening if self._form.continues else OPENING["content"] if self._form.opens else ""
        return Completion(
            key=request.key,
            text=answer.content if request.schema else answer.join(opening),
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            cached_tokens=answer.cached_tokens,
            seconds=time.monotonic() - started,
            template_date=date.today().isoformat() if self._form.writes_date else None,
        )

    async def _find_out_whether_any_is_answered(self, body: Json) -> None:
        """Return if a prompt without a note is answered; raise DeepicdError that names what is refused if none is."""
        async with self._explaining:
            if self._server.has_answered:
                return
            try:
                await self._server.ask(build_probe(body))
            except RefusedError as error:
                raise await explain_refusal(self._client, body, error) from error
            except TransientError as error:
                raise DeepicdError(
                    f"The server at {self._client.url}: {error}.", "Look at its own log, then rerun the command."
                ) from error

    def _build_body(self, request: Request) -> Json:
        messages: list[Message] = merge_system(request.messages) if self._form.merges_system else [*request.messages]
        sampling = dict(self.recipe.sampling)
        top_k = sampling.pop("top_k")
        body: Json = {"model": self.recipe.model, "seed": request.seed, **sampling}
        if self._continues:
            body |= {"top_k": top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
            arguments = {**self._form.pinned, **(self._form.arguments if request.schema is None else {})}
            if arguments:
                body["chat_template_kwargs"] = arguments
            if request.opening and self._form.continues:
                messages.append({"role": "assistant", "content": request.opening})
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.schema is not None:
            body["response_format"] = build_response_format(request.schema)
        return self.recipe.shape_body(body | {"messages": messages})


def build_response_format(schema: Mapping[str, object]) -> Json:
    """Return the field of a request's body that holds its answer to a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
