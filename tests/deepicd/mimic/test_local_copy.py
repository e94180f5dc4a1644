"""Where a copy is found: below any folder, behind links at any depth, in a DuckDB file, and each only once."""

from pathlib import Path

import pytest
from copies import discharge, stay, write_copy

from deepicd.errors import DeepicdError
from deepicd.mimic import local_copy
from deepicd.mimic.local_copy import find_copy, find_root, find_roots


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_copy(tmp_path / "disk" / "3.1", stay(20000001, [(1, "I214")]), [discharge(20000001)])


def link(path: Path, target: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def test_links_are_followed_at_any_depth(copy: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    link(home / "a" / "b" / "c" / "hosp", copy / "hosp")
    link(home / "d" / "notes", copy)
    assert find_root(home / "a", "hosp", "--mimic") == home / "a" / "b" / "c"
    assert find_root(home / "d", "note", "--notes") == home / "d" / "notes"
    assert find_copy(home / "a", home / "d").files["discharge"].samefile(copy / "note" / "discharge.csv.gz")


def test_a_link_to_hosp_itself_and_links_to_single_files_will_do(copy: Path, tmp_path: Path) -> None:
    assert find_root(link(tmp_path / "mimic", copy / "hosp"), "hosp", "--mimic") == copy
    flat = tmp_path / "flat"
    for file in copy.rglob("*.csv.gz"):
        link(flat / file.name, file)
    assert set(find_copy(flat, flat).tables) == {"admissions", "diagnoses_icd", "d_icd_diagnoses", "discharge"}


def test_links_in_a_circle_end_and_a_copy_is_found_once(copy: Path, tmp_path: Path) -> None:
    link(copy / "self", copy)
    link(tmp_path / "disk" / "latest", copy)
    assert list(find_roots(tmp_path, "hosp")) == [copy]


def test_a_link_to_nothing_is_told_as_that(copy: Path, tmp_path: Path) -> None:
    notes = copy / "note" / "discharge.csv.gz"
    notes.unlink()
    notes.symlink_to(tmp_path / "gone")
    with pytest.raises(DeepicdError, match=r"discharge\.csv\.gz is a link to a file that does not exist"):
        find_copy(copy, copy)


def test_too_many_folders_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copy, "MOST_FOLDERS", 20)
    for number in range(30):
        (tmp_path / f"folder{number}").mkdir()
    with pytest.raises(DeepicdError, match="holds more than 20 folders: too many to search"):
        find_root(tmp_path, "hosp", "--mimic")
