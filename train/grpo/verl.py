"""GRPO with verl: the stock `verl.trainer.main_ppo` in a process of its own, monitored step by step from here.

verl's FileLogger says when a step has ended, and our reward function leaves a line per answer (train.rewards.verl);
together they make a step's report. (verl writes its line after the step's checkpoint, so a kill between the two loses
that report.) If the guard rails find a run hopeless, verl is stopped. verl's output goes to OUT/.verl/log.txt; for
credentialed runs an error names that file and quotes nothing of its content.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.parsing import parse_json
from deepicd.stage_records import GrpoRecord
from train import base_model
from train.grpo.monitor import AnswerStatistics, GuardRails, StepLog, StepReport, summarize_step
from train.grpo.setup import FitOutcome, GrpoSetup
from train.grpo.verl_config import TOKENIZER, build_environment, build_overrides, compose_config, format_overrides
from train.rewards.verl import PROMPT
from train.run_folder import TrainingFolder

POLL_SECONDS = 0.5
NOT_PARTS = (PROMPT, "words", "repeated", "score", "at", "judged", "graded")
"""Fields of a reward line that are not parts of the reward."""


def fit(setup: GrpoSetup, folder: TrainingFolder[GrpoRecord]) -> FitOutcome:
    """Train into folder.model; return what the record says in addition to the step reports."""
    out = folder.run.folder
    compose_config(setup, out)  # raises before anything starts
    for hidden in (out / ".verl", out / ".rewards"):
        hidden.mkdir(exist_ok=True)
    setup.base.chat.tokenizer.save_pretrained(out / TOKENIZER)
    for old in (out / ".rewards").iterdir():  # from an earlier start, whose last step was incomplete
        old.unlink()
    resumed_at = _read_last_step(folder.checkpoints)
    started = time.monotonic()
    if (resumed_at or 0) < setup.steps:
        _run_verl(setup, out, resumed_at or 0)
    weights = folder.checkpoints / f"global_step_{setup.steps}" / "actor" / "huggingface"
    if not (weights / "config.json").is_file():
        raise DeepicdError(
            f"verl ended without a checkpoint of step {setup.steps}.", f"See {out / '.verl' / 'log.txt'}."
        )
    base_model.export_model(setup.base, setup.recipe, weights, folder.model)
    return {
        "training_seconds": round(time.monotonic() - started, 2),
        "resumed_at": resumed_at,
        "device": "cpu" if "VERL_PLATFORM" in build_environment() else "cuda",
        "devices": setup.recipe.gpus,
    }


def _read_last_step(checkpoints: Path) -> int | None:
    """Return the step of verl's newest complete checkpoint, after which it writes this file."""
    path = checkpoints / "latest_checkpointed_iteration.txt"
    return int(path.read_text()) if path.is_file() else None


def _run_verl(setup: GrpoSetup, out: Path, first: int) -> None:
    """Start verl, follow its steps, and stop it if they are hopeless. Raises DeepicdError."""
    log, step_file = out / ".verl" / "log.txt", out / ".verl" / "steps.jsonl"
    step_file.unlink(missing_ok=True)
    settings = format_overrides(build_overrides(setup, out))
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *settings, "hydra.run.dir=.",
               "hydra.output_subdir=null"]  # fmt: skip
    environment = os.environ | build_environment()
    environment |= {"VERL_FILE_LOGGER_PATH": str(step_file), "HYDRA_FULL_ERROR": "1"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=out / ".verl", start_new_session=True
        )
    steps, guard = StepLog(out), GuardRails(setup.recipe)
    try:
        with track_progress("steps", total=setup.steps) as advance:
            advance(first)
            for report in _follow_steps(setup, out, first, process):
                steps.write(report)
                advance(1, str(report))
                guard.check(report)
        code = process.wait()
    finally:
        _stop(process)
    if code:
        raise DeepicdError(
            f"verl ended with exit code {code}{_find_reason(setup, log)}.",
            f"All of its output: {log}. The same command resumes from the last checkpoint.",
        )


def _follow_steps(setup: GrpoSetup, out: Path, first: int, process: "subprocess.Popen[bytes]") -> Iterator[StepReport]:
    """Yield a report per step that verl has ended. Raises DeepicdError if a step ends without our rewards."""
    step, used = first, 0
    while True:
        has_ended = process.poll() is not None  # before reading: what verl wrote before its end is then read too
        lines = _read_lines(out / ".verl" / "steps.jsonl")
        while len(lines) > step - first:
            answers = _read_answers(out / ".rewards")[used : used + setup.recipe.answers]
            if not answers:
                raise DeepicdError(
                    "verl ended a step without calling our rewards, so the run was stopped.",
                    "This is a bug in deepicd: please report it.",
                )
            used += len(answers)
            figures = lines[step - first].get("data", {})
            step += 1
            truncated = float(figures.get("response_length/clip_ratio", 0.0))
            yield summarize_step(step, answers).model_copy(update={"truncated": truncated})
        if has_ended:
            return
        time.sleep(POLL_SECONDS)


def _read_answers(folder: Path) -> list[AnswerStatistics]:
    """Read the lines of all reward workers in the order of scoring: a step's answers come before the next step's."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in _read_lines(path)]
    lines.sort(key=lambda line: float(line["at"]))
    return [
        AnswerStatistics(
            group=str(line[PROMPT]),
            reward=line["score"],
            parts={name: value for name, value in line.items() if name not in NOT_PARTS},
            words=line["words"],
            repeated=line["repeated"],
            is_truncated=False,  # verl measures it over the whole step
        )
        for line in lines
    ]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a file that another process is appending to."""
    text = path.read_bytes() if path.is_file() else b""
    return [parse_json(line) for line in text[: text.rfind(b"\n") + 1].splitlines() if line]


def _find_reason(setup: GrpoSetup, log: Path) -> str:
    """Return the line of the log that an error may quote."""
    if setup.dataset.origin == "mimic":
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "Error" in line and ":" in line]
    return f": {errors[-1].strip()[:300]}" if errors else ""


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop verl with all processes that it started on this machine."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
