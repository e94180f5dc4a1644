"""What was done to a repository, kept here: who took responsibility in which words, what was committed, what it was.

publications/<owner>--<name>/journal.jsonl, of a model models--<owner>--<name>/journal.jsonl, beside the folder that was
published; only ever appended to.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepicd import storage

FOLDER = "publications"


class Journal:
    """The lines of one repository, in order."""

    def __init__(self, records: Path, repo: str, endpoint: str, kind: str = "dataset") -> None:
        self.folder = records / f"{'models--' if kind == 'model' else ''}{repo.replace('/', '--')}"
        self.path, self._endpoint = self.folder / "journal.jsonl", endpoint

    def add(self, event: str, **more: Any) -> None:
        """Append a line; it is on the disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "endpoint": self._endpoint,
            "event": event,
            **more,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of a kind, of this server; a line that was cut short is none."""
        return [
            entry
            for entry in storage.read_json_lines(self.path)
            if entry.get("event") == event and entry.get("endpoint") == self._endpoint
        ]

    def last_readme(self) -> str | None:
        """SHA-256 of the README.md that was committed last from here."""
        committed = self.events("committed")
        return committed[-1]["readme"] if committed else None

    def open_commits(self) -> set[str]:
        """Commits from here whose contents may be public, and the first one of a repository created from here."""
        return {entry["commit"] for entry in self.events("created")} | {
            entry["commit"] for entry in self.events("committed") if not entry["protected"]
        }
