"""The example folder, its pages behind a real server on loopback, and a client that has the token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from reading_room_example import write_evaluation, write_example
from reading_room_server import serve_app

from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.rows import Rows, open_rows
from cards.reading_room.server import Address, ServerLinks, build_app


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_example(tmp_path_factory.mktemp("reading"))
    answers: dict[str, str | None] = {"I5023": "I5021", "J189": "A419", "K5732": "K5732", "I10": "I10"}
    write_evaluation(folder / "sft", folder / "cohort", answers | {"I10": None})
    write_evaluation(folder / "grpo", folder / "cohort", answers)
    return folder


@pytest.fixture(scope="session")
def rows(example: Path) -> Rows:
    return open_rows(find_holdings(example))


@pytest.fixture(scope="session")
def pages(rows: Rows) -> Pages:
    return Pages(rows, ServerLinks(), "example")


@pytest.fixture(scope="session")
def address(pages: Pages) -> Iterator[Address]:
    with serve_app(lambda address: build_app(pages, address)) as address:
        yield address


@pytest.fixture
def stranger(address: Address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{address.port}", trust_env=False) as client:
        yield client


@pytest.fixture
def reader(stranger: httpx.Client, address: Address) -> httpx.Client:
    stranger.get("/", params={"token": address.token})
    return stranger
