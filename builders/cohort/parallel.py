"""Run a function over many items in several processes; results come in the order of the items.

    with open_workers(4) as map_in_order:
        for result in map_in_order(extract, batches):
            ...

Only a few items are under way at a time, so memory is bounded.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from deepicd.errors import DeepicdError

ITEMS_PER_PROCESS = 2  # under way at a time: enough that no process waits, few enough that results do not pile up
MIN_BYTES = 64 * 2**20  # of compressed notes; for fewer, starting processes costs more than it saves
MAX_PROCESSES = 8  # more than one reader of notes cannot keep busy

Item = TypeVar("Item")
Result = TypeVar("Result")


class MapInOrder(Protocol):
    """Yield `work(item)` for each item, in order. `work` must be a module-level function, and items picklable."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]: ...


@contextmanager
def open_workers(processes: int) -> Iterator[MapInOrder]:
    """Yield a map that runs in this many processes, or in this one for `processes=1`.

    Raises DeepicdError when one of the processes dies.
    """
    if processes == 1:
        yield map
        return
    # A forked process would inherit locks that other threads hold (the progress bar's, Arrow's), so spawn fresh ones.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _follow_parent)

    def map_in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        under_way = deque[Future[Result]]()
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) == ITEMS_PER_PROCESS * processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    try:
        yield map_in_order
    except BrokenProcessPool as error:
        raise DeepicdError(
            "A worker process ended before its work was done.",
            "Free some memory and rerun the command, or use fewer processes if it takes --processes.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def choose_processes(notes: Path) -> int:
    """Return the number of processes for a file of notes: one per core, or 1 if the file is small."""
    return min(count_cores(), MAX_PROCESSES) if notes.stat().st_size >= MIN_BYTES else 1


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent process, and exit with it: `kill -9` of the parent would leave orphans."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is None:
        raise RuntimeError("A worker process has no parent process.")

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
