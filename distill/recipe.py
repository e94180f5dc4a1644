"""A recipe: everything that decides what a teacher writes. Its digest names the folder the traces go to.

    recipe = load(Path("distill/recipes/rehearsal.yaml")).but(seed=7)

Recipes are YAML files; a flag may override a field, and the result is saved with the traces (run.json, options).
"""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from deepicd import store
from deepicd.errors import DeepicdError

Layout = Literal["prefix", "paper"]
GuidelineText = Literal["full", "relevant", "none"]

CHECKED_IN = Path(__file__).parent / "recipes"

# Fields that decide no text: a run may move from vllm to an endpoint, or to more GPUs, and keep what is written.
RUNNING = ("engine", "base_url", "in_flight", "tensor_parallel", "data_parallel", "gpu_memory", "timeout")

# field → smallest and largest value
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("context", "max_tokens", "tensor_parallel", "data_parallel", "guideline_tokens"), (1, 10_000_000)),
    **dict.fromkeys(("min_words", "max_words", "top_k", "max_giveaways", "max_verbatim", "in_flight"), (0, 1_000_000)),
    **dict.fromkeys(("top_p", "gpu_memory", "named_from", "max_repeated", "max_other_script"), (0, 1)),
    **dict.fromkeys(("min_numbers", "min_drugs", "min_quotes"), (0, 1)),
    "min_english": (-1, 1),
    "attempts": (1, 100),
    "temperature": (0, 10),
    "timeout": (0.1, 86_400),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of one distillation. Defaults are those of the authors' script (DeepICD-R1) where it has them."""

    name: str
    engine: str  # a key of distill.engines.ENGINES
    teacher: str  # model name or path; for engines without a model, what writes the traces

    # The model, and what it is shown
    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest, which another day is another one."""
    dtype: str = "auto"  # 'auto' (as the weights are stored), 'bfloat16', 'float16', 'float32'
    context: int = 32_768
    """Tokens of prompt and completion together that the teacher is run with; Qwen2.5's own."""
    prompt: str = "oracle-2"
    """Version of the words in distill.prompt; other words need another name."""
    layout: Layout = "prefix"
    """prefix: what many rows share comes first, for the prefix cache; paper: note, code, description, guidelines."""
    guideline_text: GuidelineText = "full"
    """The whole chapter of the code as in the paper, the sections that bear on the code, or nothing."""
    guideline_tokens: int = 1024  # at most, of `relevant`
    too_long: Literal["shorten", "drop"] = "shorten"
    """A prompt over the context: relevant guidelines as far as they fit, or no trace. A note is never cut."""

    # Sampling
    temperature: float = 0.9
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    seed: int = 42
    max_tokens: int = 1024
    """Per completion, the prompt not counted. A longer trace is cut and rejected with finish_reason 'length'."""
    attempts: int = 3
    """Completions of a row at most, each with a seed of its own, until one passes the checks."""

    # Checks
    min_words: int = 31
    max_words: int = 883
    """Shortest and longest trace of MIMIC-Reason (DeepICD-R1, Table 2)."""
    named_from: float = 0.8
    """Code and title may be named from here on, as a share of the trace: the paper wants them at the end only."""
    max_giveaways: int = 0  # phrases such as 'the assigned code'
    max_repeated: float = 0.2  # share of the words in runs of six that stood before
    min_english: float = 0.1  # share of English function words, less German ones
    max_other_script: float = 0.02  # share of letters that are not Latin
    min_numbers: float = 0.5  # of the trace's numbers, the share that the note has; and so on
    min_drugs: float = 0.5
    min_quotes: float = 0.5
    max_verbatim: int = 0  # words copied from the note in one run; 0 for any number, which is then only reported

    # Where and how fast. These decide no text, so they are left out of the digest and of the ledger's keys.
    base_url: str = ""  # of `endpoint`: 'http://127.0.0.1:8000/v1'
    in_flight: int = 0  # requests under way at once; 0 for the engine's own choice
    tensor_parallel: int = 1  # GPUs that share one copy of the model
    data_parallel: int = 1  # copies of the model
    gpu_memory: float = 0.9  # share of each GPU's memory that vLLM may take
    timeout: float = 600.0  # seconds that `endpoint` waits for one answer

    @property
    def by_model(self) -> bool:
        """Whether a language model writes: then any engine may go on where another stopped."""
        return self.engine != "rehearsal"

    @property
    def digest(self) -> str:
        """Twelve hex digits over every field that decides what is written or kept."""
        deciding = self.options | {"by_model": self.by_model}
        del deciding["name"]
        return store.digest_of(deciding)[:12]

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
        return self.seed if attempt == 0 else int(store.digest_of([self.seed, attempt])[:7], 16)

    def but(self, **changes: Any) -> "Recipe":
        """The recipe with some fields changed; None leaves a field as it is."""
        given = {name: value for name, value in changes.items() if value is not None}
        return parse({**asdict(self), **given}, "the options given") if given else self


def load(path: Path) -> Recipe:
    """The recipe in a YAML file, or one of ours by its bare name. Raises DeepicdError."""
    if not path.is_file() and (CHECKED_IN / f"{path}.yaml").is_file():
        path = CHECKED_IN / f"{path}.yaml"
    if not path.is_file():
        ours = ", ".join(sorted(file.stem for file in CHECKED_IN.glob("*.yaml")))
        raise DeepicdError(f"There is no recipe {path}.", f"Give a YAML file, or one of ours: {ours}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeepicdError(f"{path} is not YAML: {error}.", "Start from a recipe in distill/recipes.") from error
    if not isinstance(values, dict):
        raise DeepicdError(f"{path} holds no recipe.", "A recipe is a list of `field: value` lines.")
    return parse({"name": path.stem, **values}, str(path))


def parse(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from plain values, every name and type checked. Raises DeepicdError."""
    known = {field.name: field.type for field in fields(Recipe)}
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"Fields are {', '.join(known)}."
            raise DeepicdError(f"{source}: a recipe has no field {name!r}.", meant)
        wanted: Any = known[name]
        if choices := get_args(wanted):
            if value not in choices:
                raise DeepicdError(f"{source}: {name} is {value!r}.", f"It takes one of: {', '.join(choices)}.")
        elif not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
            raise DeepicdError(f"{source}: {name} is {value!r}.", f"It takes a value of type {wanted.__name__}.")
    missing = [name for name in ("engine", "teacher") if name not in values]
    if missing:
        raise DeepicdError(f"{source}: {' and '.join(missing)} missing.", "Every recipe names its engine and teacher.")
    for name, (least, most) in BOUNDS.items():
        if name in values and not least <= values[name] <= most:
            raise DeepicdError(f"{source}: {name} is {values[name]!r}.", f"It takes a number from {least} to {most}.")
    recipe = replace(Recipe("", "", ""), **values)
    if recipe.min_words > recipe.max_words:
        raise DeepicdError(
            f"{source}: min_words {recipe.min_words} is above max_words {recipe.max_words}.", "Swap or widen them."
        )
    return recipe
