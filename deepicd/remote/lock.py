"""The lock of a folder in a store: an object that is written if it is absent, with an owner and a heartbeat.

The rules are those of deepicd.lease, by the store's clock. Each heartbeat writes another number, and a heartbeat or a
takeover writes only over the very object that was judged (If-Match), so that of two processes that take over a stale
lock in the same moment one has it. In a store other than S3 both may believe so until the next heartbeat of one.
"""

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from deepicd.errors import DeepicdError
from deepicd.lease import LOCK, STALE_AFTER
from deepicd.remote.store import Store

HEARTBEAT = 20.0  # seconds

logger = logging.getLogger(__name__)


class StoreLock:
    """A lock that this process holds."""

    def __init__(self, store: Store, name: str, nonce: bytes) -> None:
        self._store, self._name, self._nonce, self._beats = store, name, nonce, 0
        self._seen, self._is_lost, self._ending = monotonic(), False, threading.Event()
        self._beating = threading.Thread(target=self._beat_regularly, name="remote lock", daemon=True)
        self._beating.start()

    def check(self) -> None:
        """Raise DeepicdError if another process has taken over."""
        self._beat()
        if self._is_lost:
            raise DeepicdError(
                f"Another process has taken over writing to {self._store.url}, so this one writes nothing more there.",
                "Let the other one end.",
            )

    def release(self) -> None:
        self._ending.set()
        self._beating.join()
        self._beat()
        if not self._is_lost:
            self._store.remove(self._name)

    def _beat(self) -> None:
        try:
            found = self._store.read(self._name)
            if self._is_lost or found is None or not found[0].startswith(self._nonce):
                self._is_lost = True
                return
            self._beats += 1
            self._is_lost = not self._store.replace(self._name, b"%s %d" % (self._nonce, self._beats), found[2])
            self._seen = monotonic()
        except DeepicdError:  # the store does not answer
            self._is_lost = self._is_lost or monotonic() - self._seen > STALE_AFTER

    def _beat_regularly(self) -> None:
        while not self._ending.wait(HEARTBEAT):
            self._beat()


@contextmanager
def hold_lock(store: Store, suffix: str) -> Iterator[StoreLock]:
    """Hold the lock of a store while the block runs. Raises DeepicdError where another process has it.

    `suffix`: tells the locks of processes that write together, '-3-of-16'. They exclude a process without one.
    """
    name, nonce = LOCK + suffix, secrets.token_hex(8).encode()
    if not store.create(name, nonce):
        tag = _refuse_living(store, name)
        if not (store.create(name, nonce) if tag is None else store.replace(name, nonce, tag)):
            raise _describe_holder(store, 0)
    lock = StoreLock(store, name, nonce)
    try:
        others = [other for other in store.list_files() if other.startswith(LOCK) and "/" not in other]
        for other in others:
            is_beside = suffix and other.rpartition("-of-")[2] == suffix.rpartition("-of-")[2]
            if other not in (name, f"{name}.now") and not is_beside and not other.endswith(".now"):
                _refuse_living(store, other)
        yield lock
    finally:
        lock.release()


def _refuse_living(store: Store, name: str) -> str | None:
    """Return the tag of a stale lock; None for one that has gone. Raises DeepicdError for any other."""
    probe = f"{name}.{secrets.token_hex(4)}.now"
    store.overwrite(probe, b"")
    try:
        found, now = store.read(name), store.read(probe)
    finally:
        store.remove(probe)
    if found is not None and now is not None and now[1] - found[1] <= STALE_AFTER:
        raise _describe_holder(store, now[1] - found[1])
    return found[2] if found else None


def _describe_holder(store: Store, age: float) -> DeepicdError:
    return DeepicdError(
        f"Another process is writing to {store.url} (last seen {age:.0f} seconds ago).",
        f"Wait for it to end. If it was killed, the same command takes over {STALE_AFTER:.0f} seconds after that.",
    )
