"""The example of docs/evidence.md prints what stands below it, and its figures are those of the last benchmark."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[:2]
    exec(code, {})  # noqa: S102
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("kind", ["supported", "contradicted", "absent"])
def test_precision_and_recall_are_those_of_the_last_run(kind: str) -> None:
    last = json.loads((ROOT / "benchmarks" / "results" / "evidence.json").read_text(encoding="utf-8"))
    assert f"| {kind} | {last['precision'][kind]:.3f} | {last['recall'][kind]:.3f} |" in TEXT
