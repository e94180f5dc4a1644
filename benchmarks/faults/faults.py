"""Faults, and how a stage is judged that met one.

Each fault runs a stage's command under it and then, unless the fault lies in the input, the same command without it.
An end is good where it is the right output, or an error of ours: a message without a traceback and exit code 1, 2 or
130. After a fault that is over, only the right output is good.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.stage import Stage

DEEPICD = [sys.executable, "-m", "deepicd"]
LIMIT = 900  # seconds for one command: a model on a busy CPU takes minutes
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
ERRORS = (1, 2, 130)


@dataclass(frozen=True)
class End:
    """How a command ended."""

    code: int
    err: str

    @property
    def is_ours(self) -> bool:
        return self.code in ERRORS and "Traceback" not in self.err


@dataclass
class Trial:
    """A stage with a folder to work in and its right output."""

    stage: Stage
    folder: Path
    rng: random.Random
    seconds: float = 0.0
    """Of an undisturbed run."""
    right: Mapping[str, str] = field(default_factory=dict)
    number: int = 0

    @property
    def out(self) -> Path:
        return self.folder / f"{self.number}" / "out"

    def start_afresh(self) -> None:
        shutil.rmtree(self.out.parent, ignore_errors=True)
        self.number += 1
        self.out.parent.mkdir(parents=True)
        self.stage.before(self.out)

    @property
    def command(self) -> list[str]:
        return [*DEEPICD, *map(str, self.stage.command(self.out))]

    def measure(self) -> None:
        """Run the stage twice undisturbed; what agrees is its right output."""
        outputs = []
        for _ in range(2):
            self.start_afresh()
            started = time.monotonic()
            if (end := run(self.command)).code:
                raise RuntimeError(f"{self.stage.name} fails undisturbed: {end.err[-800:]}")
            self.seconds = time.monotonic() - started
            outputs.append(self.stage.read(self.out))
        self.right = {name: digest for name, digest in outputs[0].items() if outputs[1].get(name) == digest}
        if not self.right or outputs[0].keys() != outputs[1].keys():
            raise RuntimeError(f"{self.stage.name} has no output that two runs share.")

    def is_right(self, out: Path | None = None) -> bool:
        said = self.stage.read(out or self.out)
        return all(said.get(name) == digest for name, digest in self.right.items())

    def judge(self, end: End) -> str:
        """Return how a command ended that may fail: 'right', 'refused' or what is wrong with it."""
        if end.code == 0:
            return "right" if self.is_right() else "WRONG OUTPUT"
        return "refused" if end.is_ours else describe_defect(end)

    def judge_rerun(self, end: End) -> str:
        """Return how a command ended that has to succeed."""
        if end.code:
            return f"NO RECOVERY: {end.err.strip()[-300:]}"
        return "right" if self.is_right() else "WRONG OUTPUT after a rerun"


def describe_defect(end: End) -> str:
    last = end.err.strip().splitlines()[-1:] or [""]
    return f"TRACEBACK: {last[0][:200]}" if "Traceback" in end.err else f"exit code {end.code}: {last[0][:200]}"


def run(command: list[str], **options: object) -> End:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT, **options
        )  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        return End(124, "no end")
    return End(done.returncode, done.stderr)


def kill(trial: Trial) -> Iterator[str]:
    """SIGKILL at a random moment, then again, then a run to the end."""
    trial.start_afresh()
    for _ in range(2):
        with subprocess.Popen(trial.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(trial.rng.uniform(0.05, trial.seconds))
            process.kill()
    yield trial.judge_rerun(run(trial.command))


def terminate_twice(trial: Trial) -> Iterator[str]:
    """SIGTERM at a random moment and once more shortly after, then a run to the end."""
    trial.start_afresh()
    with subprocess.Popen(trial.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(trial.rng.uniform(0.05, trial.seconds))
        process.send_signal(signal.SIGTERM)
        time.sleep(trial.rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT)
    if process.returncode == -signal.SIGTERM:  # before Python ran a line of ours
        yield "stopped"
    else:
        yield trial.judge(End(process.returncode, err))
    yield trial.judge_rerun(run(trial.command))


def fill_disk(trial: Trial) -> Iterator[str]:
    """A disk that is full after a random share of the output, then one with room."""
    after = _measure(trial.out) or 100_000
    trial.start_afresh()
    before = _measure(trial.out)
    yield from _run_on_disk(trial, str(before + max(4096, int((after - before) * trial.rng.uniform(0.0, 1.3)))))


def _measure(folder: Path) -> int:
    """Return the bytes of a folder on a file system with blocks of 4 KiB."""
    return sum(4096 + (path.stat().st_size + 4095) // 4096 * 4096 for path in folder.rglob("*"))


def write_to_read_only(trial: Trial) -> Iterator[str]:
    """A read-only file system, then a writable one."""
    yield from _run_on_disk(trial, "0")


def _run_on_disk(trial: Trial, size: str) -> Iterator[str]:
    trial.start_afresh()
    folder, kept = trial.out.parent, Path(f"{trial.out.parent}.kept")
    shutil.copytree(folder, kept)
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "benchmarks.faults.small_disk", size, str(folder), *trial.command],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LIMIT,
        env={**os.environ, "TMPDIR": str(folder), "MPLCONFIGDIR": str(trial.folder)},
    )
    if done.returncode:
        raise RuntimeError(f"No file system could be made: {done.stderr[-300:]}")
    first, second = (End(end["code"], end["err"]) for end in json.loads(done.stdout.splitlines()[-1]).values())
    if first.code == 0:
        yield "right" if second.code == 0 and trial.is_right(kept / "out") else "WRONG OUTPUT"
    else:
        yield "refused" if first.is_ours else describe_defect(first)
        is_right = second.code == 0 and trial.is_right(kept / "out")
        yield "right" if is_right else f"NO RECOVERY: {second.err.strip()[-300:]}"
    shutil.rmtree(kept)


def run_twice_at_once(trial: Trial) -> Iterator[str]:
    """Two processes with one command and one OUT."""
    trial.start_afresh()
    both = [
        subprocess.Popen(trial.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ends = []
    for process in both:
        _, err = process.communicate(timeout=LIMIT)
        ends.append(End(process.returncode, err))
    for end in ends:
        yield trial.judge(end) if end.code or all(other.code == 0 for other in ends) else "right"
    yield trial.judge_rerun(run(trial.command))


def set_clock_back(trial: Trial) -> Iterator[str]:
    """A run that is killed, and one to the end whose clock stands a year before."""
    trial.start_afresh()
    with subprocess.Popen(trial.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(trial.rng.uniform(0.05, trial.seconds))
        process.kill()
    yield trial.judge_rerun(run(["faketime", "-f", "-365d", *trial.command]))


def close_pipe(trial: Trial) -> Iterator[str]:
    """Nobody reads what the command prints, on either stream; then somebody does."""
    trial.start_afresh()
    read, write = os.pipe()
    os.close(read)
    try:
        code = subprocess.run(trial.command, stdout=write, stderr=write, check=False, timeout=LIMIT).returncode
    finally:
        os.close(write)
    yield trial.judge(End(code, ""))
    yield trial.judge_rerun(run(trial.command))


def damage_inputs(trial: Trial) -> Iterator[str]:
    """Each input cut off at a random byte, and with a random bit flipped."""
    for path in trial.stage.inputs:
        whole = path.read_bytes()
        at = trial.rng.randrange(1, len(whole))
        flipped = bytearray(whole)
        flipped[at] ^= 1 << trial.rng.randrange(8)
        for how, damaged in (("cut", whole[:at]), ("flipped", bytes(flipped))):
            trial.start_afresh()
            try:
                path.write_bytes(damaged)
                verdict = trial.judge(run(trial.command))
            finally:
                path.write_bytes(whole)
            if verdict == "WRONG OUTPUT" and path in trial.stage.unverified:
                verdict = "another input"
            named = f"{verdict} ({path.name} {how} at byte {at})"
            yield verdict if verdict in ("right", "refused", "another input") else named


Fault = Callable[[Trial], Iterator[str]]
FAULTS: Mapping[str, Fault] = {
    "kill -9, twice": kill,
    "SIGTERM twice": terminate_twice,
    "full disk": fill_disk,
    "read-only disk": write_to_read_only,
    "two runs at once": run_twice_at_once,
    "input cut or bit flipped": damage_inputs,
    "clock set back": set_clock_back,
    "closed pipe": close_pipe,
}
