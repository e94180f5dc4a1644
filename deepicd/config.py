"""Settings that are read from YAML and checked field by field: the base of every recipe.

    class Sampling(Config):
        model: str
        temperature: Annotated[Number, Field(ge=0, le=10)] = 0.9

    Sampling.load(Path("mine.yaml"), CHECKED_IN)     # a file, or a checked-in one by its bare name
    sampling.replace(temperature=0.7)                    # a copy with other values, checked again

The error for an unknown field suggests the nearest name; that for a wrong value names the range or choices.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.parsing import ParseError, parse_yaml

logger = logging.getLogger(__name__)

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _read_exponent(value: object) -> object:
    """Parse '2e-5' as a number: YAML 1.1 reads it as a text, unlike 2.0e-5."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


Number = Annotated[int | float, BeforeValidator(_read_exponent)]
"""An int stays an int, since digests of recipes cover the values as written."""
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
PositiveCount = Annotated[int, Field(ge=1, le=10_000_000)]


class ConfigError(ValueError):
    """Fields that do not fit together; raised by a validator, shown to the user with the source of the values."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what, self.advice = what, advice


class Config(BaseModel):
    """Frozen, keyword-only settings without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first runs: not among the options at their default, so that these are still found."""

    FORMER: ClassVar[Mapping[str, str]] = {}
    """Other names of fields → the field: accepted, with a note."""

    @model_validator(mode="before")
    @classmethod
    def _rename_fields(cls, values: object) -> object:
        if not isinstance(values, Mapping) or not (former := cls.FORMER.keys() & values.keys()):
            return values
        for name in sorted(former):
            if (current := cls.FORMER[name]) in values:
                raise ConfigError(f"{name} and {current} are the same field, and both are given.", f"Drop {name}.")
            logger.info("The field %s of this recipe is called %s.", name, current)
        return {cls.FORMER.get(name, name): value for name, value in values.items()}

    @classmethod
    def parse(cls, values: Mapping[str, object], source: str) -> Self:
        """Validate plain values. Raises DeepicdError that names the source and the wrong field."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise cls._explain(error.errors(), source) from error

    @classmethod
    def load(cls, path: Path, checked_in: Path) -> Self:
        """Load a YAML file, or one in the folder `checked_in` by its bare name. Raises DeepicdError."""
        return cls.parse(*read_values(path, checked_in))

    def replace(self, **changes: object) -> Self:
        """Return the settings with some fields changed; None leaves a field as it is. Raises DeepicdError."""
        overrides = {name: value for name, value in changes.items() if value is not None}
        known = {name: value for name, value in self if name not in {self.FORMER.get(given) for given in overrides}}
        return self.parse({**known, **overrides}, "the options given") if overrides else self

    @property
    def options(self) -> dict[str, object]:
        """The part of a run's options that these settings decide: every field and its value, less `LATER` defaults."""
        return {
            name: value
            for name, value in self
            if name not in self.LATER or value != type(self).model_fields[name].default
        }

    @classmethod
    def _explain(cls, errors: Sequence[ErrorDetails], source: str) -> DeepicdError:
        by_type = {error["type"]: error for error in reversed(errors)}  # the first of each
        if unknown := by_type.get("extra_forbidden"):
            name = str(unknown["loc"][0])
            near = get_close_matches(name[:80], cls.model_fields, n=1)
            advice = f"Did you mean {near[0]}?" if near else f"Fields are {', '.join(cls.model_fields)}."
            return DeepicdError(f"{source}: a recipe has no field {shorten(name)}.", advice)
        if missing := [str(error["loc"][0]) for error in errors if error["type"] == "missing"]:
            return DeepicdError(f"{source}: {' and '.join(missing)} missing.", "Add a value; this has no default.")
        first = errors[0]
        if isinstance(reason := first.get("ctx", {}).get("error"), ConfigError):
            return DeepicdError(f"{source}: {reason.what}", reason.advice)
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in cls.model_fields:
            return DeepicdError(f"{source}: {first['msg']}.", f"Fields are {', '.join(cls.model_fields)}.")
        near = get_close_matches(str(first["input"])[:80], cls._list_choices(name), n=1)
        advice = f"It takes {cls._describe_field(name)}." + (f" Did you mean {near[0]}?" if near else "")
        return DeepicdError(f"{source}: {name} is {shorten(first['input'])}.", advice)

    @classmethod
    def _list_choices(cls, name: str) -> list[str]:
        """Return the values of a field of literals, or of a list of them; none for another field."""
        kind = cls.model_fields[name].annotation
        literals = [one for one in (kind, *get_args(kind)) if get_origin(one) is Literal]
        return [str(value) for literal in literals for value in get_args(literal)]

    @classmethod
    def _describe_field(cls, name: str) -> str:
        """Return what a field takes: 'one of: a, b', 'a number from 0 to 1', 'a whole number'."""
        field = cls.model_fields[name]
        if choices := cls._list_choices(name):
            return f"{'one' if get_origin(field.annotation) is Literal else 'some'} of: {', '.join(choices)}"
        kinds: dict[object, str] = {int: "a whole number", bool: "true or false", str: "a text"}
        kind = kinds.get(field.annotation, "a number")
        least = next((entry.ge for entry in field.metadata if hasattr(entry, "ge")), None)
        most = next((entry.le for entry in field.metadata if hasattr(entry, "le")), None)
        return kind if least is None or most is None else f"{kind} from {least} to {most}"


def shorten(value: object) -> str:
    """Return a value as Python writes it, or the start of it where that is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def read_values(path: Path, checked_in: Path, what: str = "recipe", advice: str = "") -> tuple[dict[str, object], str]:
    """Return the plain values of a YAML file, or of one in `checked_in` by its bare name, and their source.

    `name` defaults to the name of the file. `what` and `advice` are for errors. Raises DeepicdError.
    """
    if not path.is_file() and (checked_in / f"{path}.yaml").is_file():
        path = checked_in / f"{path}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in checked_in.glob("*.yaml")))
        raise DeepicdError(
            f"There is no {what} {path}.", advice or f"Give a YAML file, or one of these names: {names}."
        )
    try:
        values = parse_yaml(storage.read_bounded(path))
    except ParseError as error:
        raise DeepicdError(
            f"{path} is not YAML: {error}.",
            advice or f"Start from a recipe in {checked_in.parent.name}/{checked_in.name}.",
        ) from error
    if not isinstance(values, dict):
        raise DeepicdError(f"{path} holds no {what}.", advice or "A recipe is a list of `field: value` lines.")
    return {"name": path.stem, **{str(name): value for name, value in values.items()}}, str(path)


def parse_assignments(texts: Sequence[str]) -> dict[str, object]:
    """Return the values of `--set FIELD=VALUE`, read as YAML reads them in a recipe. Raises UsageError.

    >>> parse_assignments(["temperature=0.7", "model=m"])
    {'temperature': 0.7, 'model': 'm'}
    """
    import click

    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes FIELD=VALUE, not {text!r}.")
        try:
            values[name] = parse_yaml(value)
        except ParseError as error:
            raise click.UsageError(f"--set {name}: {shorten(value)} is not a YAML value: {error}.") from error
    return values
