"""A run may end at any moment, by a kill, by Ctrl-C, by damage: what it had is kept, and the rows end the same."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from cohorts import write_cohort

from benchmarks import kills
from deepicd import records
from deepicd.engines.base import Request, Result
from deepicd.engines.metrics import RunMetrics
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from distill import run, throughput_figure
from distill.recipe import Recipe

RECIPE = Recipe(name="killed", engine="rehearsal", model="none")


def answered(out: Path) -> Counter[str]:
    """Key → how many answers the ledger has of it; lines that a kill cut short left out."""
    keys: Counter[str] = Counter()
    for path in (out / "ledger").glob("*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and (entry := json.loads(line))["kind"] == "completion":
                keys[entry["key"]] += 1
    return keys


def test_killed_at_random_moments_it_ends_as_an_undisturbed_run(tmp_path: Path) -> None:
    """Five kills here, a hundred in benchmarks.distill."""
    cohort, out = write_cohort(tmp_path / "cohort", 1_000), tmp_path / "out"
    assert kills.kill_until_done(cohort, out, kills=5, longest=0.3) >= 3
    run.distill(cohort, tmp_path / "undisturbed", RECIPE)
    assert kills.digest_outputs(out) == kills.digest_outputs(tmp_path / "undisturbed")
    assert answered(out) == answered(tmp_path / "undisturbed")  # none lost, and none paid for twice


def test_ctrl_c_waits_for_what_is_under_way_and_the_same_command_goes_on(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 2_500), tmp_path / "out"
    with subprocess.Popen(kills.build_command(cohort, out), stderr=subprocess.PIPE, text=True) as process:
        while not answered(out):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Stopping: waiting for the requests in flight" in said
    assert "Rerun the command to continue" in said
    assert 0 < len(answered(out)) < 2_500
    assert not (out / RECIPE.digest).exists()
    record = run.distill(cohort, out, RECIPE)
    assert sum(record.counts.kept.values()) + sum(record.counts.rejected.values()) == 2_500
    assert set(answered(out).values()) == {1}


class _EngineThatEndsWithItsGroup:
    """As vLLM does when a terminal, Slurm or systemd sends SIGTERM to all processes of a run."""

    name, version, capacity = "vllm", "", 4

    def submit(self, requests: Sequence[Request]) -> None: ...

    def collect(self) -> list[Result]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise DeepicdError("vLLM cannot run tiny: cancelled.", "vLLM's documentation lists the models.")

    def close(self) -> None: ...


def test_a_signal_that_ends_the_engine_as_well_is_told_as_such(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 10)
    job = run.Job(cohort, tmp_path / "out", RECIPE)
    with run.open_plan(job, job.open_sources()) as (plan, history):
        runner = Runner(_EngineThatEndsWithItsGroup(), history.ledger, 1, RunMetrics(lambda _: None))
        with pytest.raises(DeepicdError, match=r"Stopped by SIGTERM.* engine vllm: 4 requests in flight") as stopped:
            runner.run(run.build_tasks(plan, plan.waiting, history))
    assert stopped.value.advice == "Rerun the same command to continue."


def test_a_damaged_last_line_is_reported_and_its_row_asked_for_again(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 50), tmp_path / "out"
    whole = run.distill(cohort, out, RECIPE)
    shutil.rmtree(out / RECIPE.digest)
    [segment] = (out / "ledger").iterdir()
    segment.write_bytes(segment.read_bytes()[:-30])
    record = run.distill(cohort, out, RECIPE)
    assert record.outputs == whole.outputs
    assert record.notes == ["Skipped 1 damaged line of the ledger; what was lost was asked for again."]


def test_the_series_goes_on_over_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput_figure, "SHORTEST", 0.0)
    cohort, out = write_cohort(tmp_path / "cohort", 300), tmp_path / "out"
    run.distill(cohort, out, RECIPE, limit=50)
    series = run.distill(cohort, out, RECIPE).counts.series
    rows, seconds = [sample["rows"] for sample in series], [sample["seconds"] for sample in series]
    assert rows[-1] == 300
    assert rows == sorted(rows)
    assert seconds == sorted(seconds)
    assert (out / "progress" / f"{RECIPE.digest}.png").read_bytes().startswith(b"\x89PNG")
    assert records.read(out / RECIPE.digest)
