"""OUT/steps.jsonl: one report a step, appended as the steps end. A step done twice, after a kill, counts once."""

import json
from pathlib import Path
from typing import Any

from deepicd import storage
from train.grpo.monitor import StepReport

NAME = "steps.jsonl"


class StepLog:
    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def write(self, report: StepReport) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report.record) + "\n")

    def reports(self) -> list[dict[str, Any]]:
        """In the order of steps; the later one where there are two of a step, torn lines left out."""
        found = {report["step"]: report for report in storage.read_json_lines(self.path)}
        return [found[step] for step in sorted(found)]
