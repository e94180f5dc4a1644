"""The part of a recipe that engines read: which model answers, how it draws tokens, where and how fast it runs.

A stage's own recipe is a frozen dataclass that inherits this one and adds what decides its prompts and checks. All are
YAML files read in one way: an unknown field is named with its nearest neighbour, types and bounds are checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import yaml

from deepicd import paper, storage
from deepicd.engines import registry
from deepicd.errors import DeepicdError

R = TypeVar("R")
Bounds = Mapping[str, tuple[float, float]]

# Fields that decide no text: a run may move from vllm to a server, or to more GPUs, and keep what is written.
RUNNING = ("engine", "base_url", "in_flight", "tensor_parallel", "data_parallel", "gpu_memory", "timeout")

# field → smallest and largest value
BOUNDS: Bounds = {
    **dict.fromkeys(("context", "max_tokens", "tensor_parallel", "data_parallel"), (1, 10_000_000)),
    **dict.fromkeys(("top_k", "in_flight"), (0, 1_000_000)),
    **dict.fromkeys(("top_p", "gpu_memory"), (0, 1)),
    "temperature": (0, 10),
    "timeout": (0.1, 86_400),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """Sampling is that of the authors' script (deepicd.paper)."""

    engine: str  # one of deepicd.engines.registry.list_engines()
    model: str  # name or path; for engines without a model, what writes

    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest, which another day is another one."""
    dtype: str = "auto"  # 'auto' (as the weights are stored), 'bfloat16', 'float16', 'float32'
    context: int = 32_768
    """Tokens of prompt and completion together that the model is run with; Qwen2.5's own."""

    # Sampling
    temperature: float = paper.TEMPERATURE
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    seed: int = paper.SEED
    max_tokens: int = paper.MAX_NEW_TOKENS  # per completion, the prompt not counted

    # Where and how fast. These decide no text, so they are left out of digests and of the ledger's keys.
    base_url: str = ""  # of `openai_server`: 'http://127.0.0.1:8000/v1'
    in_flight: int = 0  # requests under way at once; 0 for the engine's own choice
    tensor_parallel: int = 1  # GPUs that share one copy of the model
    data_parallel: int = 1  # copies of the model
    gpu_memory: float = 0.9  # share of each GPU's memory that vLLM may take
    timeout: float = 600.0  # seconds that `openai_server` waits for one answer

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", registry.rename_engine(self.engine))

    @property
    def by_model(self) -> bool:
        """Whether a language model writes: then any engine may go on where another stopped."""
        return registry.uses_model(self.engine)

    @property
    def options(self) -> dict[str, Any]:
        """What a run's plan has of it: all but where and how fast it runs."""
        return {key: value for key, value in asdict(self).items() if key not in RUNNING}

    @property
    def sampling(self) -> dict[str, Any]:
        """How tokens are drawn, the seed apart."""
        return {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}

    def seed_of(self, attempt: int) -> int:
        """Of an attempt, counted from 0: the recipe's own, then others that no recipe is likely to start with."""
        return self.seed if attempt == 0 else int(storage.digest_json([self.seed, attempt])[:7], 16)


def read_recipe(path: Path, checked_in: Path) -> tuple[dict[str, Any], str]:
    """The plain values of a YAML file, or of one in `checked_in` by its bare name; and its source. DeepicdError."""
    if not path.is_file() and (checked_in / f"{path}.yaml").is_file():
        path = checked_in / f"{path}.yaml"
    if not path.is_file():
        ours = ", ".join(sorted(file.stem for file in checked_in.glob("*.yaml")))
        raise DeepicdError(f"There is no recipe {path}.", f"Give a YAML file, or one of ours: {ours}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeepicdError(
            f"{path} is not YAML: {error}.", f"Start from a recipe in {checked_in.parent.name}/{checked_in.name}."
        ) from error
    if not isinstance(values, dict):
        raise DeepicdError(f"{path} holds no recipe.", "A recipe is a list of `field: value` lines.")
    return {"name": path.stem, **values}, str(path)


def parse_recipe(kind: type[R], values: Mapping[str, Any], source: str, bounds: Bounds) -> R:
    """A recipe of a kind from plain values, every name, type and bound checked. Raises DeepicdError."""
    known = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"Fields are {', '.join(known)}."
            raise DeepicdError(f"{source}: a recipe has no field {name!r}.", meant)
        wanted: Any = known[name]
        if choices := get_args(wanted):
            if value not in choices:
                raise DeepicdError(f"{source}: {name} is {value!r}.", f"It takes one of: {', '.join(choices)}.")
        elif not isinstance(value, (int, float) if wanted is float else wanted) or (
            isinstance(value, bool) and wanted is not bool
        ):
            raise DeepicdError(f"{source}: {name} is {value!r}.", f"It takes a value of type {wanted.__name__}.")
    for name, (least, most) in bounds.items():
        if name in values and not least <= values[name] <= most:
            raise DeepicdError(f"{source}: {name} is {values[name]!r}.", f"It takes a number from {least} to {most}.")
    return kind(**values)


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """The values of `--set FIELD=VALUE`, read as YAML would read them in a recipe. Raises UsageError.

    >>> parse_assignments(["temperature=0.7", "model=m"])
    {'temperature': 0.7, 'model': 'm'}
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes FIELD=VALUE, not {text!r}.")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise click.UsageError(f"--set {name}: {value!r} is no YAML value.") from error
    return found
