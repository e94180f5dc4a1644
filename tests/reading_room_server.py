"""The reading room's applications behind a real server on loopback."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from cards.reading_room.server import Address

if TYPE_CHECKING:
    from starlette.applications import Starlette


@contextmanager
def serve_app(build: "Callable[[Address], Starlette]") -> Iterator[Address]:
    """Serve an application until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = Address(port=listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(build(address), log_level="warning", server_header=False))
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
