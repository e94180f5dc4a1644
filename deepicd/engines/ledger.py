"""The ledger: every completion ever generated, under a key of its request.

    OUT/ledger/00000.jsonl      one file per session, only ever appended to
    {"crc":"1f0c…","kind":"session","key":"","origin":"synthetic","version":"0.1.0"}
    {"crc":"9b2a…","kind":"completion","key":"5d41…","text":"<think>…","finish_reason":"stop","seed":42,…}
    {"crc":"77e0…","kind":"findings","key":"5d41…","checks":"checks-1",…}

    OUT/ledger/failures.jsonl   requests that got no answer
    {"key":"5d41…","reason":"the server answered 400 to this prompt"}

The ledger stands above the folders of recipes, which are derived from it: a changed recipe finds every completion whose
request is unchanged, and a run may be killed at any moment. `build_key` is the one place that says what a request is.

JSON lines rather than SQLite: SQLite's write-ahead log does not work on the shared file systems of clusters, and a
damaged line costs that line, not the file. Lines are flushed at once, so that `kill -9` loses nothing, and synced every
second. A session starts a new file and never appends to a line that another session left incomplete. A line that fails
its checksum is skipped and counted, and its completion is requested again.

Memory holds keys and file positions, some 200 bytes per completion; texts stay on disk. Texts descend from notes: the
first line of each file gives their origin (`storage.read_origin` reads it, and treats a file without it as
credentialed).
"""

import json
import os
import threading
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from deepicd import __version__, storage
from deepicd.engines.base import Message, parse_count
from deepicd.engines.recipe import TEMPLATE_DATE, ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.lease import LOCK, hold_lease
from deepicd.storage import Origin

FOLDER = "ledger"
FAILURES = "failures.jsonl"
SYNC_EVERY = 1.0  # seconds
TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")

Kind = Literal["session", "completion", "findings"]
Entry = dict[str, Any]

_BODY = 18  # where it begins in a line, after the checksum: {"crc":"xxxxxxxx","kind":…,"key":…,
_ABSENT = 2**64 - 1
_OFFSET_BITS = 40  # of a position; the rest is the number of the file


def digest_prompt(messages: Sequence[Message], opening: str) -> str:
    """Return the SHA-256 of all that the model reads."""
    total = sha256()
    for message in messages:
        total.update(f"{message['role']}\0{message['content']}\0".encode())
    total.update(opening.encode())
    return total.hexdigest()


def build_key(
    recipe: ModelRecipe,
    note_id: str,
    prompt_sha256: str,
    attempt: int = 0,
    schema: Mapping[str, object] | None = None,
    *,
    rollout: int = 0,
) -> str:
    """Return the key of an attempt: everything that decides what is written, and nothing of where it runs.

    `prompt_sha256` comes from `digest_prompt`. The note's id is part of it, so that equal notes get a completion each;
    so is the context where a model writes, since a completion ends where the context does. Keys of a row's first
    rollout are those of a run with only one.
    """
    model: list[object] = [recipe.uses_model, recipe.model, recipe.revision, recipe.dtype]
    if recipe.uses_model:
        model.append(recipe.context)
    if recipe.template_date != TEMPLATE_DATE:
        model.append(recipe.template_date)
    deciding = [note_id, prompt_sha256, model, recipe.sampling, recipe.derive_seed(attempt, rollout), attempt]
    deciding += recipe.body_changes
    deciding += [] if schema is None else [schema]
    deciding += [{"rollout": rollout}] if rollout else []
    return storage.digest_json(deciding)[:32]


def build_former_key(recipe: ModelRecipe, note_id: str, prompt_sha256: str, attempt: int = 0) -> str:
    """Return the key that `distill` and `judge` used up to version 0.1.0, without context and schema."""
    model = [recipe.uses_model, recipe.model, recipe.revision, recipe.dtype]
    deciding = [note_id, prompt_sha256, model, recipe.sampling, recipe.derive_seed(attempt), attempt]
    return storage.digest_json([*deciding, *recipe.body_changes])[:32]


