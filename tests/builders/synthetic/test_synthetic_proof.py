"""The proof that a copy is made up: any doubt makes it credentialed."""

import json
from pathlib import Path

import pytest

from deepicd.synthetic_proof import MARK, is_synthetic, write_mark


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, list[Path]]:
    files = [tmp_path / "hosp" / "patients.csv.gz", tmp_path / "note" / "discharge.csv.gz"]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"made up")
    write_mark(tmp_path, files, generator="1", seed=42)
    return tmp_path, files


def test_a_marked_copy_proves_itself_whole_or_in_part(copy):
    root, files = copy
    assert is_synthetic(root, files)
    assert is_synthetic(root, files[1:])


def test_one_changed_byte_voids_the_mark(copy):
    root, files = copy
    files[0].write_bytes(b"made uq")
    assert not is_synthetic(root, files)
    assert is_synthetic(root, files[1:])


def test_a_mark_carried_to_another_copy_proves_nothing(copy, tmp_path):
    root, _ = copy
    other = tmp_path / "other"
    (other / "hosp").mkdir(parents=True)
    (other / "hosp" / "patients.csv.gz").write_bytes(b"real")
    (other / MARK).write_bytes((root / MARK).read_bytes())
    assert not is_synthetic(other, [other / "hosp" / "patients.csv.gz"])


def test_a_file_the_mark_does_not_name_is_not_proven(copy):
    root, files = copy
    extra = root / "hosp" / "admissions.csv.gz"
    extra.write_bytes(b"made up")
    assert not is_synthetic(root, [*files, extra])


def test_a_file_outside_the_root_is_not_proven(copy, tmp_path_factory):
    root, files = copy
    outside = tmp_path_factory.mktemp("outside") / "patients.csv.gz"
    outside.write_bytes(b"made up")
    assert not is_synthetic(root, [*files, outside])


@pytest.mark.parametrize(
    "mark", ["", "[]", "{}", '{"files": []}', '{"files": {}}', '{"files": null}', "not json", '"text"']
)
def test_a_mark_of_another_shape_proves_nothing(copy, mark):
    root, files = copy
    (root / MARK).write_text(mark)
    assert not is_synthetic(root, files)


def test_no_mark_and_no_files_prove_nothing(copy):
    root, files = copy
    assert not is_synthetic(root, [])
    (root / MARK).unlink()
    assert not is_synthetic(root, files)


def test_the_mark_says_in_words_what_it_is(copy):
    mark = json.loads((copy[0] / MARK).read_text())
    assert mark["statement"].startswith("All records here are made up")
    assert (mark["generator"], mark["seed"], len(mark["files"])) == ("1", 42, 2)
