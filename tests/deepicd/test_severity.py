"""Pairs of codes that differ in severity only, from the titles of the release."""

import pytest

from deepicd.evaluation_metrics import SeverityErrors
from deepicd.icd10cm import Code
from deepicd.severity import differs_in_severity
from train.evaluation.metrics_json import MetricSettings, compute_metrics, count_severity_errors
from train.evaluation.predictions import EvaluatedNote


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        ("I200", "I209", True),  # unstable angina, angina
        ("J441", "J449", True),  # COPD with and without exacerbation
        ("J4521", "J4520", True),
        ("I5021", "I5023", True),  # acute, acute on chronic
        ("F320", "F322", True),
        ("N1830", "N184", True),
        ("K250", "K254", True),  # acute and chronic, both with hemorrhage
        ("E1010", "E109", True),
        ("R6520", "R6521", True),
        ("L89152", "L89154", True),
        ("L89152", "L89142", False),  # another place
        ("I5021", "I5031", False),  # another kind
        ("I214", "I200", False),  # another category
        ("E1010", "E1110", False),
        ("S66304S", "S66394S", False),  # unspecified and other are no severity
        ("J441", "J441", False),
        ("J441", "J44ZZ", False),  # no such code
    ],
)
def test_a_pair_differs_in_severity_or_in_more(first: str, second: str, differs: bool) -> None:
    assert differs_in_severity(Code(first), Code(second)) is differs
    assert differs_in_severity(Code(second), Code(first)) is differs


def test_errors_of_severity_are_counted_apart_and_withheld_for_credentialed_rows() -> None:
    pairs = [("I200", "I209"), ("I200", "I209"), ("J441", "J449"), ("J441", "J189"), ("I214", "I214"), ("I214", None)]
    notes = [
        EvaluatedNote(f"{n}-DS-1", Code(truth), Code(guess) if guess else None, None if guess else "missing tag", None)
        for n, (truth, guess) in enumerate(pairs)
    ]
    expected = SeverityErrors(errors=4, severity_only=3, pairs={"I20.9 for I20.0": 2, "J44.9 for J44.1": 1})
    assert count_severity_errors(notes) == expected
    assert compute_metrics(notes, MetricSettings(origin="synthetic")).severity == expected
    assert compute_metrics(notes, MetricSettings(origin="mimic")).severity is None