class Ledger:
    """An open ledger. Use it from one thread; a background thread syncs it to disk."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self._folder, self._origin = folder, origin
        self._numbers: dict[bytes, int] = {}  # key → number of its completion
        self._completions, self._findings = array("Q"), array("Q")  # number → position
        self._files: list[BinaryIO] = []
        self._lock = threading.Lock()
        self._segment: BinaryIO | None = None  # of this session, once it has written
        self._is_dirty, self._closing = False, threading.Event()
        self._syncing = threading.Thread(target=self._sync_regularly, daemon=True)
        self.damaged = 0
        """Lines skipped because they fail their checksum."""
        for path in _list_segments(folder):
            self._index(path)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._numbers

    def resolve_key(self, key: str, *former_keys: str) -> str:
        """Return the first of the keys that has a completion; `key` where none has."""
        return next((known for known in (key, *former_keys) if known in self), key)

    def read_completion(self, key: str) -> Entry | None:
        """Return the completion of a request; None where there is none."""
        number = self._numbers.get(bytes.fromhex(key))
        if number is None:
            return None
        entry = self._read(self._completions[number])
        # version 0.1.0 recorded whatever a server counted, even "many" and NaN
        return entry | {name: parse_count(entry[name]) for name in TOKEN_COUNTS if name in entry}

    def read_findings(self, key: str) -> Entry | None:
        """Return what the latest checks found in a completion; None where no checks ran."""
        number = self._numbers.get(bytes.fromhex(key))
        position = _ABSENT if number is None else self._findings[number]
        return None if position == _ABSENT else self._read(position)

    def add_completion(self, key: str, entry: Mapping[str, object]) -> None:
        """Write a completion."""
        self._record("completion", key, self._append("completion", key, entry))

    def add_findings(self, key: str, entry: Mapping[str, object]) -> None:
        """Write what the checks found in a completion of this ledger."""
        self._record("findings", key, self._append("findings", key, entry))

    def add_failure(self, key: str, reason: str) -> None:
        """Write that a request got no answer, to a file that earlier versions do not read."""
        path = self._folder / FAILURES
        lines = [{"key": key, "reason": reason}]
        if not path.exists():
            lines.insert(0, {"kind": "failures", "origin": self._origin})
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def read_failures(self) -> dict[str, str]:
        """Return the key of each request that got no answer in any session, with the latest reason."""
        path = self._folder / FAILURES
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        entries = [entry for line in lines if (entry := _parse_failure(line))]
        return {key: reason for key, reason in entries if key not in self}

    def close(self) -> None:
        self._closing.set()
        if self._segment is not None:
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
            if not line.endswith(b"\n") or line[:_BODY] != _format_checksum(body):
                self.damaged += 1
            else:
                kind, key = _parse_head(body)
                self._record(kind, key, number << _OFFSET_BITS | offset)
            offset += len(line)

    def _record(self, kind: Kind, key: str, position: int) -> None:
        if kind == "session":
            return
        number = self._numbers.get(raw := bytes.fromhex(key))
        if kind == "completion" and number is None:  # if two sessions wrote one, the first counts
            self._numbers[raw] = len(self._completions)
            self._completions.append(position)
            self._findings.append(_ABSENT)
        elif kind == "findings" and number is not None:
            self._findings[number] = position

    def _read(self, position: int) -> Entry:
        file = self._files[position >> _OFFSET_BITS]
        file.seek(position & (1 << _OFFSET_BITS) - 1)
        # a number of 5,000 digits is more than Python reads; parse_count drops what does not count tokens
        return cast(Entry, json.loads(file.readline(), parse_int=lambda digits: int(digits[:32])))

    def _append(self, kind: Kind, key: str, entry: Mapping[str, object]) -> int:
        if self._segment is None:
            self._segment = self._start_segment()
        line = _format_line(kind, key, entry)
        with self._lock:
            file = self._segment
            position = (len(self._files) - 1) << _OFFSET_BITS | file.seek(0, os.SEEK_END)
            file.write(line)
            file.flush()
            self._is_dirty = True
        return position

    def _start_segment(self) -> BinaryIO:
        last = max((int(path.stem) for path in _list_segments(self._folder)), default=-1)
        file = (self._folder / f"{last + 1:05d}.jsonl").open("x+b")
        started = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(_format_line("session", "", {"origin": self._origin, "version": __version__, "started": started}))
        self._files.append(file)
        self._syncing.start()
        return file

    def _sync(self) -> None:
        with self._lock:
            is_dirty, self._is_dirty = self._is_dirty, False
        if is_dirty and self._segment is not None:
            os.fsync(self._segment.fileno())

    def _sync_regularly(self) -> None:
        while not self._closing.wait(SYNC_EVERY):
            self._sync()


@contextmanager
def open_ledger(out: Path, origin: Origin) -> Iterator[Ledger]:
    """Open the ledger of an output folder for this process alone. Raises DeepicdError where another one has it."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lease(folder / LOCK, f"writing to {out}"):
        ledger = Ledger(folder, origin)
        try:
            yield ledger
        finally:
            ledger.close()


def _parse_failure(line: str) -> tuple[str, str] | None:
    """Return key and reason of a line; None for the first line, and for one that a killed run left incomplete."""
    try:
        entry = json.loads(line)
        bytes.fromhex(entry["key"])
        return entry["key"], str(entry["reason"])
    except (ValueError, KeyError, TypeError):
        return None


def _list_segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9][0-9][0-9].jsonl"))


def _format_line(kind: Kind, key: str, entry: Mapping[str, object]) -> bytes:
    body = json.dumps({"kind": kind, "key": key} | dict(entry), ensure_ascii=False, separators=(",", ":"))[1:]
    encoded = body.encode(errors="surrogatepass")
    return _format_checksum(encoded) + encoded + b"\n"


def _format_checksum(body: bytes) -> bytes:
    return b'{"crc":"%08x",' % zlib.crc32(body)


def _parse_head(body: bytes) -> tuple[Kind, str]:
    """Return kind and key of a line without reading the rest of it: `"kind":"completion","key":"5d41…",…`."""
    _, _, _, kind, _, _, _, key, _ = body.split(b'"', 8)
    if kind not in (b"session", b"completion", b"findings"):
        raise DeepicdError(
            "The ledger has lines of a kind that this version does not know.",
            "Use the version that wrote it, or a later one.",
        )
    return cast(Kind, kind.decode()), key.decode()
