"""Engines: requests in, answers out. One small protocol, so that a run does not know what writes its traces.

`rehearsal` needs no model. An engine is imported when it is chosen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from deepicd.errors import DeepicdError
from distill.prompt import Material
from distill.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Request:
    """One trace to write. `key` is the digest of the messages; engines with a model see only the messages."""

    key: str
    messages: list[dict[str, str]]
    material: Material


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the whole assistant turn, the `<think>` it was opened with included."""

    key: str
    text: str
    finish_reason: Literal["stop", "length"]


class Engine(Protocol):
    def answers(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """An answer for each request, in any order."""


def _rehearsal(recipe: Recipe) -> Engine:
    from distill.rehearsal import Rehearsal

    return Rehearsal(recipe.seed)


ENGINES: dict[str, Callable[[Recipe], Engine]] = {"rehearsal": _rehearsal}


def engine(recipe: Recipe) -> Engine:
    """The engine that a recipe asks for, ready to write. Raises DeepicdError."""
    if recipe.engine not in ENGINES:
        raise DeepicdError(f"There is no engine {recipe.engine!r}.", f"Engines are: {', '.join(ENGINES)}.")
    return ENGINES[recipe.engine](recipe)
