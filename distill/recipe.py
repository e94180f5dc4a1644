"""A recipe: everything that decides what a teacher writes. Its digest names the folder the traces go to.

    recipe = load(Path("distill/recipes/rehearsal.yaml")).but(seed=7)

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
    """prefix: what many rows share comes first, for the prefix cache; paper: note, code, description, guidelines."""
    guideline_text: GuidelineText = "full"
    """The whole chapter of the code as in the paper, the sections that bear on the code, or nothing."""
    guideline_tokens: int = 1024  # at most, of `relevant`
    too_long: Literal["shorten", "drop"] = "shorten"
    """A prompt over the context: relevant guidelines as far as they fit, or no trace. A note is never cut."""

    attempts: int = 3
    """Completions of a row at most, each with a seed of its own, until one passes the checks."""

    # Checks
    min_words: int = MIMIC_REASON.words_min
    max_words: int = MIMIC_REASON.words_max
    """Shortest and longest trace of MIMIC-Reason."""
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

    @property
    def digest(self) -> str:
        """Twelve hex digits over every field that decides what is written or kept."""
        deciding = self.options | {"by_model": self.by_model}
        del deciding["name"]
        return storage.digest_json(deciding)[:12]

    def but(self, **changes: Any) -> "Recipe":
        """The recipe with some fields changed; None leaves a field as it is."""
        given = {name: value for name, value in changes.items() if value is not None}
        return parse({**asdict(self), **given}, "the options given") if given else self


def load(path: Path) -> Recipe:
    """The recipe in a YAML file, or one of ours by its bare name. Raises DeepicdError."""
    return parse(*recipes.read_recipe(path, CHECKED_IN))


def parse(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from plain values, every name and type checked. Raises DeepicdError."""
    missing = [name for name in ("engine", "model") if name not in values]
    if missing:
        raise DeepicdError(f"{source}: {' and '.join(missing)} missing.", "Every recipe names its engine and model.")
    recipe = recipes.parse_recipe(Recipe, values, source, BOUNDS)
    if recipe.min_words > recipe.max_words:
        raise DeepicdError(
            f"{source}: min_words {recipe.min_words} is above max_words {recipe.max_words}.", "Swap or widen them."
        )
    return recipe
