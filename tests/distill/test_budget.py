"""Rare codes get more attempts, within a cap that is reported, and a hint from their guideline that names nothing."""

from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort

from deepicd.engines.tokens import TokenCounter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from distill.budget import plan_budget, quote_guideline
from distill.prompt_builder import Prompt, PromptBuilder
from distill.recipe import Recipe
from distill.run import distill
from distill.verification.rows import HINTS, MISLEADS, UNMET

RECIPE = Recipe(name="t", engine="rehearsal", model="none", attempts=1, rare_below=5, rare_attempts=3, rare_most=0.5)


@pytest.fixture(scope="module")
def knowledge(sample_folder: Path) -> Knowledge:
    return Knowledge(sample_folder, None).read()


def test_the_rarest_codes_come_first_and_the_cap_counts_what_it_leaves_out() -> None:
    rows_of = {"I214": 90, "J189": 4, "E1165": 3, "A3681": 3}
    budget = plan_budget(RECIPE.replace(rare_most=0.07), rows_of)
    assert budget.rare == {"A3681": 3, "E1165": 3}
    assert budget.beyond == 4
    assert [budget.get_attempts(Code(code)) for code in rows_of] == [1, 1, 3, 3]
    assert plan_budget(RECIPE.replace(rare_below=0), rows_of).describe() == {}
    with pytest.raises(DeepicdError, match="rare_attempts is 3"):
        RECIPE.replace(attempts=4)


def test_only_rejected_rows_of_rare_codes_are_tried_again_and_the_record_says_so(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 12, codes=("I214", "I214", "I214", "J189"))
    words = sorted(row["words"] for row in _write(cohort, tmp_path / "all", RECIPE))
    strict = RECIPE.replace(min_words=words[len(words) // 2])  # half of the traces are too short
    rows = _write(cohort, tmp_path / "out", strict)
    tried = {code: {row["attempts"] for row in rows if row["icd_code"] == code} for code in ("I214", "J189")}
    assert tried["I214"] == {1}
    assert max(tried["J189"]) > 1
    assert max(tried["J189"]) <= 3
    record = distill(cohort, tmp_path / "out", strict)
    asked = sum(row["icd_code"] == "J189" for row in rows)
    kept = len({row["note_id"] for row in rows if row["icd_code"] == "J189" and row["row_kept"]})
    assert record.counts.rare == {
        "attempts at most": 3, "codes": 1, "rows": record.counts.rare["rows"], "rows beyond the cap": 0,
        "rows kept": kept, "attempts": asked,
    }  # fmt: skip


def _write(cohort: Path, out: Path, recipe: Recipe) -> list[dict[str, object]]:
    distill(cohort, out, recipe)
    return [row for verdict in ("kept", "rejected") for row in rows_in(out / recipe.digest / verdict)]


def test_a_hint_quotes_the_guideline_of_a_rare_code_without_its_names(knowledge: Knowledge) -> None:
    code, title = Code("I214"), "Non-ST elevation (NSTEMI) myocardial infarction"
    plain = knowledge.build_excerpt(code, max_tokens=800)
    assert plain is not None
    assert "I21" in plain
    quoted = quote_guideline(knowledge, code, title, 800)
    assert quoted is not None
    assert not [name for name in ("I21", "NSTEMI", "myocardial infarction") if name.lower() in quoted.lower()]
    row = {"note_id": "n", "icd_code": "I214", "icd_title": title, "admission_note": "Pain."}
    hints = {"n": {0: HINTS[MISLEADS], 1: HINTS[UNMET]}}
    builder = PromptBuilder(RECIPE.replace(hint_tokens=800), knowledge, TokenCounter(), hints)
    last = [_end(builder, row, rollout) for rollout in (0, 1)]
    assert [quoted in text for text in last] == [False, False]  # the code is not rare
    builder.budget = plan_budget(builder.recipe, {"I214": 1, "J189": 9})
    last = [_end(builder, row, rollout) for rollout in (0, 1)]
    assert [text.endswith(quoted) for text in last] == [True, False]


def _end(builder: PromptBuilder, row: dict[str, str], rollout: int) -> str:
    built = builder.build(row)
    assert isinstance(built, Prompt)
    return built.for_rollout(rollout).messages[-1]["content"]
