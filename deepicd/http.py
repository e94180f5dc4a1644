"""One retry policy for every server that deepicd contacts, and one parser of the delays that servers request.

    policy = RetryPolicy(attempts=6, timeout=60.0)
    reply = retry(lambda: fetch(url), policy, doing=f"Fetching {url}")      # or: await retry_async(…)

A request is repeated after a broken connection, a timeout, a status of a busy or restarting server
(`TRANSIENT_STATUSES`) and a caller's TransientError. Waits double from one attempt to the next, with jitter, and are
never shorter than the server requests; a request for more than `longest_wait` ends the attempts. If many concurrent
requests fail for one reason, one retry every `LOG_EVERY` seconds is logged as a warning, the others for debugging. Code
with a retry loop of its own (Scrapy, a download that resumes) takes its waits from `RetryPolicy.next_wait`.
"""

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from deepicd import __version__
from deepicd.log import format_duration

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

USER_AGENT = f"deepicd/{__version__}"
# 409: the Hub and vLLM answer it while another operation is under way; 52x: a proxy in front of a server that is down
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})

LOG_EVERY = 10.0  # seconds between two warnings of one kind
_warned: dict[tuple[str, str], float] = {}  # (action, reason) → time of the last warning

_SECONDS = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_PARAMETER = re.compile(r";\s*(\w+)\s*=\s*(\d{1,18})\b", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to ask a server, and how long to wait for it."""

    attempts: int = 5
    """Of one request, the first included."""
    timeout: float = 60.0  # seconds without a byte
    first_wait: float = 1.0  # seconds before the second attempt; doubled before each further one
    longest_wait: float = 300.0  # seconds

    def next_wait(self, failures: int, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait after `failures` failures in a row; None to give up.

        `retry_after`: the seconds that the server requested with the last failure (`parse_retry_after`).

        >>> RetryPolicy(attempts=3).next_wait(3), RetryPolicy().next_wait(1, 7.0), RetryPolicy().next_wait(1, 3600.0)
        (None, 7.0, None)
        """
        if failures >= self.attempts or (retry_after or 0.0) > self.longest_wait:
            return None
        doubled = min(self.longest_wait, self.first_wait * 2.0 ** min(failures - 1, 60))
        return max(retry_after or 0.0, doubled * random.uniform(0.75, 1.0))


class TransientError(Exception):
    """A failure worth another attempt; the message says what happened and quotes no content."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None where it does not say.

    Reads Retry-After as seconds or as a date (RFC 9110), and the rate limits of the Hugging Face Hub and others where
    they say that nothing is left (draft-ietf-httpapi-ratelimit-headers, both forms).

    >>> parse_retry_after({"Retry-After": "120"}), parse_retry_after({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    (120.0, 0.0)
    >>> parse_retry_after({"RateLimit": '"api";r=0;t=55'}), parse_retry_after({"RateLimit": '"api";r=500;t=55'})
    (55.0, None)
    """
    values = {name.lower(): value.strip() for name, value in headers.items()}
    if _SECONDS.fullmatch(milliseconds := values.get("retry-after-ms", "")):  # OpenAI's, more exact than the other
        return float(milliseconds) / 1000
    if (wait := _parse_wait(values.get("retry-after", ""))) is not None:
        return wait
    limits = [dict(_PARAMETER.findall(item)) for item in values.get("ratelimit", "").split(",")]
    waits = [float(limit["t"]) for limit in limits if "t" in limit and int(limit.get("r", 0)) == 0]
    reset = values.get("ratelimit-reset", "")
    if _SECONDS.fullmatch(reset) and values.get("ratelimit-remaining", "0") == "0":
        waits.append(float(reset))
    return max(waits, default=None)


def _parse_wait(value: str) -> float | None:
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def find_response(error: BaseException) -> "httpx.Response | None":
    """Return the HTTP response that an error carries, also one that a RuntimeError wraps; None where there is none."""
    import httpx

    response = getattr(unwrap_error(error), "response", None)
    return response if isinstance(response, httpx.Response) else None


def find_retry_after(error: BaseException) -> float | None:
    """Return the seconds that the server behind an error asks to wait; None where it does not say."""
    if isinstance(error, TransientError):
        return error.retry_after
    response = find_response(error)
    return None if response is None else parse_retry_after(response.headers)


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed: no connection, a broken or late answer, a busy server."""
    import httpx

    cause = unwrap_error(error)
    if isinstance(cause, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return False  # the address or the request is wrong
    if isinstance(cause, (TransientError, httpx.TransportError, httpx.DecodingError, ConnectionError, TimeoutError)):
        return True
    response = find_response(cause)
    return response is not None and response.status_code in TRANSIENT_STATUSES


def raise_if_transient(response: "httpx.Response") -> None:
    """Raise TransientError for a status that is worth another attempt. The body is not read."""
    if response.status_code in TRANSIENT_STATUSES:
        reason = f"{response.url.host} answered {response.status_code} {response.reason_phrase}".rstrip()
        raise TransientError(reason, parse_retry_after(response.headers))


def describe_failure(error: BaseException) -> str:
    """Return what went wrong in a few words, without anything that was sent or received."""
    cause = unwrap_error(error)
    if isinstance(cause, TransientError):
        return str(cause)
    import httpx

    if (response := find_response(cause)) is not None:
        return f"the server answered {response.status_code}"
    if isinstance(cause, httpx.ConnectError):
        return "no server answers"
    if isinstance(cause, (httpx.TimeoutException, TimeoutError)):
        return "no answer in time"
    if isinstance(cause, (httpx.TransportError, httpx.DecodingError, ConnectionError)):
        return f"the connection broke ({type(cause).__name__})"
    return type(cause).__name__


def retry(
    request: Callable[[], Result],
    policy: RetryPolicy,
    *,
    doing: str,
    is_transient: Callable[[BaseException], bool] = is_transient,
) -> Result:
    """Call `request` until it succeeds, as often as the policy allows; then raise its last error.

    `doing` opens the line that is logged before each retry ("Fetching the guideline").
    """
    from tenacity import Retrying, retry_if_exception

    rules = _Rules(policy, doing)
    return Retrying(
        retry=retry_if_exception(is_transient), stop=rules.stop, wait=rules.wait, before_sleep=rules.log, reraise=True
    )(request)


async def retry_async(
    request: Callable[[], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    doing: str,
    is_transient: Callable[[BaseException], bool] = is_transient,
) -> Result:
    """Retry in an event loop, as `retry` does."""
    from tenacity import AsyncRetrying, retry_if_exception

    async def attempt() -> Result:  # tenacity awaits coroutine functions only, not lambdas
        return await request()

    rules = _Rules(policy, doing)
    return await AsyncRetrying(
        retry=retry_if_exception(is_transient), stop=rules.stop, wait=rules.wait, before_sleep=rules.log, reraise=True
    )(attempt)


@dataclass(frozen=True, slots=True)
class _Rules:
    """A policy as the callbacks that tenacity takes."""

    policy: RetryPolicy
    doing: str

    def stop(self, state: "RetryCallState") -> bool:
        return self.policy.next_wait(state.attempt_number, find_retry_after(_get_last_error(state))) is None

    def wait(self, state: "RetryCallState") -> float:
        return self.policy.next_wait(state.attempt_number, find_retry_after(_get_last_error(state))) or 0.0

    def log(self, state: "RetryCallState") -> None:
        attempt, wait = state.attempt_number + 1, format_duration(state.upcoming_sleep)
        reason = describe_failure(_get_last_error(state))
        log_failure(self.doing, reason, f"attempt {attempt} of {self.policy.attempts} follows in {wait}")


def log_failure(doing: str, reason: str, what_follows: str) -> None:
    """Log a failure: as a warning if there was none of its kind in the last `LOG_EVERY` seconds, else for debugging."""
    now = time.monotonic()
    is_new = now - _warned.get((doing, reason), -LOG_EVERY) >= LOG_EVERY
    if is_new:
        _warned[doing, reason] = now
    logger.log(logging.WARNING if is_new else logging.DEBUG, "%s: %s; %s.", doing, reason, what_follows)


def _get_last_error(state: "RetryCallState") -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    return error or RuntimeError("no attempt has ended yet")


def unwrap_error(error: BaseException) -> BaseException:
    """Return the error behind a RuntimeError: huggingface_hub wraps those of its uploads."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    return error
