"""A build that is killed at any moment: the next one succeeds, and no half file is ever taken for a whole one."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from deepicd import records
from deepicd.errors import DeepicdError

COMMAND = [sys.executable, "-m", "deepicd", "build"]


def test_a_build_killed_at_any_moment_is_made_whole_by_the_next(tmp_path: Path) -> None:
    diagnoses = [row for n in range(2000) for row in stay(20000000 + n, [(1, f"I{10 + n % 7}")])]
    notes = [discharge(20000000 + n, note("Cough", "word " * 2000)) for n in range(2000)]
    copy = write_copy(tmp_path / "copy", diagnoses, notes)
    command = [*COMMAND, "--mimic", str(copy), "--notes", str(copy)]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    lasted = time.monotonic() - began
    expected = records.require(tmp_path / "whole", "build").outputs
    moments, killed = random.Random(0), 0
    for _ in range(4):
        with subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(lasted * moments.uniform(0.1, 0.9))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
        if (tmp_path / "killed").exists():  # then all of it is there
            assert records.require(tmp_path / "killed", "build").outputs == expected
            shutil.rmtree(tmp_path / "killed")
    assert killed
    assert build(copy, copy, tmp_path / "killed").outputs == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "killed", "whole"]


def test_a_folder_without_its_record_is_no_cohort(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DeepicdError, match="holds no finished run"):
        records.require(tmp_path / "half", "build")
