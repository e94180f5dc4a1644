"""What answers earn."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepicd.errors import DeepicdError
from train.rewards import score, trl
from train.rewards.outcome import OUTCOMES
from train.rewards.verl import compute_score

CODES = st.from_regex(r"[A-Z][0-9][0-9AB][0-9A-Z]{0,4}", fullmatch=True)
VARIANTS = ["default", "paper", "authors"]
PIECES = ["<think>", "</think>", "<diagnosis>", "</diagnosis>", "<", ">", "I50.21", "I10", "İ10", "\0", "\ud800", " "]
HOSTILE = st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))).map("".join))


def earns(text: str | None, truth: str = "I5021", variant: str = "default", **fields: Any) -> float:
    return score.score([text], [truth], score.parse_scheme(variant, **fields))[0].total


def answer(code: str) -> str:
    return f"<think>Crackles at both bases.</think><diagnosis>{code}</diagnosis>"


@pytest.mark.parametrize(
    ("text", "default", "paper", "authors"),
    [
        (answer("I5021"), 6.0, 5.0, 76.0),
        (answer("I50.21"), 6.0, 4.0, 76.0),  # no dot in the paper's pattern; the authors' code strips dots
        (answer("I5023"), 3.8, 3.8, 43.0),
        (answer("I10"), 1.2, 2.2, 4.0),
        (answer("J189"), 1.0, 3.0, 0.0),  # equation 1 pays no overlap 2
        (answer("I5021XX"), 5.0, 5.0, 61.0),  # longer than the true code
        ("", 0.0, 0.0, -6.0),
        ("\n", 0.0, 0.0, -1.0),
        ("I5021", 0.0, 0.0, -1.0),
        ("<think>Crackles.</think>", 0.0, 0.0, -1.0),
        (answer("I5021") * 2, 0.0, 4.0, 76.0),  # the authors' code looks for matches where lines begin
        (f"{answer('I5021')}\n" * 3, 0.0, 4.0, 74.0),
        ("<think>a</think>" + answer("I5021"), 0.0, 4.0, -1.0),
        (f"Well.\n{answer('I5021')} So.", 0.0, 5.0, 76.0),
        (f"Well. {answer('I5021')}", 0.0, 5.0, -1.0),
        (answer("I5021, J189"), 0.0, 0.0, 0.0),  # a list is no code; the authors' code pays the trace
        (answer("I5021 - acute heart failure"), 0.0, 0.0, 0.0),
        (answer("i5021"), 6.0, 2.0, 0.0),
        ("<think>Crackles.</think>\nSo:\n<diagnosis>I5021</diagnosis>", 0.0, 5.0, 75.0),
        ("<diagnosis>I5021</diagnosis><think>a</think>", 0.0, 5.0, 75.0),  # nobody's letter forbids the order
        ("<think></think><diagnosis>I5021</diagnosis>", 0.0, 4.0, 75.0),
    ],
)
def test_each_variant_pays_what_its_source_says(text: str, default: float, paper: float, authors: float) -> None:
    assert [round(earns(text, variant=variant), 9) for variant in VARIANTS] == [default, paper, authors]


@pytest.mark.parametrize("code", ["C7A8", "M1A9XX0", "Z3A08", "O9A12", "D3A00", "C4A0", "C7B1"])
def test_a_third_character_that_is_a_letter_costs_nothing_by_default(code: str) -> None:
    paid = {variant: score.score([answer(code)], [code], score.parse_scheme(variant))[0] for variant in VARIANTS}
    assert paid["default"].form == 1.0
    assert paid["paper"].form == 0.0
    assert (paid["authors"].form, paid["authors"].outcome) == (1.0, -1.0)  # the pattern decides their outcome


@given(CODES, st.data())
def test_a_longer_correct_prefix_never_pays_less(truth: str, data: st.DataObject) -> None:
    """Whatever stands behind the prefix, as long as it is wrong."""
    shorter, longer = sorted(data.draw(st.tuples(st.integers(0, len(truth)), st.integers(0, len(truth)))))
    tails = st.text("0123456789ABXY", max_size=4)
    one, other = truth[:shorter] + data.draw(tails), truth[:longer] + data.draw(tails)
    overlaps = [len([1 for n in range(1, len(truth) + 1) if guess[:n] == truth[:n]]) for guess in (one, other)]
    for variant in ("default", "authors"):
        paid = [OUTCOMES[variant](guess, truth) for guess in (one, other)]  # type: ignore[index]
        assert overlaps[0] >= overlaps[1] or paid[0] <= paid[1]


@given(CODES, CODES)
def test_nothing_earns_more_than_the_true_code(truth: str, other: str) -> None:
    for variant in ("default", "authors"):
        if variant == "authors" and not score.PAPER_PATTERN.fullmatch(truth):
            continue  # C7A, M1A, Z3A and others are no match for the authors' code, whatever is predicted
        gold, guess = (earns(answer(code), truth, variant) for code in (truth, other))
        assert guess < gold or other == truth


def test_the_letter_of_the_equation_pays_a_wrong_code_more_than_a_half_right_one() -> None:
    assert earns(answer("J189"), variant="paper") > earns(answer("I469"), variant="paper")
    assert earns(answer("J189")) < earns(answer("I469")) < earns(answer("I509"))


@given(HOSTILE, st.one_of(CODES, st.text(max_size=9)), st.sampled_from(VARIANTS))
def test_no_text_makes_a_reward_raise(text: str, truth: str, variant: str) -> None:
    scheme = score.parse_scheme(variant, length=1, repetition=1, opening="<think>")
    paid = score.score([text], [truth], scheme)[0]
    assert paid.total == paid.total and abs(paid.total) < 120
    assert compute_score("mimic-reason", text, truth, None, variant=variant)["score"] == earns(text, truth, variant)


def test_what_opened_the_turn_is_put_back() -> None:
    rest = answer("I5021").removeprefix("<think>")
    assert earns(rest) == 0.0
    assert earns(rest, opening="<think>") == 6.0
    assert earns("", variant="authors", opening="<think>") == -6.0


def test_an_ablation_leaves_its_part_out() -> None:
    assert earns(answer("I5021"), outcome=0) == 1.0
    assert earns(answer("I5021"), form=0) == 5.0
    assert earns("So: <diagnosis>I5021</diagnosis>", form=0) == 5.0  # without a form to keep, a code is a code


def test_length_and_loops_cost_only_when_asked_to() -> None:
    long = answer("I5021").replace("Crackles", "one two three four five six " * 200)
    assert earns(long) == 6.0
    assert earns(long, length=2) == 4.0
    assert 5.0 < earns(long, repetition=1) + 1 < 5.1 + 1
    assert earns(long, length=1, length_from=1000, length_to=2000) == pytest.approx(6 - 0.2, abs=0.01)


def test_no_score_pays_nothing_and_an_answer_without_a_trace_is_not_judged() -> None:
    scheme = score.parse_scheme("authors", judge=0.8)
    texts = [answer("I5021"), answer("I5021"), answer("C7A8"), "I5021", f"{answer('I5021')} I am certain."]
    paid = score.score(texts, ["I5021"] * 5, scheme, judged=[5, None, 4, None, None])
    assert [reward.judge for reward in paid] == [4.0, None, pytest.approx(3.2), -0.8, None]
    assert paid[4].form == 1.0


def test_a_misspelt_weight_is_named_with_its_nearest() -> None:
    with pytest.raises(DeepicdError, match="no field 'repetion'") as error:
        score.parse_scheme(repetion=1)
    assert "Did you mean repetition?" in error.value.advice
    with pytest.raises(DeepicdError, match="variant is 'authers'"):
        score.parse_scheme("authers")
    with pytest.raises(DeepicdError, match="no field 'several'"):
        score.parse_scheme(several=True)


def test_trl_gets_a_function_for_each_part_and_their_sum_is_the_reward() -> None:
    scheme = score.parse_scheme(length=1, judge=0.5)
    asked = []

    def judge(notes: Any, texts: Any) -> list[int | None]:
        asked.append((notes, texts))
        return [4, None]

    completions = [[{"role": "assistant", "content": answer("I5021")}], [{"role": "assistant", "content": "no"}]]
    columns = {
        "reward_model": [{"style": "rule", "ground_truth": "I5021"}] * 2,
        "extra_info": [{"note": "Dyspnea."}] * 2,
        "data_source": ["mimic-reason"] * 2,
    }
    functions = trl.build_reward_functions(scheme, judge)
    assert [function.__name__ for function in functions] == ["form", "outcome", "length", "judge"]
    paid = [function(prompts=["p"] * 2, completions=completions, **columns) for function in functions]
    assert [sum(part or 0 for part in parts) for parts in zip(*paid, strict=True)] == [8.0, 0.0]
    assert asked == [(["Dyspnea."] * 2, [answer("I5021"), "no"])]


def test_trl_leaves_the_judge_out_for_a_note_of_which_an_answer_got_no_score() -> None:
    texts = [answer("I5021"), answer("I5021"), answer("I10"), "no form"]
    columns = {
        "completions": texts,
        "reward_model": [{"ground_truth": "I5021"}] * 4,
        "extra_info": [{"note": note} for note in ("first", "first", "second", "second")],
    }
    [paid] = trl.build_reward_functions(
        score.parse_scheme(form=0, outcome=0, judge=0.2), lambda notes, texts: [5, None, 4, None]
    )
    assert paid(**columns) == [None, None, pytest.approx(0.8), None]


PARSED = {"role": "assistant", "reasoning_content": "Crackles.\n", "content": "<diagnosis>I5021</diagnosis>"}


@pytest.mark.parametrize(
    "message",
    [
        PARSED,
        PARSED | {"reasoning_content": None, "thinking": "Crackles."},
        PARSED | {"content": [{"type": "text", "text": "<diagnosis>I5021"}, {"type": "text", "text": "</diagnosis>"}]},
        {"content": [{"type": "thinking", "thinking": "Crackles."}, {"type": "text", "text": PARSED["content"]}]},
        {"content": answer("I5021")},
        {"content": [{"type": "text", "text": answer("I5021")}], "reasoning_content": ""},
    ],
)
@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_an_answer_that_trl_has_parsed_is_paid_as_a_whole(message: dict[str, Any], opening: str) -> None:
    columns = {"reward_model": [{"ground_truth": "I5021"}]}
    functions = trl.build_reward_functions(score.parse_scheme(opening=opening))
    assert [function(completions=[[message]], **columns)[0] for function in functions] == [1.0, 5.0]


def test_reasoning_that_was_cut_is_no_trace() -> None:
    assert trl.extract_texts([[{"reasoning_content": "Crackles and", "content": ""}]]) == ["<think>\nCrackles and"]


def test_verl_gets_the_score_and_numbers_only() -> None:
    found = compute_score("mimic-reason", answer("I5023"), "I5021", {"note": "Dyspnea."}, variant="authors")
    assert found == {"score": 43.0, "form": 1.0, "outcome": 42.0}


def test_verl_leaves_a_line_per_answer_without_its_text(tmp_path: Path) -> None:
    info = {"note": "Dyspnea.", "index": 7}
    score = compute_score("mimic-reason", answer("I5023"), "I5021", info, record=str(tmp_path))
    [path] = tmp_path.glob("*.jsonl")
    line = json.loads(path.read_text())
    assert (line["prompt"], line["words"], line["repeated"]) == (7, 4, 0.0)
    assert {name: line[name] for name in score} == score == {"score": 3.8, "form": 1.0, "outcome": 2.8}
    assert "Crackles" not in path.read_text() and "Dyspnea" not in path.read_text()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hostile_megabyte_is_scored_in_passing(variant: str) -> None:
    scheme = score.parse_scheme(variant, repetition=1, length=1)
    pair = "<think>a</think><diagnosis>I10</diagnosis>"
    for text in (
        "<" * 2**20,
        "<think>" * 2**17,
        pair * 2**14,
        "<diagnosis>" * 2**16,
        "<think>\n" * 2**17,
        "<diagnosis>\n" * 2**16,
        "I10 " * 2**18,
    ):
        assert score.score([text], ["I5021"], scheme)[0].total < 2 or variant != "default"


def test_rewards_load_no_table_and_no_heavy_library() -> None:
    heavy = ["torch", "simple_icd_10_cm", "numpy", "pyarrow", "httpx", "matplotlib", "datasets", "rich"]
    script = f"""
import sys
from train.rewards import trl, verl
paid = verl.compute_score("mimic-reason", {answer("I5023")!r}, "I5021", None)
assert paid["score"] == 3.8, paid
sys.exit(", ".join(set({heavy!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
