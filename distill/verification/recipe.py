"""The recipe of a verification: which checks, which model answers for them, and what a trace has to reach."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from deepicd import storage
from deepicd.config import ConfigError, PositiveCount, Share
from deepicd.engines.recipe import ModelRecipe

Check = Literal["borne out", "untouched", "weighing", "answer", "rubric"]
CHECKS: tuple[Check, ...] = get_args(Check)
RULES: tuple[Check, ...] = ("borne out", "weighing")
"""Checks that ask no model."""
USUAL: tuple[Check, ...] = ("borne out", "weighing", "answer", "rubric")
Level = Literal["none", "chapter", "category", "code"]
LEVELS: tuple[Level, ...] = get_args(Level)

CHECKED_IN = Path(__file__).parent / "recipes"
VERSION = "verification-3"
"""Change it with the rules or the wording of a prompt: rows say which version measured them."""


def _read_checks(value: object) -> object:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class VerifyRecipe(ModelRecipe):
    """The settings of one verification; `model` solves, writes the points of a stay and grades."""

    name: str = ""
    checks: Annotated[tuple[Check, ...], BeforeValidator(_read_checks)] = USUAL
    """`untouched` asks the model for the claims that `borne out` leaves untouched."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Answers to one question at most, each with another seed, until one can be read."""
    note_answers: Annotated[int, Field(ge=1, le=64)] = 1
    """Answers from the note alone per row; the share of right ones is how easy the row is."""
    points_least: Annotated[int, Field(ge=1, le=20)] = 3
    points_most: Annotated[int, Field(ge=1, le=20)] = 7
    diseases: PositiveCount = 10
    """The k of recall at k: diseases that a trace names first."""

    # What a trace has to reach. A check that was not asked, or had nothing to decide, fails no trace; one
    # that was asked and not answered does.
    least_answer: Level = "chapter"
    """How near to the true code the trace alone has to lead the model."""
    needs_lift: bool = False
    """Whether it has to lead nearer than the note alone does, where that does not reach the code."""
    most_refuted: Share = 0.25
    """Share of the trace's decided expectations that the outcome refutes."""
    least_met: Share = 0.5
    """Share of the points of its stay that it meets."""

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of every field that decides what is written."""
        deciding = self.options | {"by_model": self.uses_model, "version": VERSION}
        del deciding["name"]
        return storage.digest_json(deciding)[:12]

    @property
    def asks_model(self) -> bool:
        return not set(self.checks) <= set(RULES)

    @field_validator("checks")
    @classmethod
    def _order_checks(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        if not checks:
            raise ConfigError("It names no check.", f"Checks are {', '.join(CHECKS)}.")
        if "untouched" in checks and "borne out" not in checks:
            raise ConfigError(
                "The check `untouched` is of what `borne out` leaves untouched.", "Add `borne out` to the checks."
            )
        return tuple(check for check in CHECKS if check in checks)

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        if self.points_least > self.points_most:
            raise ConfigError(
                f"points_least is {self.points_least} and points_most {self.points_most}: no answer could be read.",
                "Raise points_most, or lower points_least.",
            )
        return self


def load_recipe(path: Path) -> VerifyRecipe:
    """Load a YAML file, or a recipe of this package by its name. Raises DeepicdError."""
    return VerifyRecipe.load(path, CHECKED_IN)


def list_recipes() -> dict[str, str]:
    """Return name → engine of the recipes of this package."""
    return {path.stem: load_recipe(path).engine for path in sorted(CHECKED_IN.glob("*.yaml"))}
