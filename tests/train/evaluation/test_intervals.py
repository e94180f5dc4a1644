"""Intervals from leaving out patients, and comparisons of two runs by swapping their answers."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from deepicd.evaluation_metrics import Metrics
from deepicd.icd10cm import Code, load_release
from train.evaluation.comparison import swap_answers
from train.evaluation.intervals import Spread, estimate_interval, estimate_share, explain_no_interval, measure_spread
from train.evaluation.metric_vector import MetricVector
from train.evaluation.metrics import AVERAGINGS, Averaging, count_classes, score_classes, select_classes
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
    figures = {figure.name: figure for figure in MetricVector.build(truths, guesses).figures}
    assert figures["full.accuracy"].spread.error == pytest.approx((0.75 * 0.25 / 39) ** 0.5)
    low, high = estimate_share(0.75, figures["full.accuracy"].spread, 40) or [0.0, 0.0]
    assert (low, high) == (pytest.approx(0.5908, abs=1e-4), pytest.approx(0.8618, abs=1e-4))  # Wilson, n = 39, t


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


def test_classes_of_one_note_leave_the_mean_with_it_and_the_pairs_are_taken_into_account() -> None:
    """Ten classes of one note, half of them right: each moves the mean by 0.05, and no two together by more."""
    codes = [code.value for code in CODES[:4000:400]]
    metrics = measure([note(n, code, code if n % 2 else None) for n, code in enumerate(codes)])
    low, high = metrics.full.interval["macro_recall"] or [0.0, 0.0]
    error = (10 * 0.05**2 * 10 / 9) ** 0.5
    assert [low, high] == pytest.approx(estimate_interval(0.5, Spread(error, 9.0)))


def test_the_spread_is_less_by_half_of_what_pairs_change_beyond_each_alone() -> None:
    changes = np.array([0.1, -0.1, 0.2, -0.2])
    assert measure_spread(changes, 0.04).error == pytest.approx(((0.1 - 0.02) * 4 / 3) ** 0.5)
    assert measure_spread(changes, 9.0).error == pytest.approx((0.05 * 4 / 3) ** 0.5)


@pytest.mark.parametrize("averaging", AVERAGINGS)
def test_changes_are_those_of_measuring_without_a_patient_or_two(averaging: Averaging) -> None:
    """Against a plain program that leaves out each patient, and each pair, and measures the rest again."""
    chance = random.Random(5)
    known = chance.sample(CODES, 12)
    truths = [chance.choice(known) for _ in range(30)]
    guesses = [chance.choice([truth, *known[:6], None]) for truth in truths]
    patients = np.array([number // 2 if number < 10 else number for number in range(30)])
    vector = MetricVector.build(truths, guesses, patients=patients, averaging=averaging, vocabulary=set(known))
    rows, people = vector.levels["full"], np.unique(patients)

    def weigh(*without: int) -> float:
        """Return what is left of the sum over classes of (F1 - mean) / classes."""
        kept = ~np.isin(patients, without)
        counts = count_classes(replace(rows, truth=rows.truth[kept], predicted=rows.predicted[kept]))
        every = count_classes(rows)
        number = select_classes(rows.known, every, averaging).sum()
        over = select_classes(rows.known, counts, averaging)
        return float(((score_classes(counts).f1 - vector.values["full.macro_f1"]) * over).sum() / number)

    changes = np.array([weigh() - weigh(one) for one in people])
    excess = sum(
        (weigh() - weigh(one) - weigh(other) + weigh(one, other)) ** 2 for one, other in combinations(people, 2)
    )
    figure = next(figure for figure in vector.figures if figure.name == "full.macro_f1")
    assert figure.spread.error == pytest.approx(measure_spread(changes, excess).error, rel=0.05)
    assert figure.spread.freedom == pytest.approx(measure_spread(changes, excess).freedom)


def test_runs_that_disagree_on_few_patients_are_not_told_apart() -> None:
    ours = [note(number, "I214", "I214") for number in range(40)]
    five = [note(number, "I214", "J189" if number < 5 else "I214") for number in range(40)]
    six = [note(number, "I214", "J189" if number < 6 else "I214") for number in range(40)]
    few, more = (measure(ours, other).comparison or {} for other in (five, six))
    assert (few["full.accuracy"].interval, few["full.accuracy"].p) == (None, None)
    assert more["full.accuracy"].p == pytest.approx(1 / 2**6, abs=0.005)  # half of the two swaps in 2^6 that tie
    assert more["full.accuracy"].difference == pytest.approx(0.15)
    together = [[note(n, "I214", one.predicted and one.predicted.value, 7) for n, one in enumerate(run)]
                for run in (ours, six)]  # fmt: skip
    assert (measure(*together).comparison or {})["full.accuracy"].p is None  # one patient


@pytest.mark.parametrize("averaging", AVERAGINGS)
def test_swapping_answers_in_closed_form_is_measuring_swapped_runs(averaging: Averaging) -> None:
    chance = random.Random(6)
    known = chance.sample(CODES, 15)
    truths = [chance.choice(known) for _ in range(40)]
    runs = [[chance.choice([truth, truth, *known[:5], None]) for truth in truths] for _ in range(2)]
    patients = np.array([number // 2 for number in range(40)])

    def build(answers: list[Code | None]) -> MetricVector:
        return MetricVector.build(truths, answers, patients=patients, averaging=averaging, vocabulary=set(known))

    ours, theirs = map(build, runs)
    swaps = np.random.default_rng(1).integers(0, 2, (20, 20)).astype(bool)
    found = swap_answers(ours.levels["full"], theirs.levels["full"], patients, swaps, averaging)
    for place, swap in enumerate(swaps):
        pairs = [(b, a) if swap[patient] else (a, b) for a, b, patient in zip(*runs, patients, strict=True)]
        one, other = (build(list(run)) for run in zip(*pairs, strict=True))
        for metric, differences in found.items():
            expected = one.values[f"full.{metric}"] - other.values[f"full.{metric}"]
            assert differences[place] == pytest.approx(expected, abs=1e-12)


def test_degenerate_figures_have_no_interval() -> None:
    assert estimate_interval(1.0, Spread(0.1, 10.0)) is None
    assert estimate_interval(0.5, Spread(0.0, 10.0)) is None
    assert estimate_share(0.0, Spread(0.1, 10.0), 5) is None
    assert measure_spread(np.empty(0)) == measure_spread(np.ones(1)) == Spread(0.0, 1.0)


def test_the_documentation_has_the_measured_coverage() -> None:
    from benchmarks.intervals import DOC, RESULT, format_tables

    document = json.loads(RESULT.read_text())
    assert {row["rows"] for row in document["rows"]} == {61, 332, 1865, 18654}
    for row in document["rows"]:
        chance = 3 * (0.05 * 0.95 / document["trials"][str(row["rows"])]) ** 0.5  # of the simulation itself
        for name, low, high in (("coverage", 0.9, 0.98), ("independent", 0.02, 0.08), ("similar", 0.02, 0.08)):
            assert row[name] is None or low - chance <= row[name] <= high + chance, row
    assert format_tables() in DOC.read_text()
