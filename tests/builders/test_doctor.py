"""`deepicd doctor`: what is here, and what is wrong with it."""

import json
from pathlib import Path

import pytest
from conftest import Deepicd
from copies import discharge, stay, write_copy

from builders.doctor import check_disk, check_gpu, check_lock, check_packages, check_tokens
from deepicd import __version__


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])


@pytest.fixture(autouse=True)
def _no_default_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPICD_MIMIC", raising=False)
    monkeypatch.delenv("DEEPICD_NOTES", raising=False)


def test_a_machine_with_what_the_floor_needs_is_well(deepicd: Deepicd):
    outcome = deepicd("doctor")
    assert outcome.code == 0, outcome.err
    assert "\nVerdict: good. " in outcome.out
    assert outcome.out.startswith(f"deepicd {__version__}\n  good     Python ")


def test_the_floor_and_each_extra_have_a_line():
    lines = {check.what: check for check in check_packages()}
    assert lines["packages"].status == "good"
    assert "click 8" in lines["packages"].finding
    assert {"extra mimic", "extra hub"} <= set(lines)
    assert "extra all" not in lines


def test_a_copy_is_checked_with_its_pair(copy, deepicd: Deepicd):
    outcome = deepicd("doctor", "--mimic", copy, "--notes", copy)
    assert outcome.code == 0, outcome.err
    assert "The pair\n" in outcome.out
    assert "0 of 1 notes have no admission" in outcome.out


def test_the_environment_names_the_copy_as_it_does_for_build(copy, deepicd: Deepicd, monkeypatch):
    monkeypatch.setenv("DEEPICD_MIMIC", str(copy))
    assert "diagnoses_icd    1 rows" in deepicd("doctor").out


def test_a_damaged_copy_exits_with_1(copy, deepicd: Deepicd):
    (copy / "hosp" / "admissions.csv.gz").write_bytes(b"no gzip")
    outcome = deepicd("doctor", "--mimic", copy)
    assert outcome.code == 1
    assert "bad      admissions" in outcome.out


def test_several_copies_under_one_option_are_an_error_that_lists_them(tmp_path, deepicd: Deepicd):
    for name in ("2.2", "3.1"):
        write_copy(tmp_path / name, stay(20000001, [(1, "I214")]), [discharge(20000001)])
    outcome = deepicd("doctor", "--mimic", tmp_path)
    assert outcome.code == 1
    assert "holds 2 copies of MIMIC-IV" in outcome.err


DRIVERS = {
    "one": ("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB'", "good", "NVIDIA H200, 143771 MiB"),
    "two": ("#!/bin/sh\nprintf 'A100, 1 MiB\\nA100, 1 MiB\\n'", "good", "A100, 1 MiB; A100, 1 MiB"),
    "broken": ("#!/bin/sh\nexit 9", "unknown", "nvidia-smi exited with 9 and listed no GPU"),
}


@pytest.mark.parametrize(("script", "status", "found"), DRIVERS.values(), ids=DRIVERS)
def test_gpus_are_those_that_the_driver_names(script, status, found, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check = check_gpu()
    assert (check.status, check.finding) == (status, found)


def test_no_driver_means_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_gpu().status == "absent"


def test_the_lock_tells_other_versions_from_those_that_were_tried(tmp_path: Path) -> None:
    from importlib.metadata import version

    lock = tmp_path / "constraints.txt"
    lock.write_text(f"# by make lock\nclick=={version('click')} \\\n    --hash=sha256:00\nnot-here==1.0\n")
    assert (check_lock(tmp_path).status, check_lock(tmp_path).finding) == (
        "good",
        "1 of 2 packages are installed, all in the locked version",
    )
    lock.write_text("click==0.1 ; python_version >= '3.11' \\\nclick==9 ; python_version < '3.0'\n")
    assert check_lock(tmp_path).status == "unknown"
    assert check_lock(tmp_path).finding.endswith(f"another version: click {version('click')} (==0.1)")
    assert check_lock(tmp_path / "absent").finding == "not here: an installed wheel has none"


def test_disk_is_compared_with_the_rows_of_the_run() -> None:
    assert check_disk(free=10 * 10**9, rows=93_142).status == "good"
    small = check_disk(free=10 * 10**9, rows=1_000_000)
    assert (small.status, small.finding) == ("unknown", "10.0 GB free here, 1,000,000 rows may take 55.0 GB")


def test_a_token_is_present_or_absent_and_never_shown(deepicd: Deepicd, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("DEEPICD_API_KEY", raising=False)
    checks = {check.what: check.status for check in check_tokens()}
    assert (checks["HF_TOKEN"], checks["DEEPICD_API_KEY"]) == ("good", "absent")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    outcome = deepicd("doctor", "--json")
    assert "hf_secret" not in outcome.out + outcome.err
    found = json.loads(outcome.out)
    assert found["verdict"].startswith("good. ")
    assert {"part": "Tokens", "status": "good", "what": "HF_TOKEN", "finding": "is set", "meaning": ""} in found[
        "checks"
    ]
