"""Classify errors between this machine and the Hub: which are transient, and what the user can do."""

import json
import re
from urllib.parse import urlsplit

import httpx

from deepicd import http
from deepicd.errors import DeepicdError

RERUN = "Rerun the command."
_XET_REFUSAL = re.compile(r"client error \((4\d\d)")
_QUOTA_WORDS = ("storage", "quota", "limit")


class NoAnswerError(DeepicdError):
    """The Hub could not be asked, or did not answer: nothing is known of the repository."""


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed."""
    cause = http.unwrap_error(error)
    if isinstance(cause, (json.JSONDecodeError, KeyError)):
        return True  # an answer that was cut short
    if isinstance(cause, ConnectionError) and _XET_REFUSAL.search(str(cause)):
        return False  # hf_xet raises it for a refusal as well
    return http.is_transient(cause)


def explain_error(error: BaseException, doing: str, repo: str, endpoint: str) -> DeepicdError:
    """Return a DeepicdError that says what the user can do. `doing` begins its sentence: "Creating sam/set"."""
    cause, host = http.unwrap_error(error), urlsplit(endpoint).netloc or endpoint
    if isinstance(cause, DeepicdError):
        return cause
    response = http.find_response(cause)
    what, advice = (
        _explain_broken_exchange(cause, endpoint, host)
        if response is None
        else _explain_status(response, repo, host, http.find_retry_after(cause))
    )
    is_broken = isinstance(cause, (httpx.TransportError, ConnectionError, TimeoutError))
    kind = NoAnswerError if is_broken and not isinstance(cause, httpx.UnsupportedProtocol) else DeepicdError
    return kind(f"{doing} failed: {what}.", advice)


def _explain_broken_exchange(cause: BaseException, endpoint: str, host: str) -> tuple[str, str]:
    """Return what happened and what to do, for an error without an HTTP status."""
    if isinstance(cause, httpx.ConnectError):
        return (
            f"{host} cannot be reached",
            "Check that this machine is online and that the address is right (--endpoint, HF_ENDPOINT). Then rerun the"
            " command.",
        )
    if isinstance(cause, httpx.TimeoutException):
        return f"{host} did not answer in time", "Rerun the command, if need be with a longer --timeout."
    if isinstance(cause, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return f"{endpoint!r} is not an address", "Give one such as --endpoint https://huggingface.co"
    if isinstance(cause, httpx.TransportError):
        return f"the connection to {host} broke", RERUN
    if isinstance(cause, (json.JSONDecodeError, KeyError)):
        return (
            f"what {host} answered is not an answer of a Hub",
            "Check --endpoint, and whether a proxy or a sign-in page stands in between.",
        )
    if isinstance(cause, ConnectionError) and "xet" in str(cause) and (refusal := _XET_REFUSAL.search(str(cause))):
        return (
            f"{host} refuses files sent by Xet ({refusal[1]})",
            "Send them by LFS: export HF_HUB_DISABLE_XET=1, then rerun the command.",
        )
    if isinstance(cause, (ConnectionError, TimeoutError)):
        return "the connection broke", RERUN
    return f"{type(cause).__name__}: {cause}".rstrip("."), "Fix what the message names, then rerun the command."


def _explain_status(response: httpx.Response, repo: str, host: str, retry_after: float | None) -> tuple[str, str]:
    """Return what happened and what to do, for an HTTP status."""
    status, message = response.status_code, _get_server_message(response)
    detail = f": {message}" if message else ""
    if status in (402, 413, 507) or (status == 403 and any(word in message.lower() for word in _QUOTA_WORDS)):
        return f"a quota of {host} is used up ({status}{detail})", "Free space there or buy more."
    if status == 429:
        minutes = (retry_after or 0.0) / 60
        when = f"in {minutes:.0f} minutes" if minutes >= 1 else "later"
        return f"{host} limits the rate of requests", f"Rerun the command {when}."
    known = {
        401: (
            f"{host} does not accept the token",
            "Create a token with write access (huggingface.co/settings/tokens): export HF_TOKEN=…",
        ),
        403: (
            f"the token does not permit this for {repo}{detail}",
            "Use a token that may write to it, or name a repository of yours or of an organisation you may write to.",
        ),
        404: (f"{host} knows no {repo} that this token may see", "Check the name, and whose token it is."),
        409: (f"another operation is in progress{detail}", "Rerun the command later."),
        412: (f"{repo} has changed in the meantime", RERUN),
    }
    if status in known:
        return known[status]
    if status in http.TRANSIENT_STATUSES:
        return f"{host} is unavailable ({status}{detail})", "Rerun the command later."
    return f"{host} refused ({status}{detail})", "Fix what the message names, then rerun the command."


def _get_server_message(response: httpx.Response) -> str:
    """Return the server's message without the request's address and ids; '' where there is none."""
    message: str = response.headers.get("X-Error-Message", "")
    return message.strip().rstrip(".")[:200]
