"""The config multi: the first diagnosis and those others of the stay that the admission note supports."""

import json
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.dataset.assemble import AssembleOptions, assemble
from deepicd import records
from deepicd.answer_form import Answers, parse_answers
from deepicd.changed_inputs import accept_changes
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.stage_records import AssembleRecord
from distill import run
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none", attempts=1)
STAYS = range(20000001, 20000041)
CODES = [(1, "I214"), (2, "N179"), (3, "I10"), (5, "E871"), (6, "J449")]
TEXT = "Pressure for two hours. She has HTN and no COPD, and was pale. Na 128. It woke her from sleep at night."


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi")
    copy = write_copy(
        folder / "copy",
        [row for hadm_id in STAYS for row in stay(hadm_id, CODES)],
        [discharge(hadm_id, note("Chest pain", TEXT)) for hadm_id in STAYS],
    )
    build(copy, copy, folder / "cohort")
    run.distill(folder / "cohort", folder / "traces", RECIPE, rehearse=True)
    assemble(folder / "cohort", folder / "traces", folder / "plain")
    assemble(folder / "cohort", folder / "traces", folder / "dataset", AssembleOptions(config="multi"))
    return folder


@pytest.fixture(scope="module")
def rows(root: Path) -> list[dict[str, Any]]:
    return rows_in(root / "dataset" / "multi")


def test_a_row_lists_what_the_note_supports_and_apart_what_it_does_not(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["icd_codes"] == ["I214", "I10", "E871"]
        assert row["not_supported"] == ["N179", "J449"]
        assert row["reward_model"] == {"style": "rule", "ground_truth": "I214, I10, E871"}
        text = row["extra_info"]["note"]
        places = [(one["icd_code"], one["by"], text[one["note_start"] : one["note_end"]]) for one in row["support"]]
        assert places == [("I10", "finding", "HTN"), ("E871", "value", "Na 128")]


def test_the_answer_is_the_kept_trace_with_a_block_per_code(root: Path, rows: list[dict[str, Any]]) -> None:
    traces = {row["note_id"]: row["trace"] for row in rows_in(root / "dataset" / "traces")}
    assert traces
    for row in rows:
        if row["note_id"] not in traces:
            assert row["completion"] is None
            continue
        [answer] = row["completion"]
        codes = (Code("I214"), Code("I10"), Code("E871"))
        assert parse_answers(answer["content"]) == Answers(traces[row["note_id"]], codes)


def test_the_prompt_asks_for_several_and_gives_none_away(rows: list[dict[str, Any]]) -> None:
    system, user = rows[0]["prompt"]
    assert "<diagnosis>the next code, without a dot</diagnosis>" in system["content"]
    assert user["content"] == rows[0]["extra_info"]["note"]
    assert not [code for _, code in CODES if code in json.dumps(rows[0]["prompt"])]


def test_rows_are_those_of_grpo_in_its_order(root: Path, rows: list[dict[str, Any]]) -> None:
    assert [row["extra_info"] for row in rows] == [row["extra_info"] for row in rows_in(root / "dataset" / "grpo")]


def test_other_configs_are_the_same_bytes_with_and_without_it(root: Path) -> None:
    plain = records.require(root / "plain", AssembleRecord)
    with_multi = records.require(root / "dataset", AssembleRecord)
    assert plain.outputs.items() <= with_multi.outputs.items()
    assert "config" not in plain.options
    assert "listed" not in json.loads((root / "plain" / "run.json").read_text())["counts"]
    assert with_multi.counts.listed == {"by finding": 40, "by value": 40, "not supported": 80}


def test_a_cohort_without_outcomes_is_refused_in_words(root: Path, tmp_path: Path) -> None:
    (root / "cohort" / "outcome").rename(tmp_path / "outcome")
    try:
        with accept_changes(), pytest.raises(DeepicdError, match="holds no sealed outcome"):
            assemble(root / "cohort", root / "traces", tmp_path / "out", AssembleOptions(config="multi"))
    finally:
        (tmp_path / "outcome").rename(root / "cohort" / "outcome")
