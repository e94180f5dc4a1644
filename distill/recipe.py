"""A recipe: everything that decides what a teacher writes. Its digest names the folder of the traces.

    recipe = load_recipe(Path("distill/recipes/rehearsal.yaml")).but(seed=7)

Recipes are YAML files; a flag may override a field, and the result is saved with the traces (run.json, options).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from deepicd import storage
from deepicd.engines import recipe as recipes
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.paper import MIMIC_REASON

Layout = Literal["prefix", "paper"]
GuidelineText = Literal["full", "relevant", "none"]

CHECKED_IN = Path(__file__).parent / "recipes"

# field → smallest and largest value
BOUNDS: recipes.Bounds = {
    **recipes.BOUNDS,
    **dict.fromkeys(("min_words", "max_words", "max_giveaways", "max_verbatim"), (0, 1_000_000)),
    **dict.fromkeys(("named_from", "max_repeated", "max_other_script"), (0, 1)),
    **dict.fromkeys(("min_numbers", "min_drugs", "min_quotes"), (0, 1)),
    "guideline_tokens": (1, 10_000_000),
    "min_english": (-1, 1),
    "attempts": (1, 100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ModelRecipe):
    """The settings of one distillation; `model` is the teacher. A trace over `max_tokens` is cut and rejected."""

    name: str = ""

    # What the teacher is shown
    prompt: str = "oracle-2"
    """Version of the words in distill.prompt; other words need another name."""
    layout: Layout = "prefix"
    """prefix: texts that many rows share come first, for the prefix cache; paper: the order of the paper."""
    guideline_text: GuidelineText = "full"
    """The code's whole chapter as in the paper, the sections that bear on the code, or nothing."""
    guideline_tokens: int = 1024  # of `relevant`, at most
    too_long: Literal["shorten", "drop"] = "shorten"
    """For a prompt over the context: relevant guidelines as far as they fit, or no trace. A note is never cut."""

    attempts: int = 3
    """Most completions per row, each with another seed, until one passes the checks."""

    # Checks
    min_words: int = MIMIC_REASON.words_min
    max_words: int = MIMIC_REASON.words_max
    """Shortest and longest trace of MIMIC-Reason."""
    named_from: float = 0.8
    """Share of the trace before which neither code nor title may stand: the paper names them at the end only."""
    max_giveaways: int = 0  # phrases such as 'the assigned code'
    max_repeated: float = 0.2  # share of the words in runs of six that occurred before
    min_english: float = 0.1  # share of English function words, less German ones
    max_other_script: float = 0.02  # share of letters that are not Latin
    min_numbers: float = 0.5  # share of the trace's numbers that the note has; the same for drugs and quotations
    min_drugs: float = 0.5
    min_quotes: float = 0.5
    max_verbatim: int = 0  # words copied from the note in one run; 0 for no limit

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of every field that decides what is written or kept."""
        deciding = self.options | {"by_model": self.by_model}
        del deciding["name"]
        return storage.digest_json(deciding)[:12]

    def but(self, **changes: Any) -> "Recipe":
        """Return the recipe with some fields changed; None leaves a field as it is. Raises DeepicdError."""
        given = {name: value for name, value in changes.items() if value is not None}
        return parse_recipe({**asdict(self), **given}, "the options given") if given else self


def load_recipe(path: Path) -> Recipe:
    """Return the recipe in a YAML file, or one of ours by its bare name. Raises DeepicdError."""
    return parse_recipe(*recipes.read_recipe(path, CHECKED_IN))


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Return a recipe from plain values, every name and type checked. Raises DeepicdError."""
    missing = [name for name in ("engine", "model") if name not in values]
    if missing:
        raise DeepicdError(f"{source}: {' and '.join(missing)} missing.", "Every recipe names its engine and model.")
    recipe = recipes.parse_recipe(Recipe, values, source, BOUNDS)
    if recipe.min_words > recipe.max_words:
        raise DeepicdError(
            f"{source}: min_words {recipe.min_words} is above max_words {recipe.max_words}.", "Swap or widen them."
        )
    return recipe
