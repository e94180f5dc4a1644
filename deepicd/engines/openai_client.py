"""A server of OpenAI's API, asked until it answers or it is clear that it will not.

What may pass (429, 5xx, a timeout, a broken connection, an answer that is no JSON) is asked again with growing pauses,
or after what the server's Retry-After says.
"""

import os
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from deepicd import __version__
from deepicd.errors import DeepicdError

TRIES = 6  # of one request
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds; doubled from one try to the next
CONNECT = 10.0  # seconds to wait for a connection
TOO_LONG = ("context", "too long", "maximum", "max_tokens")  # in what servers say to a prompt that does not fit


class TransientError(Exception):
    """The server did not answer this time; what it did instead is the message."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class PermanentError(Exception):
    """This request cannot be answered; others may."""


class OpenAIClient:
    """Where it is, and a client for it. Used inside one event loop."""

    def __init__(self, base_url: str, connections: int, timeout: float) -> None:
        self.url, self.timeout = _address(base_url), timeout
        key = os.environ.get("DEEPICD_API_KEY")
        self.client = httpx.AsyncClient(
            base_url=self.url,
            headers={"User-Agent": f"deepicd/{__version__}"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx.Timeout(timeout, connect=CONNECT, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # a proxy of the environment would be another place for notes to go
        )

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 8000

    async def version(self) -> str:
        """As vLLM tells it, beside /v1; '' where a server does not."""
        try:
            answer = await self.client.get(self.url.removesuffix("/v1") + "/version")
            return str(answer.json()["version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return ""

    async def insist(
        self, method: str, path: str, body: dict[str, Any] | None = None, tries: int = TRIES
    ) -> dict[str, Any]:
        """The JSON that the server answers, asked for again as long as that may help."""
        found: dict[str, Any] = {}
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransientError), stop=stop_after_attempt(tries), wait=_pause, reraise=True
        ):
            with attempt:
                found = await self._once(method, path, body)
        return found

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = await self.client.request(method, path, json=body)
        except httpx.ConnectError as error:
            raise TransientError("no server answers") from error
        except httpx.TimeoutException as error:
            raise TransientError(f"no answer within {self.timeout:g} seconds") from error
        except httpx.HTTPError as error:
            raise TransientError(f"the connection broke ({type(error).__name__})") from error
        self._judge(answer)
        try:
            found = answer.json()
        except ValueError as error:
            raise TransientError("the server's answer is no JSON") from error
        if not isinstance(found, dict):
            raise TransientError("the server's answer is not one of OpenAI's API")
        return found

    def _judge(self, answer: httpx.Response) -> None:
        """Raise what an HTTP status calls for. The server's words are not repeated: they may repeat the note."""
        status = answer.status_code
        if status == 200:
            return
        if status in (408, 409, 425, 429) or status >= 500:
            raise TransientError(f"the server answered {status}", _seconds(answer.headers.get("Retry-After")))
        if status in (401, 403):
            raise DeepicdError(
                f"The server at {self.url} answered {status}: it wants a key, or another one.",
                "Put the key into the environment: export DEEPICD_API_KEY=…",
            )
        if status == 404:
            raise DeepicdError(
                f"The server at {self.url} answered 404: it has no such model or no chat API there.",
                "Check --base-url (vLLM's ends in /v1) and --model.",
            )
        if status in (400, 413, 422) and any(sign in answer.text.lower() for sign in TOO_LONG):
            raise PermanentError("the prompt is longer than the server's context")
        raise DeepicdError(
            f"The server at {self.url} answered {status} to a request.",
            "See its own log for the reason; it may not know a setting of this recipe.",
        )


def _pause(state: RetryCallState) -> float:
    """Seconds until the next try: what the server asked for, else ever longer."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TransientError) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_PAUSE)
    return wait_random_exponential(FIRST_PAUSE, LONGEST_PAUSE, min=FIRST_PAUSE)(state)


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header; its other form, a date, is rare enough to be treated as absent."""
    return float(retry_after) if retry_after and retry_after.isdigit() else None


def _address(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeepicdError(f"{base_url!r} is no address of a server.", "Write it like http://127.0.0.1:8000/v1")
    return base_url.rstrip("/")
