"""Work in several processes: order, and what becomes of a process that is killed."""

import os
from copy import copy

import pyarrow as pa
import pytest

from builders.cohort import shared_memory
from builders.cohort.parallel import ROOM, workers
from deepicd.errors import DeepicdError


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    with workers(processes, "builders.cohort.shared_memory") as in_order:
        assert list(in_order(abs, range(-9, 0))) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_results_are_still_what_they_were_when_their_memory_has_been_used_again() -> None:
    batches = [pa.record_batch({"text": [f"{number} {word}" for word in "abc"]}) for number in range(40)]
    with workers(2, "builders.cohort.shared_memory") as in_order:
        assert list(in_order(pa.RecordBatch.to_pylist, batches)) == [batch.to_pylist() for batch in batches]
        assert list(in_order(pa.RecordBatch.validate, batches)) == [None] * 40
        assert list(in_order(copy, batches)) == batches


def test_what_is_too_large_for_the_shared_memory_arrives_all_the_same() -> None:
    large = pa.record_batch({"text": ["x" * ROOM, "y"]})
    with workers(2, "builders.cohort.shared_memory") as in_order:
        assert [batch.equals(large) for batch in in_order(copy, [large, large])] == [True, True]


def test_a_process_that_dies_is_an_error_with_advice() -> None:
    with pytest.raises(DeepicdError, match="was killed, most often for lack of memory"), workers(2, "os") as in_order:
        list(in_order(os._exit, [1]))


def test_what_work_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"), workers(2, "os") as in_order:
        list(in_order(int, ["1", "x"]))


def test_buffers_stand_on_the_shelf_and_the_rest_is_small() -> None:
    batch, shelf = pa.record_batch({"text": ["word " * 1000] * 100}), memoryview(bytearray(2**20))
    packed = shared_memory.pack(batch, shelf)
    assert len(packed.pickled) < 2000
    assert shared_memory.unpack(packed, shelf) == batch
    kept = shared_memory.unpack(packed, shelf, copied=True)
    shelf[:] = bytes(2**20)
    assert kept == batch
