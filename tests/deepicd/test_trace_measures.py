"""How a trace argues."""

import time

import pytest

from deepicd.icd10cm import Code
from deepicd.trace_measures import count_weighing, find_first_mention

CODE = Code("I5021")
TITLES = ["Acute systolic (congestive) heart failure", "Heart failure"]


@pytest.mark.parametrize(
    ("trace", "note", "at"),
    [
        ("I50.21 from the start.", "", 0.0),
        ("i5021", "", 0.0),
        ("Orthopnea, so heart  failure it is", "", 14 / 34),
        ("Orthopnea, so heart failure it is", "History of heart failure", None),
        ("Orthopnea. I50.21", "History of heart failure", 11 / 17),
        ("Orthopnea and edema.", "", None),
        ("I50.211 and I50.21.3 are other codes", "", None),
        ("", "", None),
    ],
)
def test_where_the_diagnosis_is_first_named(trace: str, note: str, at: float | None) -> None:
    assert find_first_mention(trace, CODE, TITLES, note) == (None if at is None else pytest.approx(at, abs=0.01))


@pytest.mark.parametrize(
    ("trace", "number"),
    [
        ("Angina is unlikely. It speaks against a dissection that the pulses are equal.\nSo infarction.", 2),
        ("Less likely, rather than, versus: one sentence.", 1),
        ("Pneumonia would bring fever", 1),
        ("A considerable pain in the chest. She was considerate.", 0),
        ("", 0),
    ],
)
def test_sentences_that_weigh_are_counted_once(trace: str, number: int) -> None:
    assert count_weighing(trace) == number


def test_long_traces_take_linear_time() -> None:
    started = time.process_time()
    for text in ("less " * 200_000, "\n" * 500_000, "heart " * 200_000):
        count_weighing(text)
        find_first_mention(text, CODE, TITLES, text)
    assert time.process_time() - started < 10
