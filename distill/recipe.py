"""A recipe: everything that decides what a teacher writes. Its digest names the folder the traces go to.

    recipe = load(Path("distill/recipes/rehearsal.yaml")).but(seed=7)

Recipes are YAML files; a flag may override a field, and the result is saved with the traces (run.json, options).
"""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from deepicd import store
from deepicd.errors import DeepicdError

CHECKED_IN = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of one distillation. Defaults are those of the authors' script (DeepICD-R1)."""

    name: str
    engine: str  # a key of distill.engines.ENGINES
    teacher: str  # model name or path; for engines without a model, what writes the traces
    prompt: str = "oracle-1"
    """Version of the words in distill.prompt; other words need another name."""
    temperature: float = 0.9
    seed: int = 42
    max_tokens: int = 1024
    """Per completion, the prompt not counted. A longer trace is cut and rejected with finish_reason 'length'."""
    min_words: int = 31
    max_words: int = 883
    """Shortest and longest trace of MIMIC-Reason (DeepICD-R1, Table 2)."""

    @property
    def digest(self) -> str:
        """Twelve hex digits over every field but the name."""
        return store.digest_of({key: value for key, value in asdict(self).items() if key != "name"})[:12]

    def but(self, **changes: Any) -> "Recipe":
        """The recipe with some fields changed; None leaves a field as it is."""
        given = {name: value for name, value in changes.items() if value is not None}
        return parse({**asdict(self), **given}, "the options given") if given else self


def load(path: Path) -> Recipe:
    """The recipe in a YAML file, or one of ours by its bare name. Raises DeepicdError."""
    if not path.is_file() and path.suffix == "" and (CHECKED_IN / f"{path}.yaml").is_file():
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
        if not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
            raise DeepicdError(f"{source}: {name} is {value!r}.", f"It takes a value of type {wanted.__name__}.")
    missing = [name for name in ("engine", "teacher") if name not in values]
    if missing:
        raise DeepicdError(f"{source}: {' and '.join(missing)} missing.", "Every recipe names its engine and teacher.")
    recipe = replace(Recipe("", "", ""), **values)
    if recipe.min_words > recipe.max_words:
        raise DeepicdError(
            f"{source}: min_words {recipe.min_words} is above max_words {recipe.max_words}.", "Swap or widen them."
        )
    return recipe
