"""Splits: 70 / 10 / 20, over all and within the codes."""

from collections import Counter

from builders.splits import stratified

ROWS = [(f"note-{n}", f"I{10 + n % 40 if n % 3 else 10}") for n in range(5_000)]


def test_shares_hold_over_the_cohort() -> None:
    counted = Counter(stratified(ROWS, 42).values())
    assert counted == {"train": 3500, "test": 1000, "validation": 500}


def test_shares_hold_within_a_frequent_code() -> None:
    split_of = stratified(ROWS, 42)
    inside = [note_id for note_id, code in ROWS if code == "I10"]
    share = sum(split_of[note_id] == "train" for note_id in inside) / len(inside)
    assert 0.69 < share < 0.71


def test_a_single_row_of_a_code_is_in_train() -> None:
    rare = [(f"rare-{n}", f"A{n:02d}") for n in range(60)]
    split_of = stratified([*ROWS, *rare], 42)
    assert {split_of[note_id] for note_id, _ in rare} == {"train"}


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    assert stratified(ROWS, 42) == stratified(reversed(ROWS), 42)
    assert stratified(ROWS, 42) != stratified(ROWS, 43)
