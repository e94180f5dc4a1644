"""Nearness of codes."""

from hypothesis import given
from hypothesis import strategies as st

from deepicd.icd10cm import Code
from deepicd.scoring import measure_accuracy, measure_overlap

CODES = st.from_regex(r"[A-Z][0-9][0-9AB][0-9A-Z]{0,4}", fullmatch=True)


def test_overlap_counts_characters_without_dots() -> None:
    assert measure_overlap("I50.21", "I5023") == 4
    assert measure_overlap("I10", "J10") == 0
    assert measure_overlap("S72", "S72.001A") == 3
    assert measure_overlap("", "I10") == 0


@given(CODES)
def test_the_gold_answer_overlaps_in_full(code: str) -> None:
    assert measure_overlap(code, code) == len(code)


@given(CODES, CODES)
def test_overlap_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert measure_overlap(one, other) == measure_overlap(other, one) <= min(len(one), len(other))


def test_accuracy_is_counted_at_three_levels() -> None:
    truth = Code.parse("I50.21")
    guesses = [truth, Code.parse("I50.9"), Code.parse("I10"), Code.parse("J18.9"), None]
    assert measure_accuracy((guess, truth) for guess in guesses) == {"chapter": 0.6, "category": 0.4, "full": 0.2}
    assert measure_accuracy([]) == {"chapter": None, "category": None, "full": None}
