"""Ask a server until it answers, and tell a row that it cannot answer from an outage, in which it answers nobody.

    server = PatientClient(client, outage=600.0)
    answer = await server.ask(body)     # or TransientError: this one is not answered, others are

A request that fails is sent again, six times in all; one that hangs is sent twice and costs two timeouts.
If others have been answered meanwhile, the request is at fault. If nobody has, one request without a note is sent again
and again in place of all, until it is answered or the outage exceeds its budget. A server that is only busy (429) is
asked again when it says, as long as it answers others.

Where a server answers nobody because it refuses a setting, `explain_refusal` finds which one, by leaving out one after
the other.
"""

import asyncio
import logging
import time
from dataclasses import replace

from deepicd.engines import openai_client, replies
from deepicd.engines.openai_client import LateError, OpenAIClient
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import Answer, BusyError, Json, MalformedError, RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import TransientError, log_failure
from deepicd.log import format_duration

PROBE = "Write the word yes."  # what is asked to learn whether anything is answered; no note is in it

logger = logging.getLogger(__name__)


class PatientClient:
    """Asks a server on behalf of many rows, in one event loop."""

    def __init__(self, client: OpenAIClient, outage: float) -> None:
        self.client, self._outage = client, outage
        self.has_answered = False
        """Whether anything has been answered."""
        self._alive = time.monotonic()  # when a reply last showed that the server works
        self._probing = asyncio.Lock()
        self._attempts = openai_client.POLICY.attempts
        self._policy = replace(openai_client.POLICY, attempts=1_000_000)  # of waits; the outage's budget ends them

    async def ask(self, body: Json) -> Answer:
        """Return the answer to a chat.

        Raises RefusedError for a request that is refused, TransientError for one that the server fails at while it
        answers others, and DeepicdError for what concerns all requests, an outage over its budget included.
        """
        first_failure, failures, waits = 0.0, 0, 0
        while True:
            try:
                return await self._ask_once(body)
            except MalformedError:
                raise
            except TransientError as error:
                first_failure = first_failure or time.monotonic()
                waits += 1
                if isinstance(error, BusyError):
                    self._check_budget(max(self._alive, first_failure), error)
                else:
                    failures += self._attempts // 2 if isinstance(error, LateError) else 1
                if failures >= self._attempts:
                    if not await self._wait_for_end_of_outage(body, first_failure):
                        raise
                    first_failure, failures, waits = 0.0, 0, 0
                elif not isinstance(error, LateError):
                    await self._pause(waits, error)

    async def _ask_once(self, body: Json) -> Answer:
        try:
            answer = await self.client.ask(body)
        except RefusedError:
            self._alive = time.monotonic()
            raise
        self._alive, self.has_answered = time.monotonic(), True
        return answer

    async def _wait_for_end_of_outage(self, body: Json, first_failure: float) -> bool:
        """Return once the server answers anybody: whether there was an outage. Raises DeepicdError if it lasts."""
        if self._alive > first_failure:
            return False
        noticed, probes = time.monotonic(), 0
        async with self._probing:
            while self._alive < noticed:
                try:
                    await self._ask_once(build_probe(body))
                except RefusedError:
                    break
                except TransientError as error:
                    probes += 1
                    self._check_budget(first_failure, error)
                    await self._pause(probes, error)
                else:
                    return probes > 0
        return True

    async def _pause(self, waits: int, error: TransientError) -> None:
        """Wait as long as the server requests, and the longer the more waits came before."""
        requested, longest = error.retry_after or 0.0, self._policy.longest_wait
        if requested > max(self._outage, longest):
            raise DeepicdError(
                f"The server at {self.client.url}: {error}, and it asks to wait"
                f" {format_duration(min(requested, 10**9))}.",
                "Run the same command again then: it continues from what is finished.",
            )
        wait = max(requested, min(longest, self._policy.next_wait(waits) or longest))
        log_failure(f"Asking {self.client.host}", str(error), f"it is asked again in {format_duration(wait)}")
        await asyncio.sleep(wait)

    def _check_budget(self, since: float, error: TransientError) -> None:
        if time.monotonic() - since > self._outage:
            raise DeepicdError(
                f"The server at {self.client.url} has answered nobody for {format_duration(self._outage)}: {error}.",
                "Look at its own log. When it answers, run the same command again: it continues from what is finished."
                " Recipes say how long to wait (outage, in seconds).",
            )


def build_probe(body: Json, *, with_system: bool = True) -> Json:
    """Return a request with all the settings of another one, and nothing of its prompt."""
    turns = [message for message in body["messages"] if with_system or message["role"] != "system"]
    return body | {
        "messages": [
            message if message["role"] == "assistant" else {"role": message["role"], "content": PROBE}
            for message in turns
        ]
    }


# Names that a parameter has on newer servers (OpenAI's since its reasoning models)
OTHER_NAMES = {"max_tokens": "max_completion_tokens"}


async def explain_refusal(client: OpenAIClient, body: Json, refusal: RefusedError) -> DeepicdError:
    """Return the error that names the setting without which the server answers."""
    where = f"The server at {client.url} refuses every request, also one without a note."
    if (setting := await _find_setting(client, body, refusal)) is not None:
        value = "" if isinstance(body[setting], dict) else f" ({body[setting]})"
        return DeepicdError(f"{where} It does not accept {setting!r}{value}.", _advise(setting))
    if await _is_answered(client, build_probe(body, with_system=False)):
        return DeepicdError(
            f"{where} Its model's chat template accepts no system message.", "Choose a model whose template has one."
        )
    return DeepicdError(where, "Look for the reason in its own log, and change the recipe's setting that it names.")


async def _find_setting(client: OpenAIClient, body: Json, refusal: RefusedError) -> str | None:
    settings = [name for name in body if name not in ("model", "messages")]
    if (named := replies.find_setting(refusal.param, settings)) is not None:
        return named
    for name in settings:
        if await _is_answered(client, build_probe({key: value for key, value in body.items() if key != name})):
            return name
    return None


def _advise(setting: str) -> str:
    ways = [f"leave it out: --set 'drop_parameters=[{setting}]'"]
    if other := OTHER_NAMES.get(setting):
        ways.insert(0, f"give its other name: --set 'rename_parameters={{{setting}: {other}}}'")
    if setting in ModelRecipe.model_fields:
        ways.insert(0, f"change it in the recipe: --set {setting}=…")
    return f"Ask another server, or {'; or '.join(ways)}."


async def _is_answered(client: OpenAIClient, body: Json) -> bool:
    try:
        await client.ask(body)
    except (RefusedError, TransientError):
        return False
    return True
