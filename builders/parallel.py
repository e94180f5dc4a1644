"""Work on many items in several processes, results in the order of the items."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from deepicd.errors import DeepicdError

AHEAD = 2
"""Items a process that are given out at once: enough that none waits, few enough that results do not pile up."""

WORTH_IT = 20_000  # notes to read below which starting processes costs more than it saves

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """`work(item)` for each item, in their order; one process is this one.

    `work` is a function of a module and its items can be pickled. Raises DeepicdError when a process is killed.
    """
    if processes == 1:
        yield from map(work, items)
        return
    # a forked process would inherit the locks of this one's threads (the progress bar's, Arrow's); so they start afresh
    context = multiprocessing.get_context("spawn")
    rest = iter(items)
    with ProcessPoolExecutor(processes, context, initializer=_leave_with_parent) as pool:
        try:
            under_way: deque[Future[Result]] = deque(
                pool.submit(work, item) for item in islice(rest, AHEAD * processes)
            )
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(work, item) for item in islice(rest, 1))
                yield result
        except BrokenProcessPool as error:
            raise DeepicdError(
                "A process that did part of the work was killed, most often for lack of memory.",
                "Run the same command again with more memory free, or with fewer processes where it takes --processes.",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def processes_for(notes: int) -> int:
    """One a core, or this one alone where reading so many notes would not pay for starting others."""
    return cores() if notes >= WORTH_IT else 1


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_with_parent() -> None:
    """Ctrl-C is the parent's to handle; should it be killed, its processes go too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
