"""Splits: 70 / 10 / 20, over all and within the codes, by either rule."""

from collections import Counter

import pytest

from builders.cohort.splits import RULES, Rule, Stay, split_by_code, split_by_patient, summarize_splits

# 5,000 stays of 3,000 patients, one frequent code and forty others
STAYS = [Stay(f"note-{n}", n % 3_000, f"I{10 + n % 40 if n % 3 else 10}", n) for n in range(5_000)]
BOTH = pytest.mark.parametrize("rule", list(RULES))


@BOTH
def test_shares_hold_over_the_cohort(rule: Rule) -> None:
    counted = Counter(RULES[rule](STAYS, 42).values())
    assert counted["train"] == pytest.approx(3500, abs=10)
    assert counted["test"] == pytest.approx(1000, abs=10)
    assert counted["validation"] == pytest.approx(500, abs=10)


@BOTH
def test_shares_hold_within_each_code(rule: Rule) -> None:
    split_of = RULES[rule](STAYS, 42)
    for code in {stay.code for stay in STAYS}:
        inside = [stay.note_id for stay in STAYS if stay.code == code]
        share = sum(split_of[note_id] == "train" for note_id in inside) / len(inside)
        assert share == pytest.approx(0.7, abs=0.05), code


@BOTH
def test_a_single_row_of_a_code_is_in_train(rule: Rule) -> None:
    rare = [Stay(f"rare-{n}", 9_000 + n, f"A{n:02d}", n) for n in range(60)]
    split_of = RULES[rule]([*STAYS, *rare], 42)
    assert {split_of[stay.note_id] for stay in rare} == {"train"}


@BOTH
def test_no_split_asks_for_a_code_that_train_never_shows(rule: Rule) -> None:
    tail = [Stay(f"tail-{n}", 9_000 + n, f"B{n // 2:03d}", n) for n in range(600)]
    split_of = RULES[rule](tail, 42)
    shown = {stay.code for stay in tail if split_of[stay.note_id] == "train"}
    assert shown == {stay.code for stay in tail}
    assert len(set(split_of.values())) == 3


@BOTH
def test_the_order_of_rows_does_not_matter_and_the_seed_does(rule: Rule) -> None:
    assert RULES[rule](STAYS, 42) == RULES[rule](reversed(STAYS), 42)
    assert RULES[rule](STAYS, 42) != RULES[rule](STAYS, 43)


def test_a_patient_stands_on_one_side_only_by_the_rule_of_that_name() -> None:
    assert summarize_splits(STAYS, split_by_patient(STAYS, 42))["patients_on_several_sides"] == 0
    found = summarize_splits(STAYS, split_by_code(STAYS, 42))
    assert found["patients"] == 3_000
    assert int(str(found["patients_on_several_sides"])) > 500


def test_the_report_measures_how_far_codes_moved() -> None:
    stays = [Stay("a", 1, "I10", 1), Stay("b", 2, "I10", 2), Stay("c", 3, "J18", 3), Stay("d", 4, "J18", 4)]
    split_of = {"a": "train", "b": "train", "c": "train", "d": "test"}
    assert summarize_splits(stays, split_of)["moved"] == {"train": round((2 / 3 - 1 / 2), 4), "test": 0.5}
