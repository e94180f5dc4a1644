"""The dataset folder, as `datasets`, TRL and verl see it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cohorts import rows_in, write_cohort

from builders.dataset import config_files
from builders.dataset.assemble import AssembleOptions, assemble
from deepicd import answer_form, storage
from deepicd.answer_form import Answer
from deepicd.changed_inputs import accept_changes
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DATASET
from distill import run
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none", attempts=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assembled")
    cohort = write_cohort(folder / "cohort", codes=("I214", "J189", "C7A8"))
    run.distill(cohort, folder / "traces", RECIPE)
    assemble(cohort, folder / "traces", folder / "dataset")
    return folder


LOAD = """
import json, sys
from datasets import load_dataset
loaded = load_dataset(sys.argv[1], sys.argv[2])
first = {split: loaded[split][0] for split in loaded}
print(json.dumps({"rows": loaded.num_rows, "features": list(loaded["train"].features), "first": first["train"]}))
"""


@pytest.fixture(scope="module")
def loaded(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `datasets` alone makes of each config, in a fresh process of its own."""
    home = tmp_path_factory.mktemp("hf")
    found = {}
    for config in ("traces", "sft", "grpo"):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, dataset / "dataset" / config, "default"],
            capture_output=True,
            text=True,
            check=False,
            env={"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found[config] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_traces_and_sft_hold_the_kept_rows_and_grpo_the_whole_cohort(dataset: Path, loaded: dict[str, Any]) -> None:
    kept = len(rows_in(dataset / "traces" / RECIPE.digest / "kept"))
    assert sum(loaded["traces"]["rows"].values()) == sum(loaded["sft"]["rows"].values()) == kept
    assert loaded["grpo"]["rows"] == {"train": 210, "validation": 30, "test": 60}
    assert kept < 300


def test_columns_are_those_of_the_design(loaded: dict[str, Any]) -> None:
    assert loaded["traces"]["features"] == DATASET["traces"].names
    assert loaded["sft"]["features"] == ["prompt", "completion", "note_id", "icd_code"]
    assert loaded["grpo"]["features"] == ["data_source", "prompt", "ability", "reward_model", "extra_info"]


def test_sft_rows_meet_trls_prompt_completion_contract(loaded: dict[str, Any]) -> None:
    row = loaded["sft"]["first"]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    [answer] = row["completion"]
    assert answer["role"] == "assistant"
    parsed = answer_form.parse_answer(answer["content"])
    assert isinstance(parsed, Answer)
    assert parsed.code == Code(row["icd_code"])


def test_grpo_rows_meet_verls_contract_and_hold_no_answer_in_the_prompt(loaded: dict[str, Any]) -> None:
    row = loaded["grpo"]["first"]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "I214"}
    assert row["extra_info"]["split"] == "train"
    assert row["extra_info"]["index"] == 0
    assert row["prompt"][1]["content"] == row["extra_info"]["note"]
    assert "I214" not in json.dumps(row["prompt"])


def test_the_sft_answer_is_the_trace_of_the_same_note(dataset: Path) -> None:
    folder = dataset / "dataset"
    trace_of = {row["note_id"]: row["trace"] for row in rows_in(folder / "traces")}
    for row in rows_in(folder / "sft"):
        parsed = answer_form.parse_answer(row["completion"][0]["content"])
        assert isinstance(parsed, Answer)
        assert parsed.trace == trace_of[row["note_id"]]


def test_a_second_recipe_is_refused_in_a_folder_that_holds_another(dataset: Path, tmp_path: Path) -> None:
    cohort, other = dataset / "cohort", RECIPE.replace(seed=7)
    run.distill(cohort, tmp_path / "traces", other)
    assemble(cohort, dataset / "traces", tmp_path / "dataset")
    with pytest.raises(DeepicdError, match=f"option recipe was '{RECIPE.digest}', now '{other.digest}'"):
        assemble(cohort, tmp_path / "traces", tmp_path / "dataset")
    assemble(cohort, tmp_path / "traces", tmp_path / "dataset", AssembleOptions(overwrite=True))


