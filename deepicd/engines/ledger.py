"""The ledger: every completion ever paid for, found again by what it was asked with.

    OUT/ledger/00000.jsonl      one file a session, only ever appended to
    {"crc":"1f0c…","kind":"session","key":"","origin":"synthetic","version":"0.1.0"}
    {"crc":"9b2a…","kind":"completion","key":"5d41…","text":"<think>…","finish_reason":"stop","seed":42,…}
    {"crc":"77e0…","kind":"findings","key":"5d41…","checks":"checks-1",…}

The ledger stands above the folders of recipes. Those are derived from it, so that a changed recipe finds again what it
asks for in the same words, and a run may be killed at any moment.

Lines of JSON and not SQLite: traces are written on clusters, whose shared file systems SQLite's write-ahead log does
not work on; a damaged line costs that line and not the file; and any tool reads it. Lines reach the system at once, so
that `kill -9` takes nothing that was handed over, and the disk within a second, so that a power cut takes a second's.
A session starts a file of its own and never writes behind a line that another one left half done. Each line carries a
checksum; one that fails it is passed over and counted, and its completion is asked for again.

In memory are keys and places, some 200 bytes a completion; texts stay on disk. Texts descend from notes: the first line
of each file says from what kind (`storage.read_origin` reads it, and takes a file without it for credentialed).
"""

import json
import os
import threading
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from deepicd import __version__, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

FOLDER = "ledger"
SYNC_EVERY = 1.0  # seconds

Kind = Literal["session", "completion", "findings"]
Entry = dict[str, Any]

_BODY = 18  # where it begins in a line, behind its checksum: {"crc":"xxxxxxxx","kind":…,"key":…,
_ABSENT = 2**64 - 1
_OFFSET_BITS = 40  # of a place; the rest is the number of the file


class Ledger:
    """An open ledger. Reads from one thread; the disk is waited for in another."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self._folder, self._origin = folder, origin
        self._numbers: dict[bytes, int] = {}  # key → number of its completion
        self._completions, self._findings = array("Q"), array("Q")  # number → place
        self._files: list[BinaryIO] = []
        self._lock = threading.Lock()
        self._written: BinaryIO | None = None
        self._dirty, self._closing = False, threading.Event()
        self._syncing = threading.Thread(target=self._sync_now_and_then, daemon=True)
        self.damaged = 0
        """Lines that were passed over because they are not what was written."""
        for path in _segments(folder):
            self._index(path)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._numbers

    def completion(self, key: str) -> Entry | None:
        """What was answered to a request; None where nothing was."""
        number = self._numbers.get(bytes.fromhex(key))
        return None if number is None else self._read(self._completions[number])

    def findings(self, key: str) -> Entry | None:
        """What the checks found in it, whichever version of them was last; None where none ran."""
        number = self._numbers.get(bytes.fromhex(key))
        place = _ABSENT if number is None else self._findings[number]
        return None if place == _ABSENT else self._read(place)

    def add_completion(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep an answer. Raises DeepicdError where the disk will not have it."""
        self._place("completion", key, self._append("completion", key, entry))

    def add_findings(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep what the checks found in a completion that is here."""
        self._place("findings", key, self._append("findings", key, entry))

    def close(self) -> None:
        self._closing.set()
        if self._written is not None:
            self._syncing.join()
            self._sync()
        for file in self._files:
            file.close()

    def _index(self, path: Path) -> None:
        file = path.open("rb")
        number, offset = len(self._files), 0
        self._files.append(file)
        for line in file:
            body = line[_BODY:-1]
            if not line.endswith(b"\n") or line[:_BODY] != _checksum(body):
                self.damaged += 1
            else:
                kind, key = _named(body)
                self._place(kind, key, number << _OFFSET_BITS | offset)
            offset += len(line)

    def _place(self, kind: Kind, key: str, place: int) -> None:
        if kind == "session":
            return
        number = self._numbers.get(name := bytes.fromhex(key))
        if kind == "completion" and number is None:  # else one that two sessions wrote: the first counts
            self._numbers[name] = len(self._completions)
            self._completions.append(place)
            self._findings.append(_ABSENT)
        elif kind == "findings" and number is not None:
            self._findings[number] = place

    def _read(self, place: int) -> Entry:
        file = self._files[place >> _OFFSET_BITS]
        file.seek(place & (1 << _OFFSET_BITS) - 1)
        return cast(Entry, json.loads(file.readline()))

    def _append(self, kind: Kind, key: str, entry: Mapping[str, Any]) -> int:
        if self._written is None:
            self._written = self._new_segment()
        line = _line(kind, key, entry)
        with self._lock:
            file = self._written
            place = (len(self._files) - 1) << _OFFSET_BITS | file.seek(0, os.SEEK_END)
            file.write(line)
            file.flush()
            self._dirty = True
        return place

    def _new_segment(self) -> BinaryIO:
        last = max((int(path.stem) for path in _segments(self._folder)), default=-1)
        file = (self._folder / f"{last + 1:05d}.jsonl").open("x+b")
        started = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(_line("session", "", {"origin": self._origin, "version": __version__, "started": started}))
        self._files.append(file)
        self._syncing.start()
        return file

    def _sync(self) -> None:
        with self._lock:
            dirty, self._dirty = self._dirty, False
        if dirty and self._written is not None:
            os.fsync(self._written.fileno())

    def _sync_now_and_then(self) -> None:
        while not self._closing.wait(SYNC_EVERY):
            self._sync()


@contextmanager
def open_ledger(out: Path, origin: Origin) -> Iterator[Ledger]:
    """The ledger of an output folder, this process's alone. Raises DeepicdError where another one is at work."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with storage.lock_folder(folder, out):
        ledger = Ledger(folder, origin)
        try:
            yield ledger
        finally:
            ledger.close()


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9][0-9][0-9].jsonl"))


def _line(kind: Kind, key: str, entry: Mapping[str, Any]) -> bytes:
    body = json.dumps({"kind": kind, "key": key} | dict(entry), ensure_ascii=False, separators=(",", ":"))[1:]
    encoded = body.encode(errors="surrogatepass")
    return _checksum(encoded) + encoded + b"\n"


def _checksum(body: bytes) -> bytes:
    return b'{"crc":"%08x",' % zlib.crc32(body)


def _named(body: bytes) -> tuple[Kind, str]:
    """Kind and key of a line without reading the rest of it: `"kind":"completion","key":"5d41…",…`."""
    _, _, _, kind, _, _, _, key, _ = body.split(b'"', 8)
    if kind not in (b"session", b"completion", b"findings"):
        raise DeepicdError(
            "The ledger has lines of a kind that this version does not know.",
            "Use the version that wrote it, or later.",
        )
    return cast(Kind, kind.decode()), key.decode()
