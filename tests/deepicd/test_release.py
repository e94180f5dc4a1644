"""What a release has in it, and that all places name the same version."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from deepicd import __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def check(*wheels: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "requirements" / "check_wheel.py", *wheels]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_wheel_has_files_of_the_repository_and_no_data(wheel: Path) -> None:
    done = check(wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    names = zipfile.ZipFile(wheel).namelist()
    assert "deepicd/cli.py" in names
    assert "distill/tiny_teacher/weights/model.safetensors" in names
    assert not [name for name in names if name.endswith((".parquet", ".csv", ".gz", ".pdf", ".duckdb"))]


def test_a_wheel_with_a_table_of_records_is_refused(wheel: Path, tmp_path: Path) -> None:
    bad = tmp_path / wheel.name
    bad.write_bytes(wheel.read_bytes())
    with zipfile.ZipFile(bad, "a") as files:
        files.writestr("builders/train.parquet", b"PAR1")
        files.writestr("deepicd/notes.py", "NOTE = 'Mr. ___'")
    done = check(bad)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "builders/train.parquet: not a file of the repository",
        "builders/train.parquet: a format that may hold records",
        "deepicd/notes.py: not a file of the repository",
    ]


def test_no_wheel_at_all_is_no_success() -> None:
    assert check().returncode == 1


def test_every_place_names_the_same_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {project["version"], citation["version"]} == {__version__}
    assert f"\n## {__version__}" in changelog


def test_the_release_workflow_publishes_nothing() -> None:
    text = (REPOSITORY / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert not [word for word in ("twine", "pypi", "gh release", "id-token") if word in text.lower()]


def test_a_wheel_runs_the_demo_in_a_folder_that_has_scripts_of_its_packages_names(wheel: Path, tmp_path: Path) -> None:
    installed, folder = tmp_path / "installed", tmp_path / "mine"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        installed,
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True)
    folder.mkdir()
    for name in ("train", "cards", "builders", "distill"):
        (folder / f"{name}.py").write_text("raise SystemExit('the script of the user ran')\n")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for program in ([sys.executable, installed / "bin" / "deepicd"], [sys.executable, "-m", "deepicd"]):
        command = [*program, "demo", "out/demo", "--admissions", "100"]  # the second time nothing is left to do
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Dataset: out/demo/dataset" in done.stdout
