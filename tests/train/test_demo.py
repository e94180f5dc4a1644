"""`deepicd train demo`: four stages with the real trainers, as few steps as make a table."""

from pathlib import Path

import pytest
from conftest import Deepicd
from small_dataset import small_dataset

pytestmark = pytest.mark.engines

FEW = ("--steps", "1", "--epochs", "0.4", "--limit", "8")


def test_four_stages_end_in_a_table_and_a_second_run_repeats_nothing(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    out = tmp_path / "out"
    done = deepicd("train", "demo", dataset, out, *FEW)
    assert done.code == 0, done.err
    rows = [line.split(" | ")[0].removeprefix("| ") for line in done.out.splitlines() if line.startswith("| ")]
    assert rows == ["stage", "start", "GRPO only", "SFT", "SFT + GRPO"]
    assert (out / "table.md").read_text() == done.out
    models = sorted(out.glob("*/model/model.safetensors"))
    assert len(models) == 4
    made = [model.stat().st_mtime_ns for model in models]
    again = deepicd("train", "demo", dataset, out, *FEW)
    assert again.out == done.out and [model.stat().st_mtime_ns for model in models] == made


def test_several_seeds_end_in_their_means(dataset: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    out = tmp_path / "out"
    done = deepicd("train", "demo", dataset, out, *FEW, "--seeds", "2")
    assert done.code == 0, done.err
    assert "mean (lowest–highest) of 2 seeds" in done.out
    assert [line.split(" | ")[0] for line in done.out.splitlines()[4:]] == [
        "| start", "| GRPO only", "| SFT", "| SFT + GRPO",
    ]  # fmt: skip
    tables = [(out / f"seed-{seed}" / "table.md").read_text() for seed in (42, 43)]
    assert all("| SFT + GRPO |" in table for table in tables)


def test_credentialed_records_are_refused(tmp_path: Path, deepicd: Deepicd) -> None:
    dataset = small_dataset(tmp_path / "small", origin="mimic")
    done = deepicd("train", "demo", dataset, tmp_path / "out", *FEW)
    assert done.code == 1 and "holds credentialed records" in done.err
    assert not (tmp_path / "out").exists()
