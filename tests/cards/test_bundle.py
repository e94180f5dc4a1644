"""The submission to PhysioNet: whole, checked by sha256sum itself, and refused before PhysioNet would refuse it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cohorts import NOTE, rows_in, write_dataset
from conftest import Deepicd

from cards.bundle import validate_abstract, validate_title, write_bundle
from deepicd import storage
from deepicd.errors import DeepicdError
from distill.recipe import Recipe


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(name="once", engine="rehearsal", model="none", attempts=1)
    return write_dataset(tmp_path_factory.mktemp("bundled"), 60, "mimic", recipe=recipe)


@pytest.fixture(scope="module")
def with_notes(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "with"
    write_bundle(dataset, out)
    return out


@pytest.fixture(scope="module")
def without_notes(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "without"
    write_bundle(dataset, out, notes=False)
    return out


@pytest.mark.parametrize("kind", ["with_notes", "without_notes"])
def test_sha256sum_finds_every_file_whole(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    done = subprocess.run(
        ["/usr/bin/env", "sha256sum", "-c", "--strict", "SHA256SUMS.txt"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    listed = {line.rpartition(": ")[0] for line in done.stdout.splitlines()}
    assert listed == {path.relative_to(folder).as_posix() for path in storage.list_files(folder)} - {"SHA256SUMS.txt"}
    records = (folder / "RECORDS").read_text().split()
    assert records
    assert set(records) == {name for name in listed if name.endswith(".parquet")}


def test_the_log_of_a_run_is_neither_bundled_nor_an_obstacle(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "dataset")
    storage.write_text(tmp_path / "dataset" / "run.log", "Kept 3 of 4 rows.\n")
    write_bundle(tmp_path / "dataset", tmp_path / "bundle")
    assert not list((tmp_path / "bundle").rglob("run.log"))
    write_bundle(dataset, tmp_path / "again")
    assert (tmp_path / "again" / "bundle.json").read_bytes() == (tmp_path / "bundle" / "bundle.json").read_bytes()


def test_a_bundle_with_notes_has_the_datasets_own_files(dataset: Path, with_notes: Path) -> None:
    for path in dataset.rglob("*.parquet"):
        assert (with_notes / path.relative_to(dataset)).read_bytes() == path.read_bytes()


def test_a_bundle_without_notes_has_every_row_and_no_note(dataset: Path, without_notes: Path) -> None:
    rows = rows_in(without_notes)
    assert sorted(row["note_id"] for row in rows) == sorted(
        row["extra_info"]["note_id"] for row in rows_in(dataset / "grpo")
    )
    traces = {row["note_id"]: row["trace"] for row in rows_in(dataset / "traces")}
    assert {row["note_id"]: row["trace"] for row in rows if row["trace"]} == traces
    assert {row["note_sha256"] for row in rows} == {storage.digest_text(NOTE)}
    assert all(storage.read_origin(path) == "mimic" for path in without_notes.rglob("*.parquet"))
    assert not [row for row in rows if "History of Present Illness:" in str(row)]


def test_the_metadata_keep_to_physionets_rules(with_notes: Path) -> None:
    values = json.loads((with_notes / "metadata.json").read_text())
    assert values["title"].startswith("MIMIC-IV-Ext-")
    assert 50 < len(values["abstract"].split()) <= 250
    assert values["access"] == "Credentialed"
    assert values["license"] == "PhysioNet Credentialed Health Data License 1.5.0"
    assert values["authors"] == []  # people enter themselves
    readme = (with_notes / "README.md").read_text()
    for section in ("Abstract", "Background", "Methods", "Data Description", "Usage Notes", "Ethics", "References"):
        assert f"\n## {section}\n" in readme


def test_public_parts_of_a_submission_tell_no_small_group_and_no_path(dataset: Path, without_notes: Path) -> None:
    readme = (without_notes / "README.md").read_text()
    assert "withheld" in readme
    assert "3 no admission section" not in readme
    assert str(dataset.parent) not in "".join(
        path.read_text() for path in without_notes.iterdir() if path.suffix in (".md", ".json", ".txt")
    )


@pytest.mark.parametrize("title", ["MIMIC-Reason", "Reasoning on MIMIC-IV", "  ", "mimic-iv-ext-reason"])
def test_titles_that_physionet_would_reject(title: str) -> None:
    with pytest.raises(DeepicdError, match="would reject the title"):
        validate_title(title)


def test_titles_and_abstracts_that_it_takes() -> None:
    assert validate_title("MIMIC-IV-Ext-Reason") == "MIMIC-IV-Ext-Reason"
    assert validate_title("Reasoning traces for admission notes") == "Reasoning traces for admission notes"
    assert len(validate_abstract("word " * 250).split()) == 250
    with pytest.raises(DeepicdError, match="251 words"):
        validate_abstract("word " * 251)
    with pytest.raises(DeepicdError, match="0 words"):
        validate_abstract(" \n")


def test_an_abstract_that_is_too_long_stops_the_command_before_anything_is_written(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    (tmp_path / "abstract.txt").write_text("word " * 300)
    done = deepicd("bundle", dataset, tmp_path / "out", "--abstract", tmp_path / "abstract.txt")
    assert done.code == 1
    assert "300 words" in done.err
    assert not (tmp_path / "out").exists()


def test_a_dataset_with_a_strange_or_a_missing_file_is_refused(tmp_path: Path, deepicd: Deepicd) -> None:
    dataset = write_dataset(tmp_path, 20)
    strange = dataset / "sft" / "train-00001-of-00002.parquet"
    strange.write_bytes((dataset / "sft" / "train-00000-of-00001.parquet").read_bytes())
    for command in (["card", dataset], ["bundle", dataset, tmp_path / "out"]):
        done = deepicd(*command)
        assert done.code == 1
        assert "not of this run: sft/train-00001-of-00002.parquet" in done.err
    strange.unlink()
    (dataset / "traces" / "test-00000-of-00001.parquet").unlink()
    done = deepicd("card", dataset)
    assert done.code == 1
    assert "missing: traces/test-00000-of-00001.parquet" in done.err


def test_the_readmes_way_of_loading_works_in_the_folder(dataset: Path, with_notes: Path, tmp_path: Path) -> None:
    readme = (with_notes / "README.md").read_text()
    [snippet] = [block.split("```")[0] for block in readme.split("```python\n")[1:]]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{snippet}\nimport json; print(json.dumps(dataset.num_rows))"],
        cwd=with_notes, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    record = json.loads((dataset / "run.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == record["counts"]["rows"]["traces"]
