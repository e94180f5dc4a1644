"""Whatever is read, and whatever it is: a value or an error of ours. `make fuzz` does the same with millions."""

import json
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.reader import ERRORS, Reader, run_reader
from benchmarks.fuzz.readers import list_readers

SETTINGS = settings(derandomize=True, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> list[Reader]:
    folder = tmp_path_factory.mktemp("fuzz")
    command = [sys.executable, "-m", "deepicd", "demo", folder / "demo", "--admissions", "50"]
    subprocess.run(command, check=True, capture_output=True)
    return list_readers(folder / "demo", folder / "inputs")


def test_a_few_hundred_changed_inputs_of_each_reader_end_as_a_value_or_an_error_of_ours(readers: list[Reader]) -> None:
    for reader in readers:
        rng = random.Random(7)
        errors = [run_reader(reader, rng) for _ in range(max(1, 200 // reader.slowness))]
        assert [error for error in errors if error] == [], reader.name


@SETTINGS
@given(data=st.binary(max_size=300))
def test_so_does_anything_at_all(readers: list[Reader], data: bytes) -> None:
    feed(readers, data)


@SETTINGS
@given(value=JSON)
def test_so_does_any_value_of_json(readers: list[Reader], value: object) -> None:
    feed(readers, json.dumps(value).encode())


def test_the_good_inputs_are_read(readers: list[Reader]) -> None:
    refused = {"bundle.json", "metrics.json", "refusal of a server"}  # what they name is absent, or is a refusal
    for reader in readers:
        if reader.name not in refused and reader.slowness < 1000:
            for seed in reader.seeds:
                reader.read(seed)


def feed(readers: list[Reader], data: bytes) -> None:
    for reader in readers:
        if reader.slowness <= 20:
            try:
                reader.read(data)
            except ERRORS:
                pass
            except Exception as error:
                error.add_note(reader.name)
                raise
