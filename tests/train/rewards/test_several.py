"""The reward for several diagnoses."""

import pytest

from deepicd.answer_form import write_answer, write_answers
from deepicd.icd10cm import Code
from train.rewards import score, trl, verl
from train.rewards.bench_cases import build_list_cases
from train.rewards.outcome import measure_f1, score_list

TRUTH = ("I214", "I10", "E871", "E119")
TEXT = write_answers("Pressure.", map(Code, TRUTH))
SEVERAL = score.parse_scheme("several")
EARNED = {case.name: score.score([case.text], [case.truth], SEVERAL)[0] for case in build_list_cases()}


@pytest.mark.parametrize(
    ("codes", "earned"),
    [
        (TRUTH, 5.0),  # first 1, list 1
        (("I214", "E119", "E871", "I10"), 5.0),  # the order of the others earns nothing
        (("I10", "I214", "E871", "E119"), 5 * (0.25 / 4 + 1) / 2),  # first: the I, list 1
        (("I214",), 3.5),  # list 2 · 1 / (1 + 4)
        (("I219", "I10", "E871", "E119"), 5 * (1.75 / 4 + 7 / 8) / 2),  # first: I21, list 2 · 3.5 / 8
        ((*TRUTH, "J189"), 5 * (1 + 8 / 9) / 2),
        (TRUTH * 2, 5 * (1 + 8 / 12) / 2),
        (("J189", "A419"), 0.0),
        ((), 0.0),
    ],
)
def test_half_is_for_the_first_code_and_half_for_the_list(codes: tuple[str, ...], earned: float) -> None:
    assert score_list(codes, TRUTH) == pytest.approx(earned)


def test_a_true_code_is_hit_once_also_by_its_category() -> None:
    assert measure_f1(["E1121", "E1122", "E1165"], ["E119"]) == 2 * 0.5 / 4
    assert measure_f1(["E119", "E1122"], ["E119"]) == 2 * 1 / 3


def test_the_true_list_alone_earns_most_of_all_cases() -> None:
    best = EARNED["gold"].total
    assert best == 6.0
    equals = {name for name, reward in EARNED.items() if reward.total >= best}
    assert equals == {"gold", "the others in reverse"}


def test_lists_of_everything_repetition_and_games_with_the_order_lose() -> None:
    honest = EARNED["the first alone"].total
    assert honest == pytest.approx(1 + 5 * (1 + 2 / 6) / 2)
    for name in ("the 40 commonest", "all in reverse", "as many wrong ones before", "the first five times",
                 "five codes of the first one's category", "the first, then the 40 commonest"):  # fmt: skip
        assert EARNED[name].total < honest, name
    assert EARNED["each twice"].total < EARNED["one more, wrong"].total < EARNED["gold"].total


def test_another_form_earns_nothing() -> None:
    for name in ("a word between the blocks", "a block without a code", "all codes in one block", "no trace"):
        assert EARNED[name].total == 0.0, name


def test_an_answer_of_one_diagnosis_is_an_answer() -> None:
    (reward,) = score.score([write_answer("Pressure.", Code("I214"))], ["I214, I10"], SEVERAL)
    assert (reward.form, reward.outcome) == (1.0, pytest.approx(5 * (1 + 2 / 3) / 2))


def test_trl_and_verl_pay_the_same_from_a_row_of_the_config() -> None:
    truth = ", ".join(TRUTH)
    paid = verl.compute_score("mimic-reason", TEXT, truth, {"index": 0}, variant="several")
    assert paid == {"score": 6.0, "form": 1.0, "outcome": 5.0}
    functions = trl.build_reward_functions(SEVERAL)
    by_part = {
        function.__name__: function(completions=[TEXT], reward_model=[{"ground_truth": truth}])
        for function in functions
    }
    assert by_part == {"form": [1.0], "outcome": [5.0]}


def test_a_judge_reads_the_trace_with_the_first_code() -> None:
    assert score.complete_answer(TEXT, SEVERAL) == write_answer("Pressure.", Code("I214"))
    assert score.has_trace(TEXT, SEVERAL)
    assert not score.has_trace(TEXT, score.DEFAULT)
