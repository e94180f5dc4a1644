"""Macro precision, recall and F1, against scikit-learn."""

import random
from collections.abc import Sequence

import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from deepicd.icd10cm import Code, load_release
from train.evaluation.metric_vector import split_terciles
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
        ours = average_classes(score_classes(counts), select_classes(level.known, counts, averaging))
        theirs = average_with_scikit_learn(name, truths, guesses, known, averaging)
        assert [*(ours[metric] for metric in METRICS), counts.accuracy] == pytest.approx(theirs, abs=1e-12, rel=0)


def test_a_small_case_by_hand() -> None:
    truths = [Code("I5021"), Code("I5021"), Code("I10"), Code("J189")]
    guesses = [Code("I5021"), Code("I5023"), None, Code("I10")]
    level = LevelRows.build("category", truths, guesses)
    counts = count_classes(level)
    found = average_classes(score_classes(counts), select_classes(level.known, counts, "truth"))
    # I10: precision 0 of 1, recall 0 of 1; I50: 2 of 2; J18: never predicted
    assert found == {"macro_precision": 1 / 3, "macro_recall": 1 / 3, "macro_f1": 1 / 3}
    assert counts.accuracy == 0.5
    assert select_classes(level.known, counts, "union").sum() == 4  # NIL as well


def test_a_third_of_the_training_rows_makes_the_head() -> None:
    train = [Code("I10")] * 5 + [Code("J189")] * 3 + [Code("E119")] * 2 + [Code("K219")] * 2
    level = LevelRows.build("full", train, [None] * len(train), {*train, Code("Z3A08")})
    groups = {name: [one for one, inside in zip(level.classes, members, strict=False) if inside] for name, members in
              split_terciles(level, train).items()}  # fmt: skip
    assert groups == {"head": ["I10"], "middle": ["J189"], "tail": ["E119", "K219", "Z3A08"]}
