"""What leaves is what was checked: private copies are read, compared and sent, and nothing of them stays."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cards.hub.journal import open_scratch
from cards.hub.publication import open_publication
from cards.hub.settings import PublicationOptions
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy

from .conftest import WRITE, Loopback, dataset

KILLED = """
import os, pathlib, sys
from cards.hub.journal import open_scratch
with open_scratch(pathlib.Path(sys.argv[1])) as own:
    (own / "note").write_text("a note")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def options(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return PublicationOptions(
        folder=dataset(tmp_path / "set", "synthetic", 20), repo=loopback.new(), what="rows", endpoint=loopback.url,
        retry=RetryPolicy(timeout=20, attempts=3, first_wait=0.01), journals=tmp_path / "records",
    )  # fmt: skip


def test_a_file_that_changes_after_the_check_is_not_sent_and_its_copy_is(loopback: Loopback, options: Any) -> None:
    with open_publication(options, verifier=lambda *_: "not read again") as publication:
        before = {name: path.read_bytes() for name, path in publication.contents.files.items()}
        assert {path.parent.stat().st_mode & 0o077 for path in options.journals.glob(".scratch-*/files")} == {0}
        for name in ("README.md", "sft/train-00000-of-00001.parquet"):
            (options.folder / name).write_bytes(b"a note pasted in meanwhile")
        publication.send()
    assert not list(options.journals.glob(".scratch-*"))
    tree = loopback.hub.repos[options.repo].head.tree
    assert {name: tree[name].content for name in before if tree[name].content} == {
        name: content for name, content in before.items() if tree[name].content
    }
    assert b"pasted in" not in tree["README.md"].content


@pytest.mark.parametrize("name", ["README.md", "sft/train-00000-of-00001.parquet"])
def test_a_copy_that_changes_after_the_check_aborts(name: str, loopback: Loopback, options: Any) -> None:
    with open_publication(options, verifier=lambda *_: "not read again") as publication:
        with publication.contents.files[name].open("ab") as file:
            file.write(b"a note")
        with pytest.raises(DeepicdError, match=f"{name} changed while it was being checked: nothing was sent"):
            publication.send()
    assert list(loopback.hub.repos[options.repo].head.tree) in ([], [".gitattributes"])


def test_scratch_of_a_killed_process_goes_at_the_next_start_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.rglob("note")] == ["note"]
    with open_scratch(tmp_path) as first:
        (first / "note").write_text("at work")
        with open_scratch(tmp_path) as second:
            assert list(tmp_path.rglob("note")) == [first / "note"]
            assert second.parent.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_folder_made_for_scratch_alone_does_not_stay(tmp_path: Path) -> None:
    with open_scratch(tmp_path / "a" / "publications"):
        pass
    assert list(tmp_path.iterdir()) == []
