"""OUT/steps.jsonl: one report a step, appended as the steps end. A step done twice, after a kill, counts once."""

import json
from pathlib import Path
from typing import Any

from train.guard import StepReport

NAME = "steps.jsonl"


class StepLog:
    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def write(self, report: StepReport) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report.record) + "\n")

    def reports(self) -> list[dict[str, Any]]:
        """In the order of steps; the later one where there are two of a step, torn lines left out."""
        found: dict[int, dict[str, Any]] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []:
            try:
                report = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[report["step"]] = report
        return [found[step] for step in sorted(found)]
