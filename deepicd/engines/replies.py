"""What a server of OpenAI's chat API answers, and what follows from it.

    check_status(429, body, headers, url)       # raises; returns for 200 only
    reply = parse_body(body)                    # {"choices": [{"message": {"content": "…"}, …}], "usage": …}
    answer = read_answer(reply)                 # Answer(content='…', reasoning='…', finish_reason='stop', …)

There are four outcomes:

    an answer                an Answer
    this request is refused  RefusedError; whether others are refused as well is for the engine to find out
    ask again                TransientError
    nobody can be served     DeepicdError, which names what to change

They follow from status, `finish_reason` and `error.code`, `type` and `param`, never from the words of a message: words
differ from server to server and may repeat the note. For the same reason no message is shown; of codes and parameters
only short names are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from deepicd.answer_form import THINK, THINK_END
from deepicd.engines.base import FinishReason, parse_count
from deepicd.errors import DeepicdError
from deepicd.http import TRANSIENT_STATUSES, TransientError, parse_retry_after
from deepicd.parsing import ParseError, parse_json

Json = dict[str, Any]

MAX_BODY = 16 * 2**20  # bytes, decompressed: a hundred times the longest answer

# What servers call the end of an answer; any other reason (abort, error, tool_calls) is no answer
FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",  # TGI
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
}
FILTERED = "content_filter"
# Codes that concern one prompt, whatever is answered to others
REFUSALS = {
    FILTERED: "the server's content filter refused the prompt",
    "content_policy_violation": "the server's content filter refused the prompt",
    "context_length_exceeded": "the prompt is longer than the server's context",
    "string_above_max_length": "the prompt is longer than the server accepts",
}
QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NAME = re.compile(r"[A-Za-z][\w.-]{0,47}", re.ASCII)


class MalformedError(TransientError):
    """A reply that is none of OpenAI's API. Waiting does not help, so the run asks again at once, twice."""


class BusyError(TransientError):
    """The server serves others first (429). It says nothing about the request, which waits for its turn."""


