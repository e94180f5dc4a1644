"""The whole chain, as `make demo` runs it, on fewer admissions."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Deepicd

from deepicd import storage
from deepicd.demo import find_interpreter
from deepicd.schema import SPLITS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "a 'quoted' folder"
    command = [sys.executable, "-m", "deepicd", "demo", out, "--admissions", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr  # what DuckDB's bindings say where Python does not clean up at its end
    (out / "printed.txt").write_text(done.stdout)
    return out


def test_it_ends_with_counts_the_place_and_the_line_that_loads(demo: Path, tmp_path: Path) -> None:
    printed = (demo / "printed.txt").read_text()
    assert "traces kept" in printed
    assert f"Dataset: {demo / 'dataset'}" in printed
    line = next(line for line in printed.splitlines() if line.startswith("Load it: "))
    command = shlex.split(line.removeprefix("Load it: "))
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert all(split in done.stdout for split in SPLITS)


def test_the_line_that_views_is_a_command_of_the_interpreter_that_ran(demo: Path) -> None:
    [line] = [line for line in (demo / "printed.txt").read_text().splitlines() if line.startswith("View it: ")]
    assert shlex.split(line)[2:] == [find_interpreter(), "-m", "deepicd", "view", str(demo / "dataset")]


def test_an_interpreter_below_the_working_folder_is_named_from_there(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert find_interpreter() == str(tmp_path / ".venv" / "bin" / "python")
    monkeypatch.chdir(tmp_path)
    assert find_interpreter() == ".venv/bin/python"


def test_all_that_it_made_says_that_it_is_made_up(demo: Path) -> None:
    assert {storage.read_origin(path) for path in demo.rglob("*.parquet") if "mimic" not in path.parts} == {"synthetic"}
    assert {json.loads(path.read_text())["origin"] for path in demo.rglob("run.json")} == {"synthetic"}


def test_most_rows_saw_a_description_and_all_saw_guidelines(demo: Path) -> None:
    [record] = [json.loads(path.read_text()) for path in (demo / "traces").glob("*/run.json")]
    rows = sum(record["counts"]["kept"].values()) + sum(record["counts"]["rejected"].values())
    assert record["counts"]["without_guidelines"] == 0
    assert record["counts"]["without_description"] < rows / 2


def test_no_admission_note_tells_of_the_hospital_course(demo: Path) -> None:
    for split in SPLITS:
        for note in pq.read_table(demo / "cohort" / f"{split}.parquet")["admission_note"].to_pylist():
            assert "Hospital Course" not in note
            assert "Discharge Diagnosis" not in note


def test_a_second_run_repeats_nothing(demo: Path, deepicd: Deepicd) -> None:
    kept = [
        path for path in demo.rglob("*") if path.is_file() and "card" not in path.parts and path.name != "README.md"
    ]
    before = {path: path.stat().st_mtime_ns for path in kept if ".crawl" not in path.parts}
    assert deepicd("demo", demo, "--admissions", 300).code == 0
    assert [path.name for path, written in before.items() if path.stat().st_mtime_ns != written] == ["codes.txt"]


def test_another_demo_in_the_same_folder_is_refused(demo: Path, deepicd: Deepicd) -> None:
    outcome = deepicd("demo", demo, "--admissions", 301)
    assert outcome.code == 1
    assert "option admissions was 300, now 301" in outcome.err
