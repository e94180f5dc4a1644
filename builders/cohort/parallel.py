"""Work on many items in several processes, results in the order of the items.

with workers(4, "builders.cohort.extraction") as in_order:  # they start now, and import what they will need
    …
    for result in in_order(extract, batches):
        …
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from builders.cohort.shared_memory import Packed, pack, unpack
from deepicd.errors import DeepicdError

AHEAD = 2
"""Items a process that are given out at once: enough that none waits, few enough that results do not pile up."""
ROOM = 6 * 2**20  # bytes of shared memory for an item, and as much for its result; larger ones take the pipe

WORTH_IT = 64 * 2**20  # bytes of notes, zipped, below which starting processes costs more than it saves
MOST = 8  # processes that one reader of notes can keep busy

Item = TypeVar("Item")
Result = TypeVar("Result")


class InOrder(Protocol):
    """`work(item)` for each item, in their order. `work` is a function of a module, and items can be pickled."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]: ...


@contextmanager
def workers(processes: int, module: str) -> Iterator[InOrder]:
    """Processes that import a module at once, and what has them at work; one process is this one.

    Raises DeepicdError when a process is killed.
    """
    if processes == 1:
        yield map
        return
    # a forked process would inherit the locks of this one's threads (the progress bar's, Arrow's); so they start afresh
    context = multiprocessing.get_context("spawn")
    memory = context.RawArray(ctypes.c_char, AHEAD * processes * 2 * ROOM)  # gone with the last process that has it
    shelves = _shelves(memory)
    with ProcessPoolExecutor(processes, context, _begin, (memory,)) as pool:
        for _ in range(processes):
            pool.submit(import_module, module)

        def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
            rest = iter(items)

            def give_out(slot: int) -> Iterator[tuple[int, Future[Packed]]]:
                for item in islice(rest, 1):
                    yield slot, pool.submit(_do, work, slot, pack(item, shelves[slot].item))

            under_way = deque(given for slot in range(len(shelves)) for given in give_out(slot))
            while under_way:
                slot, done = under_way.popleft()
                result = cast(Result, unpack(done.result(), shelves[slot].result, copied=True))
                under_way.extend(give_out(slot))
                yield result

        try:
            yield in_order
        except BrokenProcessPool as error:
            raise DeepicdError(
                "A process that did part of the work was killed, most often for lack of memory.",
                "Run the same command again with more memory free, or with fewer processes where it takes --processes.",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Shelf(NamedTuple):
    """Shared memory for one item under way and for its result."""

    item: memoryview
    result: memoryview


def _shelves(memory: Any) -> list[_Shelf]:
    whole = memoryview(memory).cast("B")
    starts = range(0, len(whole), 2 * ROOM)
    return [_Shelf(whole[start : start + ROOM], whole[start + ROOM : start + 2 * ROOM]) for start in starts]


def processes_for(notes: Path) -> int:
    """One a core, or this one alone where reading so small a file would not pay for starting others."""
    return min(cores(), MOST) if notes.stat().st_size >= WORTH_IT else 1


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_memory: list[_Shelf]
"""Of a process that works: what it shares with this one."""


def _begin(memory: Any) -> None:
    global _memory
    _memory = _shelves(memory)
    gc.disable()  # notes and rows are in no cycles
    _leave_with_parent()


def _do(work: Callable[[Any], Any], slot: int, packed: Packed) -> Packed:
    """What comes of the item of a slot."""
    return pack(work(unpack(packed, _memory[slot].item)), _memory[slot].result)


def _leave_with_parent() -> None:
    """Ctrl-C is the parent's to handle; should it be killed, its processes go too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
