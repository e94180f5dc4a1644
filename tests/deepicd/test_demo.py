"""The whole chain, as `make demo` runs it."""

import json
import shlex
import sys
from pathlib import Path

import pyarrow.parquet as pq
from conftest import Deepicd

from deepicd import storage
from deepicd.demo import find_interpreter
from deepicd.schema import SPLITS

from .conftest import Demo


def test_it_ends_with_counts_the_place_and_the_line_that_loads(demo: Demo) -> None:
    assert "leaked" not in demo.ran.err  # what DuckDB's bindings say where Python does not clean up at its end
    assert "traces kept" in demo.ran.out
    assert f"Dataset: {demo.out / 'dataset'}" in demo.ran.out
    assert all(split in demo.loaded.out for split in SPLITS)


def test_the_line_that_views_is_a_command_of_the_interpreter_that_ran(demo: Demo) -> None:
    [line] = [line for line in demo.ran.out.splitlines() if line.startswith("View it: ")]
    assert shlex.split(line)[2:] == [find_interpreter(), "-m", "deepicd", "view", str(demo.out / "dataset")]


def test_an_interpreter_below_the_working_folder_is_named_from_there(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert find_interpreter() == str(tmp_path / ".venv" / "bin" / "python")
    monkeypatch.chdir(tmp_path)
    assert find_interpreter() == ".venv/bin/python"


def test_all_that_it_made_says_that_it_is_made_up(demo: Demo) -> None:
    assert {storage.read_origin(path) for path in demo.out.rglob("*.parquet") if "mimic" not in path.parts} == {
        "synthetic"
    }
    assert {json.loads(path.read_text())["origin"] for path in demo.out.rglob("run.json")} == {"synthetic"}


def test_most_rows_saw_a_description_and_all_saw_guidelines(demo: Demo) -> None:
    [record] = [json.loads(path.read_text()) for path in (demo.out / "traces").glob("*/run.json")]
    rows = sum(record["counts"]["kept"].values()) + sum(record["counts"]["rejected"].values())
    assert record["counts"]["without_guidelines"] == 0
    assert record["counts"]["without_description"] < rows / 2


def test_no_admission_note_tells_of_the_hospital_course(demo: Demo) -> None:
    for split in SPLITS:
        for note in pq.read_table(demo.out / "cohort" / f"{split}.parquet")["admission_note"].to_pylist():
            assert "Hospital Course" not in note
            assert "Discharge Diagnosis" not in note


def test_a_second_run_repeats_nothing(demo: Demo, deepicd: Deepicd) -> None:
    kept = [
        path for path in demo.out.rglob("*") if path.is_file() and "card" not in path.parts and path.name != "README.md"
    ]
    before = {path: path.stat().st_mtime_ns for path in kept if ".crawl" not in path.parts}
    assert deepicd("demo", demo.out).code == 0
    assert [path.name for path, written in before.items() if path.stat().st_mtime_ns != written] == ["codes.txt"]


def test_another_demo_in_the_same_folder_is_refused(demo: Demo, deepicd: Deepicd) -> None:
    outcome = deepicd("demo", demo.out, "--admissions", 301)
    assert outcome.code == 1
    assert "option admissions was 1000, now 301" in outcome.err
