"""One function over many batches, on as many cores as there are, results in the order of the batches."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

import pyarrow as pa

Result = TypeVar("Result")

WORTH_IT = 20_000  # notes to read below which starting processes costs more than it saves


def mapped(
    function: Callable[[pa.RecordBatch], Result], batches: Iterable[pa.RecordBatch], notes: int
) -> Iterator[Result]:
    """`function` of each batch; `notes` is about how many texts they hold. A few batches are in memory at a time."""
    cores = os.cpu_count() or 1
    if notes < WORTH_IT or cores == 1:
        yield from map(function, batches)
        return
    source = iter(batches)
    # spawned, not forked: a fork would copy the locks of DuckDB's threads without the threads
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        try:
            waiting: deque[Future[Result]] = deque()
            waiting.extend(pool.submit(function, batch) for batch in islice(source, 2 * cores))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(function, batch) for batch in islice(source, 1))
                yield done
        finally:
            pool.shutdown(cancel_futures=True)
