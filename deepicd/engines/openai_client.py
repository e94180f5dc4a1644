"""A client of one server of OpenAI's chat API: its requests are bounded in bytes and in seconds.

    client = OpenAIClient("http://127.0.0.1:8000/v1", timeout=600.0)
    answer = await client.ask({"model": …, "messages": […]})               # a deepicd.engines.replies.Answer
    answer = await client.ask_patiently({"model": …, …}, attempts=2)       # retried by the policy of deepicd.http

deepicd.engines.replies decides what a reply means. aiohttp rather than httpx: with 64 requests in flight it takes a
twentieth of the CPU time per request, and httpx's pool is quadratic in its connections (benchmarks.distill_client).
"""

import asyncio
import json
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepicd import disclosure
from deepicd.engines import replies
from deepicd.engines.replies import Answer, Json, MalformedError, RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy, TransientError, retry_async

if TYPE_CHECKING:
    import aiohttp

POLICY = RetryPolicy(attempts=6, first_wait=0.5, longest_wait=60.0)
CONNECT_ATTEMPTS = 3  # for the list of models, which comes first: a server that is not there is soon known
CONNECT_TIMEOUT = 10.0  # seconds to wait for a connection


class LateError(TransientError):
    """No answer in time. Asked once more, not as often as a failure that costs no time."""


class OpenAIClient:
    """A client of one server, used inside one event loop. As many connections are open as requests are under way."""

    def __init__(self, base_url: str, timeout: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DeepicdError(
                f"{base_url!r} is not the address of a server.", "Write it like http://127.0.0.1:8000/v1"
            )
        self.url, self.host, self.port = base_url.rstrip("/"), parts.hostname, parts.port or 8000
        self._timeout = timeout
        self._headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", "Content-Type": "application/json"}
        if api_key := os.environ.get("DEEPICD_API_KEY", "").strip():
            if not (api_key.isascii() and api_key.isprintable()):
                raise DeepicdError(
                    "DEEPICD_API_KEY has characters that an HTTP header may not have.",
                    "Set it to the server's key alone: export DEEPICD_API_KEY=…",
                )
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

    async def list_models(self) -> list[Json]:
        """Return what the server lists. Raises DeepicdError where it is no server of OpenAI's API."""
        try:
            reply = await self.send("GET", f"{self.url}/models", None)
        except RefusedError as error:
            raise DeepicdError(f"{self.url}: {error}.", "Check --base-url (vLLM's ends in /v1).") from error
        return replies.list_models(reply, self.url)

    async def read_version(self) -> str:
        """Return the version that vLLM gives beside /v1; '' where a server does not."""
        try:
            reply = await self._send("GET", self.url.removesuffix("/v1") + "/version")
        except (TransientError, RefusedError, DeepicdError):
            return ""
        version = reply.get("version")
        return replies.shorten_name(version) if isinstance(version, str) else ""

    async def send(self, method: str, url: str, body: Json | None) -> Json:
        """Return the JSON object that the server answers to another request than a chat. Raises as `ask` does."""
        policy = replace(POLICY, attempts=CONNECT_ATTEMPTS)
        return await retry_async(lambda: self._send(method, url, body), policy, doing=self._doing)

    async def ask(self, body: Json) -> Answer:
        """Return the answer to a chat, asking once.

        Raises TransientError where asking again may help, RefusedError for a request that the server refuses and
        DeepicdError for what concerns all requests.
        """
        return replies.read_answer(await self._send("POST", f"{self.url}/chat/completions", body), self.url)

    async def ask_patiently(self, body: Json, attempts: int) -> Answer:
        """Return the answer to a chat, asking again as long as that may help. Raises as `ask` does."""
        policy = replace(POLICY, attempts=attempts)
        return await retry_async(lambda: self.ask(body), policy, doing=self._doing, is_transient=_may_be_asked_again)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _doing(self) -> str:
        return f"Asking {self.host}"

    async def _send(self, method: str, url: str, body: Json | None = None) -> Json:
        """Send a request; its answer is bounded in bytes, and in seconds from the first to the last."""
        import aiohttp

        data = None if body is None else json.dumps(body).encode()
        session = self._session = self._session or _open_session()
        address, headers, name = self._use_judged_address(url)
        try:
            async with (
                asyncio.timeout(self._timeout),
                session.request(
                    method, address, data=data, headers=headers, allow_redirects=False, server_hostname=name
                ) as response,
            ):
                content = await _read_body(response)
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            what = (
                "it is not an address"
                if isinstance(error, aiohttp.InvalidURL)
                else "its TLS certificate cannot be verified"
            )
            raise DeepicdError(f"{self.url}: {what}.", "Check --base-url, http or https above all.") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TransientError("no server answers") from error
        except TimeoutError as error:
            raise LateError(f"no answer within {self._timeout:g} seconds") from error
        except aiohttp.ClientResponseError as error:
            raise MalformedError("the server's answer is not HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(f"the connection broke ({type(error).__name__})") from error
        replies.check_status(response.status, content, response.headers, self.url)
        return replies.parse_body(content)

    def _use_judged_address(self, url: str) -> "tuple[str, dict[str, str], str | None]":
        """Return URL, headers and the name in the certificate.

        A name that was found private is not resolved again: it could be another address the second time.
        """
        address = disclosure.find_judged(self.host)
        if address is None:
            return url, self._headers, None
        parts = urlsplit(url)
        host = f"[{address}]" if ":" in address else address
        numeric = parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()
        return numeric, self._headers | {"Host": parts.netloc.rpartition("@")[2]}, self.host


def _open_session() -> "aiohttp.ClientSession":
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # a proxy of the environment would be another place that notes go to
    )


async def _read_body(response: "aiohttp.ClientResponse") -> bytes:
    """Return the body, decompressed here: a client unpacks what arrives whole, however much it becomes."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate", ""):
        raise MalformedError("the server's answer is compressed in a way that was not asked for")
    unpacker = zlib.decompressobj(47) if encoding in ("gzip", "deflate") else None  # 47: finds out which of the two
    content = bytearray()
    try:
        async for chunk in response.content.iter_any():
            room = replies.MAX_BODY + 1 - len(content)
            content += unpacker.decompress(chunk, room) if unpacker else chunk
            if len(content) > replies.MAX_BODY:
                raise MalformedError(f"the server's answer is over {replies.MAX_BODY // 2**20} MiB")
    except zlib.error as error:
        raise MalformedError("the server's answer cannot be decompressed") from error
    return bytes(content)


def _may_be_asked_again(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, LateError | MalformedError)
