"""The tutorial and the notebook print what they show."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from .conftest import Demo

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def folder(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has out/demo."""
    folder = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(demo.out, folder / "out" / "demo")
    return folder


def run(command: str, folder: Path) -> list[str]:
    arguments = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).splitlines()


def test_the_tutorials_commands_print_what_it_shows(folder: Path) -> None:
    blocks = re.findall(r"```\n\$ (deepicd [^\n]*)\n([^$]+?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    for command, shown in blocks:
        printed = run(command, folder)
        assert [line for line in shown.splitlines() if line not in printed] == [], command


def test_the_notebooks_cells_print_what_it_shows(folder: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "demo").symlink_to(folder / "out" / "demo")
    shown = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    ran = runpy.run_path(str(DOCS / "run_notebook.py"))["run_notebook"](tmp_path)
    assert len(shown.cells) > 10
    for before, after in zip(shown.cells, ran.cells, strict=True):
        assert before.source == after.source
        assert before.get("outputs") == after.get("outputs"), before.source
