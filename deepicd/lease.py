"""Leases: one process at a time writes to a folder, on this machine or on another one that sees the same disk.

    OUT/ledger/.lock   {"host": "node07", "machine": "5f2c… 4026531836", "pid": 4711, "started": "881", "nonce": "9c…"}

A file, made if it is absent, rather than a lock of the kernel: NFS refuses to lock what is not open for writing, Lustre
may lock for one host alone, and some servers lock nothing. The owner touches the file every `HEARTBEAT` seconds.

When a lease is taken over: where its process runs on this machine, as soon as that process has ended; elsewhere, once
the file was not touched for `STALE_AFTER` seconds. That is judged by the file server's clock alone, against a file made
just now. A heartbeat from the future, since that clock was set back, says nothing of its age: it is dated anew, and its
owner has as long as any other to touch it again. Of several that judge at the same time, the one that makes the claim
file takes over. An owner whose lease was taken over, since its machine had been suspended, say, learns it from the next
heartbeat and from `Lease.check`.
"""

import json
import os
import platform
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json

LOCK = ".lock"  # in a folder; hidden files are no content of one
HEARTBEAT = 10.0  # seconds
STALE_AFTER = 120.0  # seconds; a machine that is busy or waits for its file server misses several heartbeats


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lease."""

    host: str
    machine: str
    """Boot and process namespace: only there does `pid` mean this process. The host's name on other systems."""
    pid: int
    started: str
    """Start of the process in ticks since boot, since a pid is used again; '' where the system has no /proc."""
    nonce: str

    @classmethod
    def describe_this_process(cls) -> "Owner":
        """Return an owner with a new nonce."""
        host, pid = platform.node(), os.getpid()
        return cls(host, _identify_machine() or host, pid, _read_start(pid), secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner that a lock file names; None for one that was not written whole."""
        try:
            return cls(**parse_json(text))
        except (ValueError, TypeError):
            return None

    def is_running(self) -> bool | None:
        """Return whether the process still runs; None if this machine cannot know."""
        if self.machine != (_identify_machine() or platform.node()):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's, and alive
        return _read_start(self.pid) == self.started


class Lease:
    """A lease that this process holds."""

    def __init__(self, path: Path, owner: Owner, doing: str) -> None:
        self._path, self._owner, self._doing = path, owner, doing
        self._seen, self._is_lost, self._ending = monotonic(), False, threading.Event()
        self._beating = threading.Thread(target=self._beat_regularly, name="lease", daemon=True)
        self._beating.start()

    def check(self) -> None:
        """Raise DeepicdError if another process has taken over."""
        self._beat()
        if self._is_lost:
            raise DeepicdError(
                f"Another process has taken over {self._doing}: this one was not heard of for {STALE_AFTER:g} seconds.",
                "Let the other one end. What this one had finished is kept.",
            )

    def release(self) -> None:
        self._ending.set()
        self._beating.join()
        if not self._is_lost and self._is_ours():
            self._path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        try:
            return Owner.parse(self._path.read_text(encoding="utf-8", errors="replace")) == self._owner
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        try:
            self._is_lost = self._is_lost or not self._is_ours()
            if not self._is_lost:
                os.utime(self._path)
                self._seen = monotonic()
        except OSError:  # the file server does not answer
            self._is_lost = self._is_lost or monotonic() - self._seen > STALE_AFTER

    def _beat_regularly(self) -> None:
        while not self._ending.wait(HEARTBEAT):
            self._beat()


@contextmanager
def hold_lease(path: Path, doing: str) -> Iterator[Lease]:
    """Hold the lease of a lock file while the block runs. Raises DeepicdError if another process has it.

    `doing`: what it allows, for the error: 'writing to out/traces'.
    """
    owner = Owner.describe_this_process()
    if not _create(path, owner):
        _take_over(path, owner, doing)
    lease = Lease(path, owner, doing)
    try:
        yield lease
    finally:
        lease.release()


def is_held(path: Path) -> bool:
    """Return whether a lock file exists that may not be taken over."""
    owner, age = _read_lock(path)
    return age is not None and not _is_stale(owner, age)


def is_held_elsewhere(path: Path) -> bool:
    """Return whether a lease is held by a process that this machine cannot judge: it may have ended, and lapse soon."""
    owner, age = _read_lock(path)
    return age is not None and age <= STALE_AFTER and (owner is None or owner.is_running() is None)


def _create(path: Path, owner: Owner) -> bool:
    """Make a lock file unless it exists; return whether it was made."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(asdict(owner), file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _take_over(path: Path, owner: Owner, doing: str) -> None:
    """Replace a stale lock file. Raises DeepicdError for one that is not stale."""
    judged, age = _read_lock(path)
    if age is not None and not _is_stale(judged, age):
        raise _describe_holder(judged, age, doing)
    claim = path.with_name(f"{path.name}.claim")
    if not _create(claim, owner):
        if is_held(claim):
            raise DeepicdError(f"Another process is just beginning {doing}.", "Wait for it to end.")
        claim.unlink(missing_ok=True)  # its process was killed in the moment of taking over
        raise DeepicdError(f"A process was stopped while it began {doing}.", "Rerun the same command.")
    try:
        current, age = _read_lock(path)
        if age is not None and current != judged:  # another one has taken over between judging and claiming
            raise _describe_holder(current, age, doing)
        path.unlink(missing_ok=True)
        if not _create(path, owner):
            raise DeepicdError(f"Another process is just beginning {doing}.", "Wait for it to end.")
    finally:
        claim.unlink(missing_ok=True)


def _describe_holder(owner: Owner | None, age: float, doing: str) -> DeepicdError:
    who = f"process {owner.pid} on {owner.host}, " if owner else ""
    return DeepicdError(
        f"Another process is {doing} ({who}last seen {max(age, 0):.0f} seconds ago).",
        "Wait for it to end, or choose another folder. If it was killed on another machine, the same command takes over"
        f" {STALE_AFTER:.0f} seconds after it was last seen.",
    )


def _is_stale(owner: Owner | None, age: float) -> bool:
    is_running = owner.is_running() if owner else None
    return age > STALE_AFTER if is_running is None else not is_running


def _read_lock(path: Path) -> tuple[Owner | None, float | None]:
    """Return the owner in a lock file and the seconds since its last heartbeat; None for both without a file."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(4)}.now")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:  # opening asks the file server, `stat` may not
            owner, touched = Owner.parse(file.read()), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None, None
    try:
        probe.touch()
        age = probe.stat().st_mtime - touched
        if age < -HEARTBEAT:
            with suppress(OSError):  # of another user, or gone since
                os.utime(path)
        return owner, age
    finally:
        with suppress(OSError):
            probe.unlink()


def _identify_machine() -> str:
    """Return boot and process namespace; '' on a system without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _read_start(pid: int) -> str:
    """Return when a process started, in ticks since boot; '' for one that has ended, and on a system without /proc."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
