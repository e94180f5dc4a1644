"""Readers of the card of a model, of its dataset and of a later model find no answers of fewer than ten patients."""

import random
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from cards.hub.differences import find_small_differences
from cards.model_card import LEVELS, list_shown_counts, select_chapters, suppress_scores
from deepicd.evaluation_metrics import Metrics
from deepicd.icd10cm import Code
from train.evaluation.metrics_json import MetricSettings, compute_metrics
from train.evaluation.predictions import EvaluatedNote

CODES = [Code(code) for code in ("I214", "I2510", "I5021", "I5023", "J189", "J159", "N179", "K3580", "A419")]
RIGHT = ("full", "category", "chapter", "none")
"""How far an answer is right: groups that do not overlap. A level's accuracy counts those up to it."""


def answer(drawn: random.Random, skill: float, patient: int, number: int) -> EvaluatedNote:
    truth = drawn.choice(CODES)
    near = [code for code in CODES if code.chapter == truth.chapter]
    predicted = truth if drawn.random() < skill else drawn.choice((*near, *drawn.choices(CODES, k=2)))
    return EvaluatedNote(f"{patient}-DS-{number}", truth, predicted, None, None)


def draw_answers(drawn: random.Random, patients: int, first: int = 0) -> list[EvaluatedNote]:
    skill, most = drawn.choice([0.03, 0.3, 0.6, 0.95]), drawn.choice([1, 1, 6])
    return [
        answer(drawn, skill, patient, stay)
        for patient in range(first, first + patients)
        for stay in range(drawn.randint(1, most))
    ]


def evaluate(notes: list[EvaluatedNote]) -> Metrics:
    return compute_metrics(notes, MetricSettings(origin="mimic"))


def count_groups(notes: list[EvaluatedNote]) -> tuple[Counter[str], dict[str, set[str]]]:
    """Rows and patients by how far an answer is right, counted by other code than the evaluation's."""
    rows, patients = Counter[str](), {name: set[str]() for name in RIGHT}
    for note in notes:
        said = str(note.predicted or "")
        how = "none" if said[:1] != str(note.truth)[:1] else "chapter"  # each letter of CODES is one chapter
        how = "category" if said[:3] == str(note.truth)[:3] else how
        how = "full" if said == str(note.truth) else how
        rows[how] += 1
        patients[how].add(note.note_id.split("-")[0])
    return rows, patients


def read_card(metrics: Metrics) -> dict[str, float]:
    """Level → accuracy to four places, as the card's YAML has it; those that are shown."""
    shown: dict[str, Any] = suppress_scores(metrics)
    return {name: round(shown[name]["accuracy"], 4) for name in LEVELS if shown[name]["accuracy"] is not None}


def solve(accuracies: dict[str, float], rows: int, wanted: tuple[str, ...]) -> tuple[float, float]:
    """The fewest and the most answers of some groups, by accuracies and the rows that the dataset's card tells."""
    known = [LinearConstraint(np.ones((1, 4)), rows, rows)]
    for name, accuracy in accuracies.items():
        upto = [[1.0 if place <= RIGHT.index(name) else 0.0 for place in range(4)]]
        known.append(LinearConstraint(upto, (accuracy - 0.000051) * rows, (accuracy + 0.000051) * rows))
    goal = np.array([group in wanted for group in RIGHT], float)
    found = [milp(sign * goal, constraints=known, integrality=np.ones(4)) for sign in (1, -1)]
    assert [one.status for one in found] == [0, 0]
    return float(found[0].fun), float(-found[1].fun)


@pytest.mark.parametrize("seed", range(40))
def test_a_model_card_beside_the_datasets_tells_no_answers_of_few_patients(seed: int) -> None:
    drawn = random.Random(seed)
    notes = draw_answers(drawn, drawn.randint(5, 150))
    metrics, (rows, patients) = evaluate(notes), count_groups(notes)
    shown = read_card(metrics)
    if len(notes) < 10:  # nor does the dataset's card tell how many
        assert set(shown.values()) <= {0.0}
        return
    for group in RIGHT:
        if 0 < len(patients[group]) < 10:
            least, most = solve(shown, len(notes), (group,))
            assert most > 9.9 and most - least > 9.9, (group, least, most, rows)
    if "chapter" not in shown:
        assert select_chapters(metrics, careful=True) == []


@pytest.mark.parametrize("seed", range(40))
def test_a_later_evaluation_of_the_same_model_is_named_or_tells_no_small_difference(seed: int) -> None:
    """Some patients more; the answers to the others are the same."""
    drawn = random.Random(seed)
    notes = draw_answers(drawn, 150)
    more = [*notes, *draw_answers(drawn, drawn.choice((1, 4, 12, 60)), first=1000)]
    before, now = evaluate(notes), evaluate(more)
    found = find_small_differences(list_shown_counts(before, "a"), list_shown_counts(now, "a"))
    if len(more) - len(notes) < 10:
        assert "rows/grpo/test" in found or not read_card(now) or not read_card(before)
    if not found:
        (rows, _), (later, _) = count_groups(notes), count_groups(more)
        for size in (1, 2, 3):
            for groups in combinations(RIGHT, size):
                if 0 < sum(later[group] - rows[group] for group in groups) < 10:
                    low, high = solve(read_card(before), len(notes), groups)
                    least, most = solve(read_card(now), len(more), groups)
                    assert max(abs(least - high), abs(most - low)) > 9.9, groups


def test_another_model_on_the_same_rows_is_no_later_version() -> None:
    drawn = random.Random(1)
    notes = draw_answers(drawn, 150)
    metrics = evaluate(notes)
    other = evaluate([*notes[:-1], EvaluatedNote(notes[-1].note_id, notes[-1].truth, None, None, None)])
    assert find_small_differences(list_shown_counts(metrics, "a"), list_shown_counts(other, "b")) == []


def test_a_model_card_is_held_against_the_datasets_card_of_another_version() -> None:
    metrics = evaluate(draw_answers(random.Random(1), 150))
    shown = list_shown_counts(metrics, "a")
    assert shown["rows/grpo/test"] == metrics.rows
    assert "test" in find_small_differences({"rows/grpo/test": metrics.rows - 4}, shown)
