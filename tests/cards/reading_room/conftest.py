"""The example folder, its pages behind a real server on loopback, and a client that has the token."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from reading_room_example import write_example

from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.rows import Rows, open_rows
from cards.reading_room.server import Address, ServerLinks, build_app


@contextmanager
def serve_pages(pages: Pages) -> Iterator[Address]:
    """Serve pages until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = Address(port=listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(build_app(pages, address), log_level="warning", server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("reading"))


@pytest.fixture(scope="session")
def rows(example: Path) -> Rows:
    return open_rows(find_holdings(example))


@pytest.fixture(scope="session")
def pages(rows: Rows) -> Pages:
    return Pages(rows, ServerLinks(), "example")


@pytest.fixture(scope="session")
def address(pages: Pages) -> Iterator[Address]:
    with serve_pages(pages) as address:
        yield address


@pytest.fixture
def stranger(address: Address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{address.port}", trust_env=False) as client:
        yield client


@pytest.fixture
def reader(stranger: httpx.Client, address: Address) -> httpx.Client:
    stranger.get("/", params={"token": address.token})
    return stranger
