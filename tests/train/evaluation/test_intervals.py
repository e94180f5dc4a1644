"""Intervals from leaving out one note at a time."""

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from deepicd.evaluation_metrics import Metrics
from deepicd.icd10cm import Code, load_release
from train.evaluation.intervals import estimate_difference, estimate_interval, explain_no_interval, measure_spread
from train.evaluation.metric_vector import MetricVector
from train.evaluation.metrics_json import MetricSettings, compute_metrics
from train.evaluation.predictions import EvaluatedNote

CODES = [Code(code.value) for code in load_release().list_codes()]


def note(number: int, truth: str, predicted: str | None, patient: int | None = None) -> EvaluatedNote:
    note_id = f"{patient}-DS-{number}" if patient is not None else f"n{number:05d}"
    guess = Code(predicted) if predicted else None
    return EvaluatedNote(note_id, Code(truth), guess, None if guess else "missing tag", None)


def measure(notes: Sequence[EvaluatedNote], other: Sequence[EvaluatedNote] = ()) -> Metrics:
    return compute_metrics(notes, MetricSettings(origin="synthetic"), other)


def test_the_standard_error_of_an_accuracy_is_the_textbooks() -> None:
    truths = [Code("I214")] * 40
    guesses: list[Code | None] = [Code("I214")] * 30 + [None] * 10
    vector = MetricVector.build(truths, guesses)
    place = vector.names.index("full.accuracy")
    error = measure_spread(vector.compute_without_each()).standard_errors[place]
    assert error == pytest.approx((0.75 * 0.25 / 39) ** 0.5)


def test_notes_of_one_patient_count_once() -> None:
    singles = [note(number, "I214", "I214" if number % 2 else "J189", number) for number in range(60)]
    doubled = [note(number, "I214", "I214" if number // 2 % 2 else "J189", number // 2) for number in range(120)]
    one, two = measure(singles), measure(doubled)
    assert (one.intervals.patients, two.intervals.patients) == (60, 60)
    assert one.full.interval["accuracy"] == pytest.approx(two.full.interval["accuracy"])


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        (0, 20, "no answer is right"),
        (20, 0, "no answer is wrong"),
        (2, 20, "fewer than 3 answers are right"),
        (20, 2, "fewer than 3 answers are wrong"),
        (3, 3, None),
        (1, 0, "no answer is wrong"),
        (0, 1, "no answer is right"),
    ],
)
def test_where_no_interval_covers_there_is_none_and_the_reason_is_given(
    right: int, wrong: int, reason: str | None
) -> None:
    assert explain_no_interval(right, wrong) == reason
    notes = [note(number, "I214", "I214" if number < right else "J189") for number in range(right + wrong)]
    metrics = measure(notes)
    assert metrics.intervals.missing.get("full.accuracy") == reason
    assert (metrics.full.interval["accuracy"] is None) == (reason is not None)


def test_an_interval_lies_between_0_and_1_and_around_its_value() -> None:
    chance = random.Random(4)
    rare = chance.sample(CODES, 200)
    notes = [
        note(n, code.value, code.value if chance.random() < 0.02 or n < 3 else None) for n, code in enumerate(rare)
    ]
    metrics = measure(notes)
    for level in (metrics.chapter, metrics.category, metrics.full):
        low, high = level.interval["macro_f1"] or [1.0, 0.0]
        assert 0 < low < level.macro_f1 < high < 1


def test_a_class_of_one_note_widens_the_interval_as_leaving_it_out_removes_the_class() -> None:
    """Ten classes of one note each, half of them right: without a right one, 4 of 9 are left."""
    codes = [code.value for code in CODES[:4000:400]]
    metrics = measure([note(n, code, code if n % 2 else None) for n, code in enumerate(codes)])
    vector = MetricVector.build(
        [Code(code) for code in codes], [Code(c) if n % 2 else None for n, c in enumerate(codes)]
    )
    without = vector.compute_without_each()[:, vector.names.index("full.macro_f1")]
    assert sorted(set(without.round(12))) == [round(4 / 9, 12), round(5 / 9, 12)]
    low, high = metrics.full.interval["macro_f1"] or [0.0, 0.0]
    assert (low, high) == pytest.approx((0.181, 0.819), abs=0.001)


def test_runs_that_disagree_on_few_notes_are_not_told_apart() -> None:
    ours = [note(number, "I214", "I214") for number in range(40)]
    five = [note(number, "I214", "J189" if number < 5 else "I214") for number in range(40)]
    six = [note(number, "I214", "J189" if number < 6 else "I214") for number in range(40)]
    few, more = (measure(ours, other).comparison or {} for other in (five, six))
    assert (few["full.accuracy"].interval, few["full.accuracy"].p) == (None, None)
    assert more["full.accuracy"].p == pytest.approx(0.01236, abs=1e-5)  # t = 0.15 / sqrt(0.15 · 0.85 / 39)
    assert more["full.accuracy"].difference == pytest.approx(0.15)


def test_degenerate_figures_have_no_interval() -> None:
    assert estimate_interval(1.0, 0.1, 10.0) is None
    assert estimate_interval(0.5, 0.0, 10.0) is None
    assert estimate_difference(0.1, 0.1, 1) is None
    assert measure_spread(np.empty((0, 3))).standard_errors.tolist() == [0, 0, 0]


def test_the_documentation_has_the_measured_coverage() -> None:
    from benchmarks.intervals import DOC, RESULT, format_tables

    measured = json.loads(RESULT.read_text())["rows"]
    f1 = [row for row in measured if row["figure"].endswith("macro_f1")]
    assert {row["rows"] for row in f1} == {61, 332, 1865, 18654} and len(f1) == 4 * 3 * 3
    assert all(0.90 <= row["coverage"] <= 0.99 for row in f1)
    assert all(0.02 <= row["independent"] <= 0.08 for row in f1)
    assert format_tables() in DOC.read_text()
