"""Scores by group of patients, small groups withheld."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Deepicd
from evaluations import metrics

from deepicd import storage
from deepicd.storage import Origin
from train.evaluation.subgroups import find_largest_gap


def write_notes(folder: Path, groups: dict[str, tuple[int, int]], origin: Origin) -> tuple[Path, Path]:
    """Predictions and a cohort; group → (notes, right ones). Names alternate between wards as well."""
    lines, rows = [], []
    for sex, (notes, right) in groups.items():
        for number in range(notes):
            note_id = f"{sex}{number}"
            code = "I214" if number < right else "J189"
            lines.append(json.dumps({"note_id": note_id, "icd_code": "I214", "code": code, "origin": origin}))
            rows.append({"note_id": note_id, "sex": sex, "icu": number % 2 == 0})
    (folder / "answers.jsonl").write_text("\n".join(lines))
    (folder / "cohort").mkdir()
    schema = pa.schema([("note_id", pa.string()), ("sex", pa.string()), ("icu", pa.bool_())])
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table.replace_schema_metadata({storage.ORIGIN_KEY: origin}), folder / "cohort" / "test.parquet")
    return folder / "answers.jsonl", folder / "cohort"


def evaluate(deepicd: Deepicd, folder: Path, groups: dict[str, tuple[int, int]], origin: Origin) -> Any:
    predictions, cohort = write_notes(folder, groups, origin)
    done = deepicd("evaluate", "--predictions", predictions, "--subgroups", cohort, "--out", folder / "out")
    assert done.code == 0, done.err
    return metrics(folder / "out")["subgroups"]


def test_groups_are_scored_and_the_largest_gap_has_an_interval(tmp_path: Path, deepicd: Deepicd) -> None:
    found = evaluate(deepicd, tmp_path, {"F": (100, 80), "M": (100, 50)}, "synthetic")
    assert list(found) == ["sex", "icu"]
    assert found["sex"]["groups"]["F"]["samples"] == 100
    assert found["sex"]["groups"]["F"]["accuracy"] == {"chapter": 0.8, "category": 0.8, "full": 0.8}
    gap = found["sex"]["gaps"]["full"]
    assert (gap["higher"], gap["lower"], gap["difference"]) == ("F", "M", 0.3)
    assert gap["interval"] == pytest.approx([0.169, 0.416], abs=0.001)  # Newcombe 1998, method 10
    assert found["icu"]["gaps"]["full"]["interval"][0] < 0 < found["icu"]["gaps"]["full"]["interval"][1]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "Largest gaps in percentage points: chapter 30.0 [16.9, 41.7] (F over M);" in report
    assert "| no ICU | 100 | 65.0 [" in report


def test_small_groups_of_credentialed_patients_are_withheld(tmp_path: Path, deepicd: Deepicd) -> None:
    found = evaluate(deepicd, tmp_path, {"F": (100, 50), "M": (100, 60), "X": (4, 2), "Y": (60, 30)}, "mimic")["sex"]
    assert {name: group["samples"] for name, group in found["groups"].items()} == {
        "F": 100, "M": 100, "X": None, "Y": None,
    }  # fmt: skip
    assert found["groups"]["X"]["accuracy"] == dict.fromkeys(("chapter", "category", "full"))
    assert found["groups"]["X"]["macro_f1"] == {} == found["groups"]["X"]["f1_interval"]
    assert {found["gaps"]["full"]["higher"], found["gaps"]["full"]["lower"]} == {"F", "M"}


def test_a_gap_among_more_groups_has_a_wider_interval() -> None:
    two = {"a": (0.6, 500), "b": (0.5, 500)}
    one, other = find_largest_gap(two), find_largest_gap(two | {"c": (0.55, 500), "d": (0.55, 500)})
    assert one and other and 0 < other.interval[0] < one.interval[0] < one.interval[1] < other.interval[1]
    assert find_largest_gap({"a": (0.6, 500)}) is None
    same = find_largest_gap({"a": (0.0, 20), "b": (0.0, 20)})
    assert same and same.difference == 0 and same.interval[0] < 0 < same.interval[1]


def test_a_cohort_without_the_notes_or_the_columns_is_refused(tmp_path: Path, deepicd: Deepicd) -> None:
    predictions, cohort = write_notes(tmp_path, {"F": (5, 5)}, "synthetic")
    command = ["evaluate", "--predictions", predictions, "--out", tmp_path / "out", "--subgroups"]
    assert "holds no cohort" in deepicd(*command, tmp_path).err
    pq.write_table(pa.table({"note_id": ["F0"]}), cohort / "test.parquet")
    assert "has no column sex, age_band, race" in deepicd(*command, cohort).err
    pq.write_table(pa.table({"note_id": ["other"], "sex": ["F"]}), cohort / "test.parquet")
    assert "has none of the notes" in deepicd(*command, cohort).err
    assert not (tmp_path / "out").exists()
