"""Checks: what keeps a trace out of the dataset."""

import pytest

from deepicd.completion import write
from deepicd.icd10cm import Code
from distill.checks import Limits, reasons

CODE, LIMITS = Code.parse("I21.4"), Limits(5, 10)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        (write("one two three four five", CODE), "stop", []),
        (write("one two three four five", Code("I219")), "stop", ["wrong code"]),
        (write("one two", CODE), "stop", ["too short"]),
        (write("word " * 11, CODE), "stop", ["too long"]),
        (write("one two", Code("I10")), "stop", ["wrong code", "too short"]),
        ("<think>\none two three", "length", ["cut off", "form"]),
        ("<think>\none two three</think>", "stop", ["form"]),
        ("", "stop", ["form"]),
        (write("one two three four five", CODE), "length", ["cut off"]),
    ],
)
def test_each_fault_has_its_reason(text: str, finish: str, expected: list[str]) -> None:
    assert reasons(text, finish, CODE, LIMITS) == expected
