"""The interface of every engine: requests in, completions out as they end, in any order.

    engine = open_engine(recipe)        # deepicd.engines.registry
    engine.submit(requests)             # at most `engine.capacity` in flight
    while results := engine.collect():  # blocks until something ends; empty when nothing is in flight
        ...
    engine.close()

`vllm` runs the model in this process, `openai_server` sends requests to a server of OpenAI's API, `ray` spreads vLLM
replicas over nodes, `transformers` needs no vLLM; other packages may register more. Sampling (temperature, longest
completion) is set by the recipe; a request holds what may differ from one request to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

FinishReason = Literal["stop", "length"]
Message = dict[str, str]
"""A turn of a chat: role and content."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to write."""

    key: str
    """Of the ledger (deepicd.engines.ledger.build_key)."""
    messages: list[Message]
    seed: int
    """Of this attempt's sampling."""
    opening: str = ""
    """How the assistant's turn begins ('<think>\\n'): the model continues from there."""
    schema: Mapping[str, object] | None = None
    """A JSON schema that the completion has to meet; None for free text."""
    rollout: int = 0
    """Which of the row's rollouts this is an attempt at, counted from 0."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote."""

    key: str
    text: str
    """The whole assistant turn, the opening included."""
    finish_reason: FinishReason
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens that came from the prefix cache; None where the engine does not report them."""
    seconds: float | None = None
    """From submission to the end, as far as the engine knows."""
    template_date: str | None = None
    """The day that a server's chat template took for today, where no request can pin it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that the engine could not answer. An error that concerns all requests is a DeepicdError instead."""

    key: str
    reason: str
    """In words, without any of the request's text."""
    is_final: bool
    """Whether another attempt is pointless (the prompt is longer than the context, say)."""


Result = Completion | Failure

MAX_COUNT = 2**40  # tokens of one request; more is a server's error


def parse_count(value: object) -> int | None:
    """Return a token count from an untrusted source; None for anything else.

    >>> parse_count(900), parse_count("many"), parse_count(float("nan")), parse_count(-1), parse_count(True)
    (900, None, None, None, None)
    """
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return cast(int, value) if is_count else None


class Engine(Protocol):
    """`submit` and `collect` are called from one thread. Errors that hold for every request are DeepicdError.

    The run handles Ctrl-C (it waits for what is in flight), so processes that an engine starts must not end on it.

    An engine may also have `is_answering() -> bool`: after many failures in a row the run asks whether any prompt is
    answered, and ends only where none is. Without it the engine counts as broken.
    """

    @property
    def name(self) -> str:
        """Its name in records: 'rehearsal', 'openai_server vllm'."""

    @property
    def version(self) -> str:
        """Its version in records; '' if unknown."""

    @property
    def capacity(self) -> int:
        """How many requests to keep in flight, so that the engine never runs short of work."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Accept requests, without waiting for their completions."""

    def collect(self) -> list[Result]:
        """Return what has ended since the last call, at least one; [] only if nothing is in flight."""

    def close(self) -> None:
        """Abandon what is in flight and free what is held. Called once, also after an error."""
