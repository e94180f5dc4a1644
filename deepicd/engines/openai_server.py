"""Any server that speaks OpenAI's chat API, `vllm serve MODEL` above all.

Many requests are in flight, and completions come back as they end. Transient failures are retried (deepicd.http);
others (no such model, no permission) end the run with what to do, and no completion that has arrived is lost.

The assistant's turn is opened with `<think>` where the server can continue an unfinished turn: vLLM and SGLang can
(`continue_final_message`). OpenAI's own API and most others cannot; there the prompt alone asks for the form, and the
text is kept as it came. Which server it is stands in its list of models (`owned_by`). vLLM and SGLang are sent all of
the sampling, since they would otherwise apply what the model's own generation_config.json recommends; others are sent
what OpenAI documents. Start vLLM without --reasoning-parser, which would remove the trace from the text.

An API key, where the server needs one, comes from the environment (DEEPICD_API_KEY) and is never written down.
"""

import os
import queue
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepicd.engines.base import Completion, Failure, Message, Request, Result
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.http import (
    TRANSIENT_STATUSES,
    USER_AGENT,
    RetryPolicy,
    TransientError,
    describe_failure,
    is_transient,
    parse_retry_after,
    retry_async,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    import httpx

Json = dict[str, Any]

REQUIRES = ("httpx", "tenacity", "anyio")
ASKS_SERVER = True

POLICY = RetryPolicy(attempts=6, first_wait=0.5, longest_wait=60.0)
CONNECT_ATTEMPTS = 3  # for the list of models, which comes first: a server that is not there is soon known
CONNECT_TIMEOUT = 10.0  # seconds to wait for a connection
IN_FLIGHT = 64
CONTINUES = ("vllm", "sglang")  # servers that continue an unfinished assistant turn
TOO_LONG = ("context", "too long", "maximum", "max_tokens")  # in what servers say to a prompt that does not fit


class PermanentError(Exception):
    """This request cannot be answered; others may be."""


class OpenAIClient:
    """A client of one server, used inside one event loop."""

    def __init__(self, base_url: str, connections: int, timeout: float) -> None:
        import httpx

        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DeepicdError(
                f"{base_url!r} is not the address of a server.", "Write it like http://127.0.0.1:8000/v1"
            )
        self.url, self.host, self.port = base_url.rstrip("/"), parts.hostname, parts.port or 8000
        self._policy = replace(POLICY, timeout=timeout)
        api_key = os.environ.get("DEEPICD_API_KEY")
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # a proxy of the environment would be another place that notes go to
        )

    async def list_models(self) -> list[Json]:
        """Return what the server lists. Raises DeepicdError where it is no server of OpenAI's API."""
        models = (await self.send("GET", "models", attempts=CONNECT_ATTEMPTS)).get("data")
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise DeepicdError(
                f"{self.url} answers, but not as a server of OpenAI's API.", "Point --base-url at its /v1 (vLLM's)."
            )
        return models

    async def read_version(self) -> str:
        """Return the version that vLLM gives beside /v1; '' where a server does not."""
        import httpx

        try:
            response = await self._client.get(self.url.removesuffix("/v1") + "/version")
            return str(response.json()["version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return ""

    async def send(self, method: str, path: str, body: Json | None = None, attempts: int | None = None) -> Json:
        """Return the JSON object that the server answers, asking again as long as that may help.

        Raises TransientError when the attempts are used up, PermanentError for a request that cannot be answered and
        DeepicdError for what concerns all requests.
        """
        policy = self._policy if attempts is None else replace(self._policy, attempts=attempts)
        return await retry_async(lambda: self._send_once(method, path, body), policy, doing=f"Asking {self.host}")

    async def close(self) -> None:
        await self._client.aclose()

    async def _send_once(self, method: str, path: str, body: Json | None) -> Json:
        import httpx

        try:
            response = await self._client.request(method, path, json=body)
        except httpx.TimeoutException as error:
            raise TransientError(f"no answer within {self._policy.timeout:g} seconds") from error
        except httpx.HTTPError as error:
            if not is_transient(error):
                raise DeepicdError(f"{self.url}: {describe_failure(error)}.", "Check --base-url.") from error
            raise TransientError(describe_failure(error)) from error
        self._check_status(response)
        try:
            reply = response.json()
        except ValueError as error:
            raise TransientError("the server's answer is not JSON") from error
        if not isinstance(reply, dict):
            raise TransientError("the server's answer is not one of OpenAI's API")
        return reply

    def _check_status(self, response: "httpx.Response") -> None:
        """Raise the error of an HTTP status. The server's own words are not repeated: they may repeat the note."""
        status = response.status_code
        if status == 200:
            return
        if status in TRANSIENT_STATUSES:
            raise TransientError(f"the server answered {status}", parse_retry_after(response.headers))
        if status in (401, 403):
            raise DeepicdError(
                f"The server at {self.url} answered {status}: it needs an API key, or another one.",
                "Put the key into the environment: export DEEPICD_API_KEY=…",
            )
        if status == 404:
            raise DeepicdError(
                f"The server at {self.url} answered 404: it has no such model, or no chat API at this address.",
                "Check --base-url (vLLM's ends in /v1) and --model.",
            )
        if status in (400, 413, 422) and any(sign in response.text.lower() for sign in TOO_LONG):
            raise PermanentError("the prompt is longer than the server's context")
        raise DeepicdError(
            f"The server at {self.url} answered {status} to a request.",
            "Its own log has the reason; it may not support a setting of this recipe.",
        )


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
            names = ", ".join(str(model.get("id")) for model in models)
            raise DeepicdError(
                f"The server at {url} has no model {self.recipe.model!r}.",
                f"It serves: {names or 'nothing'}. Name one with --model, or serve that model.",
            )
        if isinstance(context := model.get("max_model_len"), int) and context < self.recipe.context:
            raise DeepicdError(
                f"The server's context is {context:,} tokens of prompt and completion; the recipe's is"
                f" {self.recipe.context:,}.",
                f"Add --context {context} (prompts are then shortened to fit), or serve with a longer --max-model-len.",
            )
        owner = str(model.get("owned_by", ""))
        self._continues = owner in CONTINUES
        return f"{owner} {await self._client.read_version()}".strip() if self._continues else owner

    async def _complete(self, request: Request) -> Result:
        started = time.monotonic()
        try:
            reply = await self._client.send("POST", "chat/completions", self._build_body(request))
            return self._read(request, reply, time.monotonic() - started)
        except PermanentError as error:
            return Failure(request.key, str(error), is_final=True)
        except TransientError as error:
            return Failure(request.key, str(error), is_final=False)

    def _build_body(self, request: Request) -> Json:
        messages: list[Message] = list(request.messages)
        sampling = dict(self.recipe.sampling)
        top_k = sampling.pop("top_k")
        body: Json = {"model": self.recipe.model, "seed": request.seed, **sampling}
        if self._continues:
            body |= {"top_k": top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
            if request.opening:
                messages.append({"role": "assistant", "content": request.opening})
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.schema is not None:
            body["response_format"] = build_response_format(request.schema)
        return body | {"messages": messages}

    def _read(self, request: Request, reply: Json, seconds: float) -> Completion:
        """Return the completion in a reply. Raises TransientError where it has none."""
        try:
            choice = reply["choices"][0]
            text, finish_reason = choice["message"]["content"], choice["finish_reason"]
            usage = reply.get("usage") or {}
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise TransientError("the server's answer is not one of OpenAI's chat API") from error
        if text is None and (choice["message"].get("reasoning_content") or choice["message"].get("reasoning")):
            raise DeepicdError(
                "The server removes the reasoning from its answers.", "Start it without --reasoning-parser."
            )
        if not isinstance(text, str):
            raise TransientError("the server's answer has no text")
        text = text.encode(errors="replace").decode()  # JSON can carry lone surrogates, which no file takes
        return Completion(
            key=request.key,
            text=request.opening + text if self._continues else text,
            finish_reason="length" if finish_reason == "length" else "stop",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            cached_tokens=cached,
            seconds=seconds,
        )


def build_response_format(schema: Mapping[str, object]) -> Json:
    """Return the field of a request's body that holds its answer to a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
