"""A reader under test: what it reads, how its inputs are changed, and what may come of them.

reader = Reader("YAML", [b"a: 1"], parse_yaml)
run_reader(reader, random.Random(7))      # None, or an error that is none of ours
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.fuzz.mutations import Mutation, mutate
from deepicd.engines.replies import RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import TransientError
from deepicd.parsing import ParseError

ERRORS = (DeepicdError, click.ClickException, TransientError, RefusedError, ParseError, OSError)
"""What a command turns into a message (deepicd.cli), and what an engine turns into another attempt."""

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    name: str
    seeds: Sequence[bytes]
    read: Read
    mutate: Mutation = mutate
    slowness: int = 1
    """How many inputs of a quick reader take as long as one of this."""


def read_through_file(path: Path, read: Callable[[Path], object]) -> Read:
    """Return a reader of bytes that go through a file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def write_and_read(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return write_and_read


def run_reader(reader: Reader, rng: random.Random) -> BaseException | None:
    """Give a reader one bad input; return the error that is none of ours, with the input as its note."""
    data = reader.mutate(rng, rng.choice(reader.seeds))
    try:
        reader.read(data)
    except ERRORS:
        return None
    except Exception as error:  # noqa: BLE001, what is looked for
        error.add_note(repr(data[:2000]))
        return error
    return None
