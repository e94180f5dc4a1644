"""Macro precision, recall and F1, against scikit-learn."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from deepicd.icd10cm import Code, load_release
from train.evaluation.bootstrap import MetricVector, compute_intervals, compute_p_values, draw_samples, split_terciles
from train.evaluation.metrics import (
    AVERAGINGS,
    LEVELS,
    Averaging,
    LevelName,
    LevelRows,
    average_classes,
    count_classes,
    get_class,
    score_classes,
    select_classes,
)

CODES = [Code(code.value) for code in load_release().list_codes()]
METRICS = ("macro_precision", "macro_recall", "macro_f1")


def draw_rows(seed: int, rows: int = 3000) -> tuple[list[Code], list[Code | None], set[Code]]:
    """Truths, predictions of which some are none or of no known class, and a vocabulary larger than the truth."""
    chance = random.Random(seed)
    every = chance.sample(CODES, 700)
    known, weights = every[:500], [1 / (place + 1) for place in range(500)]
    truths = chance.choices(known, weights, k=rows)
    guesses: list[Code | None] = [chance.choice([truth, truth, *chance.choices(every, k=2), None]) for truth in truths]
    return truths, guesses, set(known)


def average_with_scikit_learn(
    name: LevelName, truths: Sequence[Code], guesses: Sequence[Code | None], known: set[Code], averaging: Averaging
) -> list[float]:
    classes = {get_class(name, code) for code in known}
    true = [get_class(name, code) for code in truths]
    given = [
        "NIL" if code is None or (name != "chapter" and get_class(name, code) not in classes) else get_class(name, code)
        for code in guesses
    ]
    labels = {
        "truth": sorted(set(true)),
        "union": None,
        "vocabulary": sorted(classes) + (["NIL"] if name != "chapter" else []),
    }[averaging]
    found = precision_recall_fscore_support(true, given, labels=labels, average="macro", zero_division=0)
    return [*map(float, found[:3]), accuracy_score(true, given)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("averaging", AVERAGINGS)
def test_every_mean_is_scikit_learns(averaging: Averaging, seed: int) -> None:
    truths, guesses, known = draw_rows(seed)
    for name in LEVELS:
        level = LevelRows.build(name, truths, guesses, known)
        counts = count_classes(level)
        ours = average_classes(score_classes(counts), select_classes(level, counts, averaging))
        theirs = average_with_scikit_learn(name, truths, guesses, known, averaging)
        assert [*(ours[metric] for metric in METRICS), counts.accuracy] == pytest.approx(theirs, abs=1e-12, rel=0)


def test_a_weight_counts_a_row_as_often_as_it_says() -> None:
    truths, guesses, known = draw_rows(9, 400)
    weights = np.random.default_rng(0).integers(0, 4, 400)
    often = [place for place, number in enumerate(weights) for _ in range(number)]
    train = truths[:100]
    weighted = MetricVector(truths, guesses, vocabulary=known, train=train).compute(weights.astype(float))
    repeated = MetricVector(
        [truths[place] for place in often], [guesses[place] for place in often], vocabulary=known, train=train
    ).compute()
    assert weighted == pytest.approx(repeated, abs=1e-12)


def test_a_small_case_by_hand() -> None:
    truths = [Code("I5021"), Code("I5021"), Code("I10"), Code("J189")]
    guesses = [Code("I5021"), Code("I5023"), None, Code("I10")]
    level = LevelRows.build("category", truths, guesses)
    counts = count_classes(level)
    found = average_classes(score_classes(counts), select_classes(level, counts, "truth"))
    # I10: precision 0 of 1, recall 0 of 1; I50: 2 of 2; J18: never predicted
    assert found == {"macro_precision": 1 / 3, "macro_recall": 1 / 3, "macro_f1": 1 / 3}
    assert counts.accuracy == 0.5
    assert select_classes(level, counts, "union").sum() == 4  # NIL as well


def test_a_third_of_the_training_rows_makes_the_head() -> None:
    train = [Code("I10")] * 5 + [Code("J189")] * 3 + [Code("E119")] * 2 + [Code("K219")] * 2
    level = LevelRows.build("full", train, [None] * len(train), {*train, Code("Z3A08")})
    groups = {name: [one for one, inside in zip(level.classes, members, strict=False) if inside] for name, members in
              split_terciles(level, train).items()}  # fmt: skip
    assert groups == {"head": ["I10"], "middle": ["J189"], "tail": ["E119", "K219", "Z3A08"]}


def test_intervals_hold_the_value_and_pairs_are_compared_on_the_same_samples() -> None:
    truths, guesses, known = draw_rows(3, 800)
    better: list[Code | None] = [truth if place % 5 == 0 else guess for place, (truth, guess) in
                                 enumerate(zip(truths, guesses, strict=True))]  # fmt: skip
    vectors = [MetricVector(truths, answers, vocabulary=known) for answers in (better, guesses)]
    ours, theirs = draw_samples(vectors, 200, 1)
    place = vectors[0].names.index("full.macro_f1")
    low, high = compute_intervals(ours)[place]
    assert low < vectors[0].compute()[place] < high
    low, high = compute_intervals(ours - theirs)[place]
    assert 0 < low < high
    assert compute_p_values(ours - theirs)[place] == pytest.approx(2 / 201)
    assert compute_p_values(ours - ours)[place] == 1.0
    assert (draw_samples(vectors, 5, 7)[0] == draw_samples(vectors, 5, 7)[0]).all()


def test_intervals_hold_the_value_where_rare_classes_are_the_hard_ones() -> None:
    chance = random.Random(2)
    common, *rare = [next(codes) for _, codes in groupby(CODES, lambda code: code.category)][:600]
    truths = [common] * 100 + [code for place, code in enumerate(rare) for _ in range(1 + place % 4)]
    often = Counter(truths)
    guesses: list[Code | None] = [truth if chance.random() < often[truth] / 5 else None for truth in truths]
    vector = MetricVector(truths, guesses)
    [found] = draw_samples([vector], 200, 1)
    value, held = vector.compute(), compute_intervals(found)
    for name in ("category.macro_f1", "full.macro_f1", "full.macro_recall", "full.accuracy"):
        low, high = held[vector.names.index(name)]
        assert low < value[vector.names.index(name)] < high, name
