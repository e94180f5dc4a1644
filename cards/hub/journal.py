"""Keep a local journal of each repository: who took responsibility, in which words; what was committed or opened.

publications/<owner>--<name>/journal.jsonl, or models--<owner>--<name>/journal.jsonl for a model, beside the published
folder; lines are only ever appended.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepicd import storage


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
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read_events(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of one kind that concern this server; lines that were cut short are skipped."""
        return [
            entry
            for entry in storage.read_json_lines(self.path)
            if entry.get("event") == event and entry.get("endpoint") == self._endpoint
        ]

    def find_last_readme(self) -> str | None:
        """Return the SHA-256 of the README.md that was last committed from here."""
        committed = self.read_events("committed")
        return committed[-1]["readme"] if committed else None

    def list_open_commits(self) -> set[str]:
        """Return the commits from here that may be public, and the first one of a repository created from here."""
        return {entry["commit"] for entry in self.read_events("created")} | {
            entry["commit"] for entry in self.read_events("committed") if not entry["protected"]
        }
