"""Leases: one writer at a time, on disks that several hosts share, and none that a dead one keeps."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from deepicd import lease, records
from deepicd.errors import DeepicdError
from deepicd.lease import LOCK, Owner, hold_lease, is_held

ELSEWHERE = Owner(host="node07", machine="another boot 4026531836", pid=os.getpid(), started="1", nonce="9c0e")


def leave_lock(path: Path, owner: Owner = ELSEWHERE, age: float = 0.0) -> Path:
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_lease_is_held_by_one_and_gone_afterwards(tmp_path: Path) -> None:
    with hold_lease(tmp_path / LOCK, "writing to out"):
        assert is_held(tmp_path / LOCK)
        with (
            pytest.raises(
                DeepicdError, match=r"Another process is writing to out \(process \d+ on .+, last seen 0 sec"
            ),
            hold_lease(tmp_path / LOCK, "writing to out"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def test_another_host_that_was_seen_lately_is_not_disturbed(tmp_path: Path) -> None:
    path = leave_lock(tmp_path / LOCK, age=60)
    with pytest.raises(DeepicdError, match="on node07, last seen 60 seconds ago"), hold_lease(path, "writing to out"):
        pass
    assert json.loads(path.read_text())["host"] == "node07"


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(ELSEWHERE, id="another host"),
        pytest.param(None, id="killed between making the file and writing it"),
    ],
)
def test_a_lease_without_heartbeat_is_taken_over(owner: Owner | None, tmp_path: Path) -> None:
    path = leave_lock(tmp_path / LOCK, age=lease.STALE_AFTER + 5)
    if owner is None:
        path.write_text("")
        os.utime(path, (0, 0))
    with hold_lease(path, "writing to out"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_heartbeat_from_the_future_counts_from_when_it_is_first_seen(tmp_path: Path) -> None:
    """The file server's clock was set back by a year: the lease is stale in two minutes, and not in a year."""
    path = leave_lock(tmp_path / LOCK, age=-365 * 86_400)
    with pytest.raises(DeepicdError, match="on node07, last seen 0 seconds ago"), hold_lease(path, "writing to out"):
        pass
    assert abs(path.stat().st_mtime - time.time()) < 60
    leave_lock(path, age=lease.STALE_AFTER + 5)  # nobody has touched it since
    with hold_lease(path, "writing to out"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_process_of_this_machine_is_judged_by_itself_and_not_by_the_time(tmp_path: Path) -> None:
    here = Owner.describe_this_process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for gone in (replace(here, pid=ended.pid), replace(here, started="1")):  # ended; its number is used again
        with hold_lease(leave_lock(tmp_path / LOCK, gone), "writing to out"):
            pass
    path = leave_lock(tmp_path / LOCK, here, age=86_400)  # stopped in a debugger since yesterday
    with pytest.raises(DeepicdError, match="Another process"), hold_lease(path, "writing to out"):
        pass


def test_of_two_that_judge_a_lease_stale_one_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = leave_lock(tmp_path / LOCK, age=1000)
    create, other = lease._create, replace(ELSEWHERE, nonce="faster")

    def create_late(target: Path, owner: Owner) -> bool:
        if target.name.endswith(".claim") and "9c0e" in path.read_text():
            leave_lock(path, other)  # after this process has judged, and before it claims
        return create(target, owner)

    monkeypatch.setattr(lease, "_create", create_late)
    with pytest.raises(DeepicdError, match="Another process is writing"), hold_lease(path, "writing to out"):
        pass
    assert [json.loads(file.read_text())["nonce"] for file in tmp_path.iterdir()] == ["faster"]


def test_a_claim_keeps_others_away_until_it_is_stale_itself(tmp_path: Path) -> None:
    path = leave_lock(tmp_path / LOCK, age=1000)
    claim = leave_lock(tmp_path / f"{LOCK}.claim")
    with pytest.raises(DeepicdError, match="just beginning"), hold_lease(path, "writing to out"):
        pass
    leave_lock(claim, age=1000)
    with pytest.raises(DeepicdError, match="Rerun"), hold_lease(path, "writing to out"):
        pass
    with hold_lease(path, "writing to out"):
        pass


def test_who_has_lost_a_lease_leaves_no_output(tmp_path: Path) -> None:
    plan = records.plan_run("build", options={}, inputs={})
    out, lock = tmp_path / "out", tmp_path / f".out{LOCK}"
    with (
        pytest.raises(DeepicdError, match="Another process has taken over writing to"),
        records.open_fresh_folder(out, plan, "synthetic") as run,
    ):
        (run.folder / "data.txt").write_text("half")
        leave_lock(lock)
    assert [path.name for path in tmp_path.iterdir()] == [lock.name]  # the other one's


def test_a_heartbeat_touches_the_file(tmp_path: Path) -> None:
    with hold_lease(tmp_path / LOCK, "writing to out") as held:
        os.utime(tmp_path / LOCK, (0, 0))
        held.check()
        assert (tmp_path / LOCK).stat().st_mtime > 0


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK, errno.ENOSYS])
def test_stages_need_no_lock_of_the_kernel(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("flock", "lockf", "fcntl"):  # NFS refuses a folder, a server without lockd and Lustre every file
        monkeypatch.setattr(fcntl, name, refuse)
    plan = records.plan_run("build", options={}, inputs={})
    opens: list[Callable[..., object]] = [records.open_fresh_folder, records.open_resumable_folder]
    for number, open_folder in enumerate(opens):
        with open_folder(tmp_path / str(number), plan, "synthetic") as run:  # type: ignore[attr-defined]
            (run.folder / "data.txt").write_text("whole")
        assert sorted(path.name for path in (tmp_path / str(number)).iterdir()) == ["data.txt", "run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_on_windows_the_command_says_where_it_runs() -> None:
    script = "import sys; from deepicd.cli import main; sys.platform = 'win32'; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Run it in WSL 2" in done.stderr
