"""The folder of a training: whose it is, and what its model has read."""

from pathlib import Path

import pytest

from deepicd import records
from train.run_folder import open_training_folder, read_model_origin


def test_a_model_that_starts_from_one_that_read_credentialed_rows_has_read_them_too(tmp_path: Path) -> None:
    first, second = tmp_path / "sft", tmp_path / "grpo"
    with open_training_folder(
        first, records.plan_run("train sft", options={}, inputs={}), "mimic", overwrite=False
    ) as folder:
        folder.model.mkdir()
    plan = records.plan_run("train grpo", options={}, inputs={"model": first / "model"})
    with open_training_folder(second, plan, "synthetic", overwrite=False) as folder:
        folder.model.mkdir()
    assert folder.run.record.origin == "mimic"
    assert read_model_origin(str(second / "model")) == read_model_origin(str(second)) == "mimic"


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-7B-Instruct", "."])
def test_a_model_without_a_record_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_model_origin(model) == "public"
