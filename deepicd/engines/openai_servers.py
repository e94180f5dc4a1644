"""Several servers of OpenAI's chat API that serve one model: `--base-url http://node1:8000/v1,http://node2:8000/v1`.

Each is asked through an engine of its own (deepicd.engines.openai_server). Requests whose prompts begin alike, those of
a chapter, go to the same server as long as it has room, so that its prefix cache serves them; the rest goes to the one
with the most room. A server that fails is left out, its requests go to the others, and it is tried again every so
often. The run ends when none has answered for the recipe's `outage`.
"""

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deepicd.engines.base import Engine, Request, Result
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError

PREFIX = 2_000  # characters of a prompt that decide where it goes; a chapter's guidelines are longer
PATIENCE = 60.0  # seconds for a server that does not answer while others do, at most
RETRY_EVERY = 30.0  # seconds until a server that failed is tried again

logger = logging.getLogger(__name__)


class ServerEngine(Engine, Protocol):
    """An engine of one server; `submit` may be called while another thread waits in `collect`."""

    @property
    def has_requests(self) -> bool: ...

    def is_answering(self) -> bool: ...

    def ask_probe(self, with_opening: str) -> None: ...


@dataclass(eq=False)
class _Server:
    """A server, and what it was asked."""

    recipe: ModelRecipe
    connect: Callable[[ModelRecipe], ServerEngine]
    engine: ServerEngine | None = None
    in_flight: dict[str, Request] = field(default_factory=dict)
    has_work: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return self.recipe.base_url

    @property
    def room(self) -> int:
        return self.engine.capacity - len(self.in_flight) if self.engine else 0

    def rank(self, prefix: bytes) -> bytes:
        """Return what is smallest at the server that a prefix belongs to; others keep theirs when one fails."""
        return hashlib.sha256(self.url.encode() + prefix).digest()


class OpenAIServersEngine:
    """An Engine over several servers. A thread per server waits for its results."""

    name = "openai_server"

    def __init__(self, recipe: ModelRecipe, connect: Callable[[ModelRecipe], ServerEngine]) -> None:
        """Connect to the servers of a recipe. `connect` opens the engine of one, or raises DeepicdError."""
        self._outage = recipe.outage
        patience = min(recipe.outage, PATIENCE)
        self._servers = [
            _Server(recipe.replace(base_url=url, outage=patience), connect) for url in dict.fromkeys(recipe.base_urls)
        ]
        self._events: queue.Queue[tuple[_Server, list[Result] | DeepicdError | None]] = queue.Queue()
        self._unplaced: list[Request] = []  # while no server answers
        self._closing = threading.Event()
        errors = [error for server in self._servers if (error := _open(server))]
        if len(errors) == len(self._servers):
            raise errors[0]
        for error in errors:
            logger.warning("Continuing without a server: %s", error)
        self._last_error: DeepicdError | None = None
        self.version = ", ".join(dict.fromkeys(server.engine.version for server in self._servers if server.engine))
        self._threads = [threading.Thread(target=self._serve, args=(s,), daemon=True) for s in self._servers]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        return max(1, sum(server.engine.capacity for server in self._servers if server.engine))

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            server = self._choose(request)
            if server is None or server.engine is None:
                self._unplaced.append(request)
                continue
            server.in_flight[request.key] = request
            server.engine.submit([request])
            server.has_work.set()

    def collect(self) -> list[Result]:
        silent_since = time.monotonic()
        while self._unplaced or any(server.in_flight for server in self._servers):
            try:
                server, event = self._events.get(timeout=1.0)
            except queue.Empty:
                is_over = time.monotonic() - silent_since > self._outage and not self._is_any_alive()
                if is_over and self._last_error:
                    raise self._last_error from None
                continue
            if isinstance(event, list):
                results = [result for result in event if server.in_flight.pop(result.key, None)]
                if results:
                    return results
            elif isinstance(event, DeepicdError):
                self._last_error = event
                self._give_up(server, event)
            else:  # it answers again
                waiting, self._unplaced = self._unplaced, []
                self.submit(waiting)
        return []

    def is_answering(self) -> bool:
        """Return whether any server answers a prompt without a note now."""
        return any(server.engine.is_answering() for server in self._servers if server.engine)

    def ask_probe(self, with_opening: str) -> None:
        """Ask every server a question without a note. Raises DeepicdError."""
        for server in self._servers:
            if server.engine is None and (error := _open(server)):
                raise error
            if server.engine:
                server.engine.ask_probe(with_opening)

    def close(self) -> None:
        self._closing.set()
        for server in self._servers:
            server.has_work.set()
            if server.engine:
                server.engine.close()
        for thread in self._threads:
            thread.join()

    def _choose(self, request: Request) -> _Server | None:
        """Return the server that a prompt's beginning belongs to, or the one with the most room; None where none is."""
        alive = [server for server in self._servers if server.engine]
        if not alive:
            return None
        prefix = "\0".join(message["content"] for message in request.messages)[:PREFIX].encode(errors="surrogatepass")
        first = min(alive, key=lambda server: server.rank(prefix))
        return first if first.room > 0 else max(alive, key=lambda server: server.room)

    def _is_any_alive(self) -> bool:
        return any(server.engine for server in self._servers)

    def _give_up(self, server: _Server, error: DeepicdError) -> None:
        """Give a server's requests to the others."""
        orphans, engine = list(server.in_flight.values()), server.engine
        server.in_flight.clear()
        server.engine = None
        if engine:
            engine.close()
        left = sum(other.engine is not None for other in self._servers)
        logger.warning(
            "%s %d of %d servers are left; %d requests go to them.", error, left, len(self._servers), len(orphans)
        )
        self.submit(orphans)

    def _serve(self, server: _Server) -> None:
        """Hand over what a server answers; try it again every so often while it is left out."""
        while not self._closing.is_set():
            engine = server.engine
            if engine is None:
                if not self._closing.wait(RETRY_EVERY) and _open(server) is None:
                    self._events.put((server, None))
                continue
            if not engine.has_requests:
                server.has_work.wait(0.2)
                server.has_work.clear()
                continue
            try:
                self._events.put((server, engine.collect()))
            except DeepicdError as error:
                self._events.put((server, error))
                while server.engine is engine and not self._closing.wait(0.05):
                    pass  # until it is given up
            except BaseException:  # closed while it waited
                if not self._closing.is_set() and server.engine is engine:
                    raise


def _open(server: _Server) -> DeepicdError | None:
    """Connect to a server; return the error where that fails."""
    try:
        server.engine = server.connect(server.recipe)
    except DeepicdError as error:
        return error
    return None
