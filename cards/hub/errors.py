"""What can go wrong between here and the Hub: what may pass by itself, and what a user is told of the rest."""

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from deepicd.errors import DeepicdError

_REFUSED = re.compile(r"client error \((4\d\d)")
TRANSIENT = {408, 409, 429, 500, 502, 503, 504, 520, 522, 524}
"""Answers that another try may turn; 409 is another operation under way."""
MAX_WAIT = 300  # seconds that a server may ask us to wait


@dataclass(frozen=True)
class Patience:
    """How long to wait for an answer, and how often to ask again."""

    timeout: float = 120.0  # seconds without a byte
    tries: int = 5
    wait: float = 1.0  # seconds before the second try, twice as many before each further one


def unwrap_error(error: BaseException) -> BaseException:
    """The error behind a RuntimeError of the client's: uploads come wrapped in one."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    return error


def get_status(error: BaseException) -> int:
    """The HTTP status behind an error; 0 for none."""
    response = getattr(unwrap_error(error), "response", None)
    return int(response.status_code) if isinstance(response, httpx.Response) else 0


def is_transient(error: BaseException) -> bool:
    """Whether another try may succeed: no answer, a broken one, a server in trouble, a limit soon to be lifted."""
    cause = unwrap_error(error)
    if isinstance(cause, httpx.UnsupportedProtocol):
        return False
    if isinstance(cause, (httpx.TransportError, json.JSONDecodeError, KeyError)):
        return True
    if isinstance(cause, (ConnectionError, TimeoutError)):  # of hf_xet, which tells a refusal likewise
        return not _REFUSED.search(str(cause))
    return get_status(error) in TRANSIENT and retry_after(error) <= MAX_WAIT


def retry_after(error: BaseException) -> float:
    """Seconds that the server asks us to wait; 0 where it does not say."""
    response = getattr(unwrap_error(error), "response", None)
    value = response.headers.get("Retry-After", "") if isinstance(response, httpx.Response) else ""
    return float(value) if value.isdigit() else 0.0


def explain_error(error: BaseException, doing: str, repo: str, endpoint: str) -> DeepicdError:
    """The error as a user can act on it."""
    cause, status, host = unwrap_error(error), get_status(error), urlsplit(endpoint).netloc or endpoint
    said = _get_server_message(cause)
    what = f"{doing[0].upper()}{doing[1:]} did not succeed"
    if isinstance(cause, DeepicdError):
        return cause
    if isinstance(cause, httpx.ConnectError):
        return DeepicdError(
            f"{what}: {host} cannot be reached.",
            "Is this machine online, and the address right (--endpoint, HF_ENDPOINT)? Then run the same command again.",
        )
    if isinstance(cause, httpx.TimeoutException):
        return DeepicdError(
            f"{what}: {host} did not answer in time.", "Run the same command again, perhaps with a longer --timeout."
        )
    if isinstance(cause, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return DeepicdError(
            f"{what}: {endpoint!r} is no address.", "Give one such as --endpoint https://huggingface.co"
        )
    if isinstance(cause, httpx.TransportError):
        return DeepicdError(f"{what}: the connection to {host} broke.", "Run the same command again.")
    if isinstance(cause, (json.JSONDecodeError, KeyError)):
        return DeepicdError(
            f"{what}: what {host} answers is not a Hub's answer.",
            "Check --endpoint, and whether a proxy or a sign-in page stands between.",
        )
    if isinstance(cause, ConnectionError) and "xet" in str(cause) and (refused := _REFUSED.search(str(cause))):
        return DeepicdError(
            f"{what}: {host} refuses to take files by Xet ({refused[1]}).",
            "Send them by LFS: export HF_HUB_DISABLE_XET=1, and run the same command again.",
        )
    if isinstance(cause, (ConnectionError, TimeoutError)):
        return DeepicdError(f"{what}: the connection broke.", "Run the same command again.")
    match status:
        case 401:
            advice = "Make a new token with the right to write (huggingface.co/settings/tokens): export HF_TOKEN=…"
            return DeepicdError(f"{what}: {host} does not accept the token.", advice)
        case 402 | 413 | 507:
            return DeepicdError(f"{what}: a quota of {host} is used up ({status}{said}).", "Free or buy space there.")
        case 403 if any(word in said.lower() for word in ("storage", "quota", "limit")):
            return DeepicdError(f"{what}: a quota of {host} is used up ({said[2:]}).", "Free or buy space there.")
        case 403:
            return DeepicdError(
                f"{what}: the token may not do that to {repo}{said}.",
                "Use a token that may write to it, or a repository of your own or of an organisation you may write to.",
            )
        case 404:
            return DeepicdError(
                f"{what}: {host} knows no {repo} that this token may see.", "Check the name, and whose token it is."
            )
        case 409:
            return DeepicdError(f"{what}: another operation is under way{said}.", "Run the same command again later.")
        case 412:
            return DeepicdError(f"{what}: {repo} has changed meanwhile.", "Run the same command again.")
        case 429:
            minutes = retry_after(error) / 60
            when = f"in {minutes:.0f} minutes" if minutes >= 1 else "later"
            return DeepicdError(f"{what}: {host} limits how often it is asked.", f"Run the same command again {when}.")
    if status in TRANSIENT:
        return DeepicdError(f"{what}: {host} is in trouble ({status}{said}).", "Run the same command again later.")
    if status:
        return DeepicdError(f"{what}: {host} refuses ({status}{said}).", "See what it says, and mend that.")
    return DeepicdError(f"{what}: {type(cause).__name__}: {cause}", "See what it says, and mend that.")


def _get_server_message(cause: BaseException) -> str:
    """', and what the server says', without the address and the ids of the request; '' for nothing."""
    response = getattr(cause, "response", None)
    if not isinstance(response, httpx.Response):
        return ""
    said = response.headers.get("X-Error-Message", "").strip().rstrip(".")
    return f": {said[:200]}" if said else ""
