"""GRPO with verl: the stock `verl.trainer.main_ppo` in a process of its own, looked at step by step from here.

verl's FileLogger says when a step has ended, our reward function leaves a line for each answer
(train.rewards.verl);
together they make a step's report. (verl writes its line after the step's checkpoint, so a stop between the two costs
that report.) Where the guard rails find a run hopeless, verl is stopped. What verl prints goes to
OUT/.verl/log.txt; of credentialed runs an error names that file and nothing of its content.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.stage_records import GrpoRecord
from train import base_model
from train.grpo.monitor import AnswerStatistics, GuardRails, StepReport, summarize_step
from train.grpo.run import GrpoSetup
from train.grpo.step_log import StepLog
from train.grpo.verl_config import build_environment, build_overrides, compose_config, format_overrides
from train.rewards.verl import PROMPT
from train.run_folder import TrainingFolder

EVERY = 0.5  # seconds between two looks
MEASURES = (PROMPT, "words", "repeated", "score")


def fit(ready: GrpoSetup, shop: TrainingFolder[GrpoRecord]) -> dict[str, Any]:
    """Train into shop.model; what the record says beside the step reports."""
    out = shop.run.folder
    compose_config(ready, out)  # raises before anything starts
    for folder in (out / ".verl", out / ".rewards"):
        folder.mkdir(exist_ok=True)
    for old in (out / ".rewards").iterdir():  # of an earlier start, whose last step was done in part
        old.unlink()
    resumed = _finished_steps(shop.checkpoints)
    began = time.monotonic()
    if (resumed or 0) < ready.steps:
        _run(ready, out, resumed or 0)
    weights = shop.checkpoints / f"global_step_{ready.steps}" / "actor" / "huggingface"
    if not (weights / "config.json").is_file():
        raise DeepicdError(
            f"verl ended without a checkpoint of step {ready.steps}.", f"See {out / '.verl' / 'log.txt'}."
        )
    base_model.export_model(ready.base, ready.recipe, weights, shop.model)
    return {
        "training_seconds": round(time.monotonic() - began, 2),
        "resumed_at": resumed,
        "device": "cpu" if "VERL_PLATFORM" in build_environment() else "cuda",
        "devices": ready.recipe.world,
    }


def _finished_steps(checkpoints: Path) -> int | None:
    """Of verl's newest whole checkpoint: this file is written after it."""
    path = checkpoints / "latest_checkpointed_iteration.txt"
    return int(path.read_text()) if path.is_file() else None


def _run(ready: GrpoSetup, out: Path, first: int) -> None:
    """Start verl, follow its steps, and stop it where they are hopeless. Raises DeepicdError."""
    log, told = out / ".verl" / "log.txt", out / ".verl" / "steps.jsonl"
    told.unlink(missing_ok=True)
    settings = format_overrides(build_overrides(ready, out))
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *settings, "hydra.run.dir=.",
               "hydra.output_subdir=null"]  # fmt: skip
    surroundings = os.environ | build_environment() | {"VERL_FILE_LOGGER_PATH": str(told), "HYDRA_FULL_ERROR": "1"}
    with log.open("ab") as printed:
        started = subprocess.Popen(
            command, stdout=printed, stderr=printed, env=surroundings, cwd=out / ".verl", start_new_session=True
        )
    steps, guard = StepLog(out), GuardRails(ready.recipe)
    try:
        with track_progress("steps", total=ready.steps) as advance:
            advance(first)
            for report in _reports(ready, out, told, first, started):
                steps.write(report)
                advance(1, str(report))
                guard.look(report)
        code = started.wait()
    finally:
        _end(started)
    if code:
        raise DeepicdError(
            f"verl ended with {code}{_why(ready, log)}.",
            f"All that it printed: {log}. The same command goes on from the last checkpoint.",
        )


def _reports(
    ready: GrpoSetup, out: Path, told: Path, first: int, started: "subprocess.Popen[bytes]"
) -> Iterator[StepReport]:
    """A report for each step that verl has ended. Raises DeepicdError where a step ends without our rewards."""
    step, used = first, 0
    while True:
        over = started.poll() is not None  # asked before reading: what was written before the end is then read too
        ended = _lines(told)
        while len(ended) > step - first:
            answers = _answers(out / ".rewards")
            mine = answers[used : used + ready.recipe.answers]
            if not mine:
                raise DeepicdError(
                    "verl has ended a step and never asked for our rewards.", "That is a bug; the run was stopped."
                )
            used += len(mine)
            measured = ended[step - first].get("data", {})
            step += 1
            cut = float(measured.get("response_length/clip_ratio", 0.0))
            yield replace(summarize_step(step, mine), truncated=cut)
        if over:
            return
        time.sleep(EVERY)


def _answers(folder: Path) -> list[AnswerStatistics]:
    """Of all reward workers, in the order in which they were paid: a step's answers all come before the next one's."""
    found = [line for path in sorted(folder.glob("*.jsonl")) for line in _lines(path)]
    found.sort(key=lambda line: float(line["at"]))
    return [
        AnswerStatistics(
            str(line[PROMPT]),
            line["score"],
            {name: value for name, value in line.items() if name not in (*MEASURES, "at", "judged")},
            line["words"],
            line["repeated"],
            cut=False,  # verl's own measure, of the whole step
        )
        for line in found
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file that somebody is appending to."""
    text = path.read_bytes() if path.is_file() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines() if line]


def _why(ready: GrpoSetup, log: Path) -> str:
    """The line of the log that an error of ours may show."""
    if ready.corpus.origin == "mimic":
        return ""
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in text if "Error" in line and ":" in line]
    return f": {told[-1].strip()[:300]}" if told else ""


def _end(started: "subprocess.Popen[bytes]") -> None:
    """Stop verl with all it has started here."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
