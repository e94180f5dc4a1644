"""The fault campaign (`make faults`) tells good ends from bad ones, and its page is what it measured."""

import json
import random

import pytest

from benchmarks.faults import faults
from benchmarks.faults.faults import End, Trial
from benchmarks.faults.run import GOOD, PAGE, RESULTS, format_page, list_defects
from benchmarks.faults.stages import Stage


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    stage = Stage("synthesize", lambda out: ["synthesize", out, "--admissions", 50, "--seed", 3], [])
    trial = Trial(stage, tmp_path_factory.mktemp("faults"), random.Random(5))
    trial.measure()
    return trial


@pytest.mark.parametrize("fault", ["kill -9, twice", "SIGTERM twice", "two runs at once", "closed pipe"])
def test_a_stage_that_met_a_fault_ends_right_or_says_why_not(trial: Trial, fault: str) -> None:
    ends = list(faults.FAULTS[fault](trial))
    assert ends
    assert [end for end in ends if end not in GOOD] == []


def test_wrong_output_a_traceback_and_an_unknown_exit_code_are_defects(trial: Trial) -> None:
    trial.start_afresh()
    assert faults.run(trial.command).code == 0
    assert trial.judge(End(0, "")) == "right"
    assert trial.judge(End(1, "Error: The disk is full.")) == "refused"
    assert trial.judge(End(1, "Traceback (most recent call last):\nKeyError: 'x'")) == "TRACEBACK: KeyError: 'x'"
    assert trial.judge(End(-11, "")) == "exit code -11: "
    assert trial.judge_rerun(End(1, "Error: no")) == "NO RECOVERY: Error: no"
    next(trial.out.rglob("patients.csv.gz")).write_bytes(b"")
    assert trial.judge(End(0, "")) == "WRONG OUTPUT"


def test_the_page_shows_the_figures_as_they_were_measured_and_no_defect() -> None:
    results = json.loads(RESULTS.read_text())
    assert PAGE.read_text() == format_page(results)
    assert list_defects(results["stages"]) == []
