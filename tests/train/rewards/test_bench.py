"""The reward bench and the paper's tables."""

import json
from pathlib import Path
from typing import Any

import pytest
from cohorts import write_cohort
from conftest import Deepicd

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from train.rewards.bench import benchmark_rewards


@pytest.fixture(scope="module")
def results() -> Any:
    truths = [Code("I214")] * 6 + [Code("J189")] * 3 + [Code("S72001A")]
    return benchmark_rewards(truths, truths)


def test_the_default_rewards_have_every_property_that_training_relies_on(results: Any) -> None:
    assert all(results["properties"]["default"].values()), results["properties"]["default"]


def test_the_bench_finds_what_is_wrong_with_the_letter_and_the_job_files(results: Any) -> None:
    wrong = {
        variant: {name for name, holds in results["properties"][variant].items() if not holds}
        for variant in ("paper", "authors")
    }
    assert wrong == {
        "paper": {
            "gold_earns_most",
            "longer_prefix_never_less",
            "no_overlap_earns_least_of_well_formed",
            "letters_in_third_place_earn_the_form",
        },
        "authors": {"bounded"},
    }


def test_no_broken_or_hostile_answer_earns_anything_by_default(results: Any) -> None:
    cases = results["cases"]
    names = [case["case"] for case in cases]
    broken = cases[names.index("empty") : names.index("gold, third character a letter (C7A)")]
    assert len(broken) >= 20
    assert {case["default"]["total"] for case in broken} == {0.0}


def test_a_policy_that_does_not_read_the_note_earns_less_than_half_of_the_true_one(results: Any) -> None:
    earned = {policy["policy"]: policy["default"] for policy in results["policies"]}
    true = earned.pop("the true code")
    assert true == (6 * 5 + 3 * 5 + 8) / 10
    assert earned["always the commonest code (I21.4)"] == (6 * 5 + 4) / 10
    assert earned["always A00"] == 1.0
    assert earned["the 20 commonest codes, an answer each"] == earned["nothing"] == 0.0
    assert max(earned["always the longest code (S72.001A)"], earned["always the commonest letter, I99"]) < true / 2


def test_the_bench_is_printed_and_written(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 100, codes=("I214", "J189"))
    outcome = deepicd("train", "bench-rewards", cohort, "--json", tmp_path / "bench.json")
    assert outcome.code == 0, outcome.err
    assert "What a policy earns per note, over 20 notes" in outcome.out
    assert len(json.loads((tmp_path / "bench.json").read_text())["policies"]) == 8
    outcome = deepicd("train", "bench-rewards", tmp_path)
    assert outcome.code == 1
    assert "is neither a cohort nor a dataset" in outcome.err


def test_the_papers_rows_are_printed_beside_ours(tmp_path: Path, deepicd: Deepicd) -> None:
    row = {
        "note_id": "a",
        "icd_code": "I214",
        "completion": write_answer("Reasons.", Code("I214")),
        "origin": "synthetic",
    }
    (tmp_path / "answers.jsonl").write_text(json.dumps(row))
    command = ["evaluate", "--predictions", tmp_path / "answers.jsonl"]
    deepicd(*command, "--out", tmp_path / "one")
    deepicd(*command, "--out", tmp_path / "two", "--answers", "diagnosis")
    outcome = deepicd(
        "train", "table", f"7B, SFT={tmp_path / 'one'}", tmp_path / "two", "--json", tmp_path / "rows.json"
    )
    assert outcome.code == 0, outcome.err
    third, fourth = outcome.out.split("### Table 4")
    assert "| Llama-3.1-8B-Instruct, SFT + GRPO | DeepICD-R1 | 18,654 | 59.1 | 64.6 | 59.5 | 17.1 | 18.0 |" in third
    assert "| 7B, SFT | made-up records | 1 | 100.0 | 100.0 | 100.0 |" in third
    assert "| answers | made-up records | 1 | 100.0 |" in fourth
    assert "| Qwen2.5-7B-Instruct, SFT on outcome alone | DeepICD-R1 | 18,654 | – | – | 19.6 |" in fourth
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 15
    assert rows[-2]["full"]["f1"] == 100.0
    assert "holds no finished run" in deepicd("train", "table", tmp_path).err
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    (tmp_path / "one" / "metrics.json").write_text(json.dumps(metrics | {"category": {}}))
    assert "category.macro_precision is missing" in deepicd("train", "table", tmp_path / "one").err
