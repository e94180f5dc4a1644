"""Work in several processes: order, a bounded queue, and what becomes of a process that is killed."""

import operator
import os
from collections.abc import Iterator

import pytest

from builders.cohort.parallel import ITEMS_PER_PROCESS, open_workers
from deepicd.errors import DeepicdError


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    with open_workers(processes) as map_in_order:
        assert list(map_in_order(abs, range(-9, 0))) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
        assert list(map_in_order(operator.neg, range(3))) == [0, -1, -2]


def test_only_a_few_items_are_taken_before_the_first_result_is_used() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with open_workers(2) as map_in_order:
        results = map_in_order(abs, items())
        for number in range(20):
            assert next(results) == number
            assert len(taken) <= number + 1 + 2 * ITEMS_PER_PROCESS


def test_a_process_that_dies_is_an_error_with_advice() -> None:
    with (
        pytest.raises(DeepicdError, match="A worker process ended before its work was done"),
        open_workers(2) as map_in_order,
    ):
        list(map_in_order(os._exit, [1] * 9))


def test_what_work_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"), open_workers(2) as map_in_order:
        list(map_in_order(int, ["1", "x"]))