class RefusedError(Exception):
    """The server refuses a request. `is_certain` if that says nothing about other requests."""

    def __init__(self, reason: str, *, param: str | None = None, is_certain: bool = False) -> None:
        super().__init__(reason)
        self.param, self.is_certain = param, is_certain


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote, as the server gave it."""

    content: str
    reasoning: str
    """What the server took out of the text ('reasoning' or 'reasoning_content'); '' for nothing."""
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None

    def join(self, opening: str) -> str:
        """Return the whole assistant turn, with one `<think>` at its start. `opening`: where the server continued.

        >>> Answer("<diagnosis>I10</diagnosis>", "High pressure.", "stop", None, None, None).join("<think>\\n")
        '<think>\\nHigh pressure.\\n</think>\\n<diagnosis>I10</diagnosis>'
        """
        if self.reasoning and THINK not in self.content:
            content = self.content.lstrip()
            is_cut = not content and self.finish_reason == "length"
            end = "" if is_cut else f"\n{THINK_END}\n{content}"
            return f"{THINK}\n{self.reasoning.strip()}{end}"
        if self.content.lstrip().startswith(THINK):
            return self.content.lstrip()  # also of a model that opens once more what the prompt has opened
        if not opening and THINK_END in self.content and THINK not in self.content:
            return f"{THINK}\n{self.content}"  # the server's template has opened it
        return opening + self.content


def parse_body(body: bytes) -> Json:
    """Return the JSON object of a body. Raises TransientError for anything else.

    Numbers of more than 18 digits, NaN and infinity become None: no field that is read may have them.
    """
    try:
        reply = parse_json(body, is_lenient=True)
    except ParseError as error:
        raise MalformedError("the server's answer is not JSON") from error
    if not isinstance(reply, dict):
        raise MalformedError("the server's answer is not one of OpenAI's API")
    return reply


def check_status(status: int, body: bytes, headers: Mapping[str, str], url: str) -> None:
    """Return for status 200; raise what any other one means."""
    if status == 200:
        return
    error = _read_error(body)
    if status == 402 or (status == 429 and {error.code, error.type} & QUOTA):
        raise DeepicdError(
            f"The server at {url} answered {status}: the account's quota or balance is used up.",
            "Raise its limit or wait for the next period, then run the same command again: it continues.",
        )
    if status in TRANSIENT_STATUSES:
        kind = BusyError if status == 429 else TransientError
        raise kind(f"the server answered {status}", parse_retry_after(headers))
    if error.code in REFUSALS:
        raise RefusedError(REFUSALS[error.code], is_certain=True)
    if status in (401, 403):
        raise DeepicdError(
            f"The server at {url} answered {status}: it needs an API key, or another one.",
            "Put the key into the environment: export DEEPICD_API_KEY=…",
        )
    if status == 404:
        raise DeepicdError(
            f"The server at {url} answered 404: it has no such model, or no chat API at this address.",
            "Check --base-url (vLLM's ends in /v1) and --model.",
        )
    if status in (400, 413, 422):
        if error.param == "input_tokens":  # vLLM's
            raise RefusedError(REFUSALS["context_length_exceeded"], is_certain=True)
        raise RefusedError(f"the server answered {status} to this prompt", param=error.param)
    raise DeepicdError(f"The server at {url} answered {status} to a request.", "Check --base-url; its log has more.")


def read_answer(reply: Json, url: str) -> Answer:
    """Return the answer in a reply with status 200. Raises for a reply that has none."""
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if choice is None and isinstance(error := reply.get("error"), dict):  # as OpenRouter reports a failure
        code = parse_count(error.get("code"))
        status = code if code and 400 <= code < 600 else 502
        check_status(status, json.dumps({"error": error}).encode(), {}, url)
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise MalformedError("the server's answer is not one of OpenAI's chat API")
    finish_reason = choice.get("finish_reason")
    if finish_reason == FILTERED:
        raise RefusedError(REFUSALS[FILTERED], is_certain=True)
    known = FINISH_REASONS.get(finish_reason) if isinstance(finish_reason, str) else None
    if known is None:
        reason = f"an answer ended with {_shorten(finish_reason) or 'no reason that is known'}"
        raise TransientError(reason) if finish_reason in ("abort", "error") else MalformedError(reason)
    content, thoughts = _read_content(message.get("content"))
    reasoning = thoughts or _clean(message.get("reasoning")) or _clean(message.get("reasoning_content"))
    if content is None and not reasoning:
        if message.get("refusal"):
            raise RefusedError("the model refused to answer", is_certain=True)
        if known == "stop":
            raise MalformedError("the server's answer has no text")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    return Answer(
        content=content or "",
        reasoning=reasoning,
        finish_reason=known,
        prompt_tokens=parse_count(usage.get("prompt_tokens")),
        completion_tokens=parse_count(usage.get("completion_tokens")),
        cached_tokens=parse_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


@dataclass(frozen=True, slots=True)
class _ErrorFields:
    """The fields of an error that decide; None for one that is absent or no short name."""

    code: str | None = None
    type: str | None = None
    param: str | None = None


def _read_error(body: bytes) -> _ErrorFields:
    try:
        reply = parse_body(body)
    except TransientError:
        return _ErrorFields()
    error = reply.get("error")
    fields = error if isinstance(error, dict) else reply  # vLLM's older servers have no `error`
    return _ErrorFields(*(_shorten(fields.get(name)) for name in ("code", "type", "param")))


def _shorten(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _read_content(value: object) -> tuple[str | None, str]:
    """Return text and reasoning of a message's content, which may come in parts (Mistral's, Anthropic's)."""
    if not isinstance(value, list):
        return (_clean(value) if isinstance(value, str) else None), ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        if not isinstance(part, dict):
            continue
        for name in ("text", "thinking", "reasoning"):
            inner = part.get(name)
            text = _read_content(inner)[0] if isinstance(inner, list) else _clean(inner)
            if text:
                (texts if name == "text" else thoughts).append(text)
    return ("".join(texts) if texts else None), "".join(thoughts)


def _clean(value: object) -> str:
    """Return a text without lone surrogates, which JSON can carry and no file takes; '' for what is no text."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def list_models(reply: Json, url: str) -> list[Json]:
    """Return the models in a server's list. Raises DeepicdError where it is none."""
    models = reply.get("data")
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise DeepicdError(
            f"{url} answers, but not as a server of OpenAI's API.", "Point --base-url at its /v1 (vLLM's)."
        )
    return cast(list[Json], models)


def shorten_name(value: object) -> str:
    """Return a name that a server gave, fit for a message and a record: printable, at most 80 characters."""
    return "".join(character for character in str(value)[:80] if character.isprintable())


def find_setting(param: str | None, settings: Sequence[str]) -> str | None:
    """Return the setting of a request that an error's `param` names; None where it names none."""
    root = re.split(r"[.\[]", param)[0] if param else None
    return root if root in settings else None
