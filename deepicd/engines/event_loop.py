"""An event loop in a thread of its own, for engines whose library is asynchronous and whose protocol is not."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class EventLoop:
    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def now(self, work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
        """The result, waited for."""
        return self.start(work).result(timeout)

    def cancel(self, timeout: float | None = None) -> None:
        """End whatever runs in it."""
        self.now(_cancelled(), timeout)

    def close(self, timeout: float | None = None) -> None:
        """Seconds to wait, None for any number."""
        self.cancel(timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        self._loop.close()


async def _cancelled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
