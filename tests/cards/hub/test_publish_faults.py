"""Faults at every step: complete and verified, or an error with the repository as it was; never a row in the open.

Credentialed rows (made up by us, and marked so) are published under their sentence while the server fails in one way at
one step. A dozen cases run always, the whole matrix with `make test-full`.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hub_state import Fault, Kind, User

from cards.hub.policy import build_sentence

from .conftest import Loopback, Run

STEPS = (
    "whoami", "info", "create", "settings", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify",
    "commit", "resolve",
)  # fmt: skip
PASSING: tuple[tuple[str, Kind, int], ...] = (
    ("500", "status", 500),
    ("503", "status", 503),
    ("429", "status", 429),
    ("dropped", "drop", 0),
    ("hanging", "hang", 0),
    ("truncated", "truncate", 0),
    ("answer lost", "lost", 0),
)
LASTING = (401, 403, 404, 409, 412)


@dataclass(frozen=True)
class Case:
    """One fault at one step, once or for ever."""

    step: str
    name: str
    kind: Kind
    status: int
    lasting: bool

    def __str__(self) -> str:
        return f"{self.step} {self.name}{' for ever' if self.lasting else ''}"


MATRIX = [Case(step, name, kind, status, False) for step, (name, kind, status) in product(STEPS, PASSING)]
MATRIX += [Case(step, str(status), "status", status, True) for step, status in product(STEPS[:-1], LASTING)]
MATRIX += [Case(step, "503", "status", 503, True) for step in ("whoami", "info", "create", "settings", "commit")]
MATRIX += [Case(step, "a page", "html", 200, True) for step in ("whoami", "info", "settings", "preupload", "commit")]
MATRIX += [Case(step, "429 for an hour", "status", 429, True) for step in ("whoami", "create", "commit")]
ALWAYS = {
    "info dropped", "create answer lost", "settings 503", "preupload 429", "lfs-put truncated", "commit answer lost",
    "commit truncated", "commit hanging", "resolve 503", "create 403 for ever", "settings 404 for ever",
    "lfs-verify 404 for ever", "commit 412 for ever", "commit 503 for ever", "whoami 401 for ever",
    "commit a page for ever",
}  # fmt: skip


HARMLESS = {
    "lfs-verify 409 for ever"
}  # whole or nothing: at the next try many objects are there, and nobody asks for these to be verified; of few all are


def outcomes(cases: list[Case], loopback: Loopback, out: Path, folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Case → repository and outcome; all at once."""
    orders, repos = [], {}
    for number, case in enumerate(cases):
        token, repo = f"hf_case_{len(cases)}_{number}", loopback.new()
        loopback.hub.users[token] = User("sam")
        headers = {"Retry-After": "3600" if "hour" in case.name else "0"} if case.status == 429 else {}
        times = 10_000 if case.lasting else 1
        loopback.hub.faults.append(Fault(case.step, case.kind, case.status, times, repo, token, headers=headers))
        repos[str(case)] = repo
        orders.append(
            {"name": str(case), "repo": repo, "token": token, "out": str(out), "what": "rows", "gated": True,
             "responsible": build_sentence(repo, loopback.url)}
        )  # fmt: skip
    environment = {**os.environ, "HF_TOKEN": "hf_write", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests" / "hub_cases.py"), loopback.url, str(folder)],
        input=json.dumps(orders), capture_output=True, text=True, check=False, env=environment, timeout=600,
    )  # fmt: skip
    loopback.hub.faults.clear()
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: (repos[name], outcome) for name, outcome in json.loads(done.stdout.splitlines()[-1]).items()}


def judge(case: Case, repo: str, outcome: dict[str, Any], loopback: Loopback, out: Path) -> None:
    states = loopback.states(repo)
    assert not [state for state in states if state.sent and state.open], "rows stood in the open"
    assert not [state for state in states if not state.private], "it was never asked to be public"
    there = loopback.hub.repos.get(repo)
    rows = [path.relative_to(out).as_posix() for path in out.glob("*/*.parquet")]
    if str(case) not in HARMLESS:
        assert outcome["done"] is not case.lasting, outcome["said"]
    if outcome["done"]:
        assert there is not None
        assert set(rows) < set(there.head.tree)
        assert len(there.commits) == 2, "the first commit and ours, once"
        assert "3 configs" in outcome["said"]
    else:
        assert there is None or set(there.head.tree) == {".gitattributes"}, "left as it was"
        what, _, advice = outcome["said"].partition("\n")
        assert what
        assert advice
        assert "Error" not in what


@pytest.fixture(scope="module")
def few(
    loopback: Loopback, credentialed: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, dict[str, Any]]]:
    cases = [case for case in MATRIX if str(case) in ALWAYS]
    return outcomes(cases, loopback, credentialed, tmp_path_factory.mktemp("few"))


@pytest.mark.parametrize("case", [case for case in MATRIX if str(case) in ALWAYS], ids=str)
def test_under_a_fault_a_publication_is_whole_or_nothing(
    case: Case, few: dict[str, tuple[str, dict[str, Any]]], loopback: Loopback, credentialed: Path
) -> None:
    judge(case, *few[str(case)], loopback, credentialed)


@pytest.fixture(scope="module")
def every(
    loopback: Loopback, credentialed: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, dict[str, Any]]]:
    cases = [case for case in MATRIX if str(case) not in ALWAYS]
    return outcomes(cases, loopback, credentialed, tmp_path_factory.mktemp("every"))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in MATRIX if str(case) not in ALWAYS], ids=str)
def test_under_every_other_fault_too(
    case: Case, every: dict[str, tuple[str, dict[str, Any]]], loopback: Loopback, credentialed: Path
) -> None:
    judge(case, *every[str(case)], loopback, credentialed)


def test_the_cases_that_always_run_are_of_the_matrix() -> None:
    assert {str(case) for case in MATRIX} >= ALWAYS
    assert len(MATRIX) >= 140


@pytest.mark.slow
@pytest.mark.parametrize("step", ["create", "lfs-put", "commit", "resolve"])
def test_a_publication_that_is_killed_is_finished_by_the_same_command(
    step: str, loopback: Loopback, made_up: Path, run: Run, tmp_path: Path
) -> None:
    """Killed while an answer is outstanding: before anything is done, or (commit) after it was."""
    repo, token = loopback.new(), f"hf_killed_{step}"
    loopback.hub.users[token] = User("sam")
    kind: Kind = "stall" if step == "commit" else "hang"
    loopback.hub.faults.append(Fault(step, kind, repo=repo, token=token))
    asked = len(loopback.hub.requests)
    words = [
        sys.executable,
        "-m",
        "deepicd",
        "publish",
        str(made_up),
        repo,
        "--what",
        "rows",
        "--records",
        str(tmp_path),
    ]
    environment = {**os.environ, "HF_ENDPOINT": loopback.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1",
                   "HF_HOME": str(tmp_path / "home")}  # fmt: skip
    process = subprocess.Popen(
        words, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while step not in {done for done, _ in loopback.hub.requests[asked:]} and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.kill()
    process.wait()
    loopback.hub.faults.clear()
    again = run("publish", made_up, repo, "--what", "rows", "--records", tmp_path)
    assert again.code == 0, again.err
    assert len(loopback.hub.repos[repo].commits) == 2
    assert all(state.private for state in loopback.states(repo))
