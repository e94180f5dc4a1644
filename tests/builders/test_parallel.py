"""Work in several processes: order, and what becomes of a process that is killed."""

import os

import pytest

from builders.parallel import in_order
from deepicd.errors import DeepicdError


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes):
    assert list(in_order(abs, range(-9, 0), processes)) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_a_process_that_dies_is_an_error_with_advice():
    with pytest.raises(DeepicdError, match="was killed, most often for lack of memory"):
        list(in_order(os._exit, [1], 2))