def test_two_recipes_side_by_side_must_be_told_apart(dataset: Path, tmp_path: Path) -> None:
    for recipe in (RECIPE, RECIPE.replace(seed=7)):
        run.distill(dataset / "cohort", tmp_path / "traces", recipe)
    with pytest.raises(DeepicdError, match="holds 2 outputs of `deepicd distill`"):
        assemble(dataset / "cohort", tmp_path / "traces", tmp_path / "dataset")
    assemble(dataset / "cohort", tmp_path / "traces" / RECIPE.digest, tmp_path / "dataset")


def test_traces_of_another_cohort_are_refused(dataset: Path, tmp_path: Path) -> None:
    small = write_cohort(tmp_path / "small", 50, codes=("I214", "J189", "C7A8"))
    with pytest.raises(DeepicdError, match="descends from another cohort"):
        assemble(small, dataset / "traces", tmp_path / "out")
    with accept_changes(), pytest.raises(DeepicdError, match="belong to no row"):
        assemble(small, dataset / "traces", tmp_path / "out")
    with accept_changes(), pytest.raises(DeepicdError, match="argue for another code"):
        assemble(write_cohort(tmp_path / "coded", codes=("A000",)), dataset / "traces", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unfinished_traces_are_refused(dataset: Path, tmp_path: Path) -> None:
    run.distill(dataset / "cohort", tmp_path / "traces", RECIPE)
    (tmp_path / "traces" / RECIPE.digest / "run.json").unlink()
    with pytest.raises(DeepicdError, match="is not finished"):
        assemble(dataset / "cohort", tmp_path / "traces", tmp_path / "out")


def test_one_credentialed_source_makes_the_dataset_credentialed(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic")
    run.distill(cohort, tmp_path / "traces", RECIPE, rehearse=True)
    record = assemble(cohort, tmp_path / "traces", tmp_path / "dataset")
    assert record.origin == "mimic"
    assert {storage.read_origin(path) for path in (tmp_path / "dataset").rglob("*.parquet")} == {"mimic"}


def test_an_empty_split_is_left_out_so_that_the_rest_loads(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 4)  # three rows to train, one to test
    run.distill(cohort, tmp_path / "traces", RECIPE)
    record = assemble(cohort, tmp_path / "traces", tmp_path / "dataset")
    assert record.counts.rows["grpo"] == {"train": 3, "test": 1}
    assert not list((tmp_path / "dataset" / "grpo").glob("validation-*"))


def test_a_folder_without_a_finished_build_is_no_cohort(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="holds no finished run"):
        assemble(tmp_path, dataset / "traces", tmp_path / "out")
    with pytest.raises(DeepicdError, match="holds a run of `deepicd assemble`"):
        assemble(dataset / "dataset", dataset / "traces", tmp_path / "out")


def test_rows_are_the_same_in_one_file_and_in_many(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_files, "ROWS_PER_FILE", 100)
    monkeypatch.setattr(config_files, "ROW_GROUP", 7)
    assemble(dataset / "cohort", dataset / "traces", tmp_path / "out")
    for config in ("traces", "sft", "grpo"):
        assert rows_in(tmp_path / "out" / config) == rows_in(dataset / "dataset" / config)
    names = sorted(path.name for path in (tmp_path / "out" / "grpo").glob("train-*"))
    assert names == [f"train-0000{number}-of-00003.parquet" for number in range(3)]


def test_traces_in_another_order_than_the_cohort_are_refused(dataset: Path, tmp_path: Path) -> None:
    traces = shutil.copytree(dataset / "traces" / RECIPE.digest, tmp_path / "traces")
    table = pq.read_table(file := traces / "kept" / "train-00000.parquet")
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), file)
    with accept_changes(), pytest.raises(DeepicdError, match="not in the order of the cohort"):
        assemble(dataset / "cohort", traces, tmp_path / "out")
