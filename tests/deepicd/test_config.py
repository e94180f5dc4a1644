"""Settings from YAML: read by name or path, checked field by field, changed without changing what is fixed."""

from pathlib import Path
from typing import Annotated, Literal, Self

import click
import pytest
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from deepicd.config import Config, ConfigError, Count, Number, Share, parse_assignments
from deepicd.errors import DeepicdError


class Sampling(Config):
    name: str = ""
    model: str
    layout: Literal["prefix", "paper"] = "prefix"
    temperature: Annotated[Number, Field(ge=0, le=10)] = 0.9
    top_p: Share = 1.0
    shortest: Count = 1
    longest: Count = 10
    strict: bool = False
    checks: Annotated[tuple[Literal["borne out", "weighing"], ...], BeforeValidator(tuple)] = ()

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.shortest > self.longest:
            raise ConfigError("shortest is above longest.", "Swap them.")
        return self


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_by_its_path_or_by_its_bare_name(tmp_path: Path) -> None:
    path = write(tmp_path / "warm.yaml", "model: m\ntemperature: 2e-1\n")
    sampling = Sampling.load(path, tmp_path)
    assert (sampling.name, sampling.model, sampling.temperature) == ("warm", "m", 0.2)
    assert Sampling.load(Path("warm"), tmp_path) == sampling
    with pytest.raises(DeepicdError, match="one of these names: warm"):
        Sampling.load(Path("cold"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{model: m, temprature: 1}", "a recipe has no field 'temprature'.\nDid you mean temperature?"),
        ("{model: m, qqq: 1}", "Fields are name, model, layout"),
        ("{model: m, 7: 1}", "a recipe has no field '7'"),
        ("{temperature: 1}", "model missing"),
        ("{model: m, temperature: 11}", "temperature is 11.\nIt takes a number from 0 to 10."),
        ("{model: m, temperature: hot}", "temperature is 'hot'.\nIt takes a number from 0 to 10."),
        ("{model: m, temperature: true}", "temperature is True"),
        ("{model: m, temperature: .nan}", "temperature is nan"),
        ("{model: m, shortest: 1.0}", "shortest is 1.0.\nIt takes a whole number from 0 to 10000000."),
        ("{model: m, layout: wide}", "layout is 'wide'.\nIt takes one of: prefix, paper."),
        (
            "{model: m, checks: [weighing, borne_out]}",
            "checks is 'borne_out'.\nIt takes some of: borne out, weighing. Did you mean borne out?",
        ),
        ("{model: m, strict: 1}", "strict is 1.\nIt takes true or false."),
        ("{model: 7}", "model is 7.\nIt takes a text."),
        ("{model: m, shortest: 11}", "shortest is above longest.\nSwap them."),
        ("- model", "holds no recipe"),
        ("{", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_file_its_field_and_what_is_expected(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path / "mine.yaml", text)
    with pytest.raises(DeepicdError) as error:
        Sampling.load(path, tmp_path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_changes_are_checked_and_none_changes_nothing() -> None:
    sampling = Sampling(model="m")
    assert sampling.replace(temperature=None) is sampling
    assert sampling.replace(temperature=1, top_p=0.5).options == sampling.options | {"temperature": 1, "top_p": 0.5}
    with pytest.raises(DeepicdError, match="the options given: top_p is 2"):
        sampling.replace(top_p=2)
    with pytest.raises(ValidationError):
        sampling.model = "other"  # type: ignore[misc]


def test_a_whole_number_stays_a_whole_number() -> None:
    assert repr(Sampling(model="m", temperature=1).options["temperature"]) == "1"
    assert repr(Sampling(model="m", temperature=1.0).options["temperature"]) == "1.0"


def test_an_assignment_is_read_as_in_a_file() -> None:
    values = parse_assignments(["temperature=2e-1", "model=a=b", "strict=true", "shortest=3"])
    assert Sampling.parse(values, "here") == Sampling(model="a=b", temperature=0.2, strict=True, shortest=3)
    for text, message in (("temperature", "takes FIELD=VALUE"), ("model={", "is not a YAML value")):
        with pytest.raises(click.UsageError, match=message):
            parse_assignments([text])
