"""Credentialed outputs are 0600 in 0700 folders, whatever the umask; made-up ones follow it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts import write_dataset

from cards.dataset_card import write_card
from deepicd.engines.ledger import open_ledger
from deepicd.private_files import make_private


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A umask that takes no rights from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def list_rights(folder: Path) -> set[str]:
    return {f"{'folder' if path.is_dir() else 'file'} {path.stat().st_mode & 0o777:o}" for path in folder.rglob("*")}


def test_a_credentialed_run_and_its_ledger_are_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()  # made before, readable for all
    write_card(write_dataset(tmp_path, 20, "mimic"))
    assert any(path.suffix == ".jsonl" for path in tmp_path.rglob("*")), "the ledger is among them"
    pictures = list((tmp_path / "traces").glob("*.png"))  # of a run's speed, drawn after it
    for path in pictures:
        path.unlink()
    assert list_rights(tmp_path) == {"file 600", "folder 700"}
    assert os.umask(0) == 0, "the umask is again what it was"


def test_scratch_is_private_while_a_run_is_at_work(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "out", "mimic"):
        (tmp_path / "out" / "scratch").write_text("made by another library")
        assert list_rights(tmp_path) == {"file 600", "folder 700"}


def test_a_made_up_run_follows_the_umask(tmp_path: Path) -> None:
    write_dataset(tmp_path, 20)
    assert list_rights(tmp_path / "dataset") == {"file 666", "folder 777"}


def test_a_link_out_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("for all")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    make_private(tmp_path / "out", "mimic")
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o666
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
