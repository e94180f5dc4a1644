"""A recipe: everything that decides what a teacher writes. Its digest names the folder of the traces.

    recipe = load_recipe(Path("distill/recipes/rehearsal.yaml")).replace(seed=7)

Recipes are YAML files; a flag may override a field, and the result is saved with the traces (run.json, options).
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from deepicd import storage
from deepicd.config import ConfigError, Number, PositiveCount, Share
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.paper import MIMIC_REASON
from deepicd.storage import Origin

Layout = Literal["prefix", "paper"]
GuidelineText = Literal["full", "relevant", "none"]

CHECKED_IN = Path(__file__).parent / "recipes"


Words = Annotated[int, Field(ge=0, le=1_000_000)]


class Recipe(ModelRecipe):
    """The settings of one distillation; `model` is the teacher. A trace over `max_tokens` is cut and rejected."""

    LATER = ModelRecipe.LATER | {
        "rollouts", "messages", "examples", "rare_below", "rare_attempts", "rare_most", "hint_tokens",
    }  # fmt: skip
    FORMER: ClassVar = {"n": "rollouts"}

    name: str = ""

    # What the teacher is shown, or the judge
    prompt: str = "oracle-2"
    """Name of the words; other words need another name."""
    messages: list[dict[str, str]] = Field(default=[])
    """A prompt of one's own: Jinja2 templates by role (deepicd.prompts.template). Empty for ours."""
    layout: Layout = "prefix"
    """prefix: texts that many rows share come first, for the prefix cache; paper: the order of the paper."""
    guideline_text: GuidelineText = "full"
    """The code's whole chapter as in the paper, the sections that bear on the code, or nothing."""
    guideline_tokens: PositiveCount = 1024  # of `relevant`, at most
    too_long: Literal["shorten", "drop"] = "shorten"
    """For a prompt over the context: relevant guidelines as far as they fit, or no trace. A note is never cut."""

    examples: Annotated[int, Field(ge=0, le=16)] = 0
    """Kept traces of other patients of the training split that a prompt shows first (distill.examples)."""

    rollouts: Annotated[int, Field(ge=1, le=1000)] = 1
    """Rollouts per row, each with seeds of its own; all are kept. `assemble` chooses one."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Completions per rollout at most, each with another seed, until one passes the checks."""

    # Rare codes (distill.budget)
    rare_below: Words = 0
    """A code with fewer rows in the cohort is rare; 0 for no such codes."""
    rare_attempts: Annotated[int, Field(ge=1, le=100)] = 6
    """Completions per rollout of a rare code at most."""
    rare_most: Share = 0.2
    """Share of the cohort's rows that may have them, the rarest codes first."""
    hint_tokens: Annotated[int, Field(ge=0, le=4096)] = 0
    """With --hints: of the guidelines on a rare code whose trace misled its reader, without its names; 0 for none."""

    # Checks
    min_words: Words = MIMIC_REASON.words_min
    max_words: Words = MIMIC_REASON.words_max
    """Shortest and longest trace of MIMIC-Reason."""
    named_from: Share = 0.8
    """Share of the trace before which neither code nor title may stand: the paper names them at the end only."""
    max_giveaways: Words = 0  # phrases such as 'the assigned code'
    max_repeated: Share = 0.2  # share of the words in runs of six that occurred before
    min_english: Annotated[Number, Field(ge=-1, le=1)] = 0.1  # share of English function words, less German ones
    max_other_script: Share = 0.02  # share of letters that are not Latin
    min_numbers: Share = 0.5  # share of the trace's numbers that the note has; the same for drugs and quotations
    min_drugs: Share = 0.5
    min_quotes: Share = 0.5
    max_verbatim: Words = 0  # words copied from the note in one run; 0 for no limit

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of every field that decides what is written or kept."""
        deciding = self.options | {"by_model": self.uses_model}
        del deciding["name"]
        return storage.digest_json(deciding)[:12]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.min_words > self.max_words:
            raise ConfigError(
                f"min_words {self.min_words} is above max_words {self.max_words}.", "Swap them or choose other lengths."
            )
        if self.rare_below and self.rare_attempts < self.attempts:
            raise ConfigError(
                f"rare_attempts is {self.rare_attempts}, and other codes have {self.attempts} attempts.",
                "Raise `rare_attempts`, or leave out `rare_below`.",
            )
        if self.rollouts > 1 and not self.temperature:
            raise ConfigError(
                f"rollouts is {self.rollouts}, and at temperature 0 all rollouts of a row are the same.",
                "Raise `temperature`, or leave out `rollouts`.",
            )
        return self


def load_recipe(path: Path) -> Recipe:
    """Load a YAML file, or a recipe of this package by its name. Raises DeepicdError."""
    return Recipe.load(path, CHECKED_IN)


def refuse_rehearsal(recipe: ModelRecipe, *, origin: Origin, is_allowed: bool) -> None:
    """Raise DeepicdError if an engine without a language model would answer credentialed rows unnoticed."""
    if origin != "mimic" or recipe.uses_model or is_allowed:
        return
    raise DeepicdError(
        f"The engine {recipe.engine!r} is not a language model, and these rows are credentialed: nothing was written.",
        "Name a recipe with a model, such as --recipe qwen2.5-32b. To rehearse on these rows, add --rehearse.",
    )


def list_recipes() -> dict[str, str]:
    """Return name → engine of the recipes of this package."""
    return {path.stem: load_recipe(path).engine for path in sorted(CHECKED_IN.glob("*.yaml"))}
