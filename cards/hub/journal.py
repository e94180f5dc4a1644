"""Keep a local journal of each repository: who took responsibility, in which words; what was committed or opened.

publications/<owner>--<name>/journal.jsonl, or models--<owner>--<name>/journal.jsonl for a model, beside the published
folder; lines are only ever appended. What a line that cannot be read had said is unknown, and not nothing.

    publications/.scratch-k3x9/.lock     held for as long as its process lives (deepicd.lease)
    publications/.scratch-k3x9/files/    what the process sends or reads back; the folder is 0700

Scratch is there and not in /tmp, which is often too small for copies of rows.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deepicd.lease import LOCK, hold_lease, is_held
from deepicd.parsing import ParseError, parse_json


class Entry(BaseModel):
    """A line of a journal."""

    model_config = ConfigDict(frozen=True, strict=True)

    at: str
    endpoint: str
    event: str
    commit: str = ""
    readme: str = ""
    """SHA-256 of the README.md of a commit."""
    protected: bool = True
    """Whether a commit holds what must not become public."""
    shown: Mapping[str, int | None] = {}
    """The counts that the card of a commit shows."""


def read_entries(path: Path) -> Iterator[Entry | None]:
    """Yield the lines of a journal, None for one that cannot be read; nothing without a file."""
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            yield Entry.model_validate(parse_json(line))
        except (ParseError, ValidationError):
            yield None


class Journal:
    """The journal of one repository."""

    def __init__(self, records: Path, repo: str, endpoint: str, kind: str = "dataset") -> None:
        self.folder = records / f"{'models--' if kind == 'model' else ''}{repo.replace('/', '--')}"
        self.path, self._endpoint = self.folder / "journal.jsonl", endpoint

    def add(self, event: str, **details: object) -> None:
        """Append a line; it is on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "endpoint": self._endpoint,
            "event": event,
            **details,
        }
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read() == b"\n" else b"\n")  # the last line may have been cut short
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read_events(self, event: str) -> list[Entry]:
        """Return the lines of one kind that concern this server, without those that cannot be read."""
        entries = [entry for entry in read_entries(self.path) if entry]
        return [entry for entry in entries if (entry.event, entry.endpoint) == (event, self._endpoint)]

    def find_last_readme(self) -> str | None:
        """Return the SHA-256 of the README.md that was last committed from here."""
        committed = self.read_events("committed")
        return committed[-1].readme if committed else None

    def list_open_commits(self) -> set[str]:
        """Return the commits from here that may be public, and the first one of a repository created from here."""
        return {entry.commit for entry in self.read_events("created")} | {
            entry.commit for entry in self.read_events("committed") if not entry.protected
        }


PREFIX = ".scratch-"


@contextmanager
def open_scratch(folder: Path) -> Iterator[Path]:
    """Yield a new private folder below `folder`, and remove it at the end; first remove those of killed processes.

    Nothing of `folder` stays if it did not exist before and nothing else was written to it.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]  # innermost first
    folder.mkdir(parents=True, exist_ok=True)
    for lock in folder.glob(f"{PREFIX}*/{LOCK}"):
        if not is_held(lock):
            shutil.rmtree(lock.parent, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        with hold_lease(scratch / LOCK, f"using {scratch}"):
            (scratch / "files").mkdir()
            yield scratch / "files"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # others have written to it
            for place in new:
                place.rmdir()
