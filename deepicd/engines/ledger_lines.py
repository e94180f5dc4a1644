"""The lines of a ledger, and the files in which they arrive.

    OUT/ledger/00000.jsonl
    {"crc":"1f0c…","kind":"session","key":"","origin":"synthetic","version":"0.1.0"}
    {"crc":"9b2a…","kind":"completion","key":"5d41…","text":"<think>…","finish_reason":"stop","seed":42,…}
    {"crc":"77e0…","kind":"findings","key":"5d41…","checks":"checks-1",…}

A damaged line costs that line, not the file. A session starts a new file and never appends to a line that another one
left incomplete.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from deepicd import __version__
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json
from deepicd.storage import Origin

Kind = Literal["session", "completion", "findings"]
Entry = dict[str, Any]

PATTERN = "[0-9]" * 5 + ".jsonl"
_BODY = 18  # where it begins in a line, after the checksum: {"crc":"xxxxxxxx","kind":…,"key":…,


def format_line(kind: Kind, key: str, entry: Mapping[str, object]) -> bytes:
    body = json.dumps({"kind": kind, "key": key} | dict(entry), ensure_ascii=False, separators=(",", ":"))[1:]
    encoded = body.encode(errors="surrogatepass")
    return _format_checksum(encoded) + encoded + b"\n"


def is_whole(line: bytes) -> bool:
    """Return whether a line has its end and agrees with its checksum."""
    return line.endswith(b"\n") and line[:_BODY] == _format_checksum(line[_BODY:-1])


def parse_line(line: bytes) -> Entry:
    """Return the entry of a whole line."""
    return cast(Entry, parse_json(line, is_lenient=True))  # parse_count drops what does not count tokens


def list_sessions(folder: Path) -> list[Path]:
    """Return the files of sessions, oldest first."""
    return sorted(folder.glob(PATTERN))


class Session:
    """The lines of a session, by key. Memory holds keys and positions, some 300 bytes per completion."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = self.last_number = int(path.stem)
        self.damaged = 0
        """Lines skipped because they fail their checksum."""
        self.size = 0  # bytes
        self._completions: dict[bytes, int] = {}  # key → position
        self._findings: dict[bytes, int] = {}
        self._file: BinaryIO = path.open("rb")
        for line in self._file:
            if is_whole(line):
                self._add(line)
            else:
                self.damaged += 1
            self.size += len(line)

    @classmethod
    def start(cls, folder: Path, number: int, origin: Origin) -> "Session":
        """Start a file of this number. Raises FileExistsError where there is one."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        line = format_line("session", "", {"origin": origin, "version": __version__, "started": started})
        path = folder / f"{number:05d}.jsonl"
        with path.open("xb") as file:
            file.write(line)
        session = cls(path)
        session.close()
        session._file = path.open("r+b")
        return session

    @property
    def completions(self) -> int:
        return len(self._completions)

    def __contains__(self, key: bytes) -> bool:
        return key in self._completions

    def read_completion(self, key: bytes) -> bytes | None:
        """Return the line of a completion; None where this session wrote none."""
        return self._read(self._completions.get(key))

    def read_findings(self, key: bytes) -> bytes | None:
        """Return the line of the session's latest findings; None where it wrote none."""
        return self._read(self._findings.get(key))

    def append(self, line: bytes) -> None:
        """Write a line at once, so that `kill -9` does not lose it; `sync` saves it from a power cut."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._file.flush()
        self._add(line)
        self.size += len(line)

    def sync(self) -> None:
        with suppress(ValueError):  # closed, since it is part of a segment now
            os.fsync(self._file.fileno())

    def list_keys(self) -> Iterator[bytes]:
        """Yield the keys of all lines, each once."""
        yield from self._completions
        yield from self._findings.keys() - self._completions.keys()

    def close(self) -> None:
        self._file.close()

    def _add(self, line: bytes) -> None:
        kind, key = _parse_head(line[_BODY:])
        if kind == "completion":
            self._completions.setdefault(bytes.fromhex(key), self.size)  # of two, the first counts
        elif kind == "findings":
            self._findings[bytes.fromhex(key)] = self.size

    def _read(self, position: int | None) -> bytes | None:
        if position is None:
            return None
        self._file.seek(position)
        return self._file.readline()


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
