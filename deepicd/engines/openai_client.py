"""A client of one server of OpenAI's chat API: requests with retries, bounded in bytes and seconds.

    client = OpenAIClient("http://127.0.0.1:8000/v1", connections=64, timeout=600.0)
    answer = await client.ask({"model": …, "messages": […]})      # a deepicd.engines.replies.Answer

Transient failures are retried by the policy of deepicd.http; deepicd.engines.replies decides what a reply means.
"""

import asyncio
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepicd import addresses
from deepicd.engines import replies
from deepicd.engines.replies import Answer, Json, MalformedError, RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy, TransientError, describe_failure, is_transient, retry_async

if TYPE_CHECKING:
    import httpx

POLICY = RetryPolicy(attempts=6, first_wait=0.5, longest_wait=60.0)
CONNECT_ATTEMPTS = 3  # for the list of models, which comes first: a server that is not there is soon known
CONNECT_TIMEOUT = 10.0  # seconds to wait for a connection


async def _use_judged_address(request: "httpx.Request") -> None:
    """Connect to the address by which a name was found private: resolved again, it could be another one."""
    host = request.url.host
    if address := addresses.find_judged(host):
        request.url = request.url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": host}  # certificates are for the name


async def _read_body(response: "httpx.Response") -> bytes:
    """Return the body, decompressed here: httpx unpacks what arrives whole, however much it becomes."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate", ""):
        raise MalformedError("the server's answer is compressed in a way that was not asked for")
    unpacker = zlib.decompressobj(47) if encoding in ("gzip", "deflate") else None  # 47: finds out which of the two
    content = bytearray()
    try:
        async for chunk in response.aiter_raw():
            room = replies.MAX_BODY + 1 - len(content)
            content += unpacker.decompress(chunk, room) if unpacker else chunk
            if len(content) > replies.MAX_BODY:
                raise MalformedError(f"the server's answer is over {replies.MAX_BODY // 2**20} MiB")
    except zlib.error as error:
        raise MalformedError("the server's answer cannot be decompressed") from error
    return bytes(content)


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
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}
            | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # a proxy of the environment would be another place that notes go to
            event_hooks={"request": [_use_judged_address]},
        )

    async def list_models(self) -> list[Json]:
        """Return what the server lists. Raises DeepicdError where it is no server of OpenAI's API."""
        try:
            return replies.list_models(await self.send("GET", "models", attempts=CONNECT_ATTEMPTS), self.url)
        except RefusedError as error:
            raise DeepicdError(f"{self.url}: {error}.", "Check --base-url (vLLM's ends in /v1).") from error

    async def read_version(self) -> str:
        """Return the version that vLLM gives beside /v1; '' where a server does not."""
        try:
            reply = await self._send_once("GET", self.url.removesuffix("/v1") + "/version", None)
        except (TransientError, RefusedError, DeepicdError):
            return ""
        version = reply.get("version")
        return replies.shorten_name(version) if isinstance(version, str) else ""

    async def send(self, method: str, path: str, body: Json | None = None, attempts: int | None = None) -> Json:
        """Return the JSON object that the server answers, asking again as long as that may help.

        Raises TransientError when the attempts are used up, RefusedError for a request that the server refuses and
        DeepicdError for what concerns all requests.
        """
        policy = self._policy if attempts is None else replace(self._policy, attempts=attempts)
        return await retry_async(lambda: self._send_once(method, path, body), policy, doing=f"Asking {self.host}")

    async def ask(self, body: Json, attempts: int | None = None) -> Answer:
        """Return the answer to a chat. Raises as `send` does."""
        policy = self._policy if attempts is None else replace(self._policy, attempts=attempts)

        async def ask_once() -> Answer:
            return replies.read_answer(await self._send_once("POST", "chat/completions", body), self.url)

        return await retry_async(ask_once, policy, doing=f"Asking {self.host}", is_transient=_may_be_asked_again)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send_once(self, method: str, path: str, body: Json | None) -> Json:
        """Send a request once; its answer is bounded in bytes, and in seconds from the first to the last."""
        import httpx

        try:
            async with asyncio.timeout(self._policy.timeout), self._client.stream(method, path, json=body) as response:
                content = await _read_body(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise LateError(f"no answer within {self._policy.timeout:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if not is_transient(error):
                raise DeepicdError(f"{self.url}: {describe_failure(error)}.", "Check --base-url.") from error
            raise TransientError(describe_failure(error)) from error
        replies.check_status(response.status_code, content, response.headers, self.url)
        return replies.parse_body(content)


class LateError(TransientError):
    """No answer in time. Asked once more, not as often as a failure that costs no time."""


def _may_be_asked_again(error: BaseException) -> bool:
    return is_transient(error) and not isinstance(error, LateError | MalformedError)
