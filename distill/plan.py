"""The rows that still need a completion, in the order that suits the prefix cache; planned before any engine starts.

Planning reads the cohort once. Waiting rows go to a nameless scratch file (it vanishes with the process, so no
note is left behind), and only their order stays in memory, some 100 bytes per row.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deepicd.icd10cm import Code
from deepicd.log import Advance
from distill.attempts import History
from distill.prompt_builder import Prompt, PromptBuilder
from distill.sources import Row

Place = tuple[int, str, int]
"""Chapter, code, and position in the scratch file of a waiting row."""


@dataclass
class Plan:
    """The waiting rows, and what planning counted over all rows."""

    scratch: IO[bytes]
    waiting: list[Place] = field(default_factory=list)
    """Sorted, so that neighbours share as long a beginning of their prompts as possible."""
    counts: Counter[str] = field(default_factory=Counter)
    """rows, settled, shortened, without description, without guidelines, and rows without a prompt by reason."""

    def read_rows(self, places: Iterable[Place]) -> Iterator[tuple[Row, int]]:
        """Yield each row and the attempt to make at it, reading a row when it is needed."""
        for _, _, position in places:
            self.scratch.seek(position)
            row, attempt = json.loads(self.scratch.readline())
            yield row, attempt

    def sample(self, rows: int) -> list[Place]:
        """Return about `rows` of the waiting rows, spread evenly over chapters and codes."""
        step = max(1, len(self.waiting) // rows)
        return self.waiting[::step]


@contextmanager
def plan_rows(rows: Iterable[tuple[str, Row]], history: History, folder: Path, advance: Advance) -> Iterator[Plan]:
    """Build every row's prompt once, count those that fit, and yield the rows that are not settled."""
    with tempfile.TemporaryFile(dir=folder) as scratch:
        plan = Plan(scratch)
        failures, failed = history.ledger.read_failures(), set[int]()
        position = 0
        for _, row in rows:
            advance(1)
            prompt = history.builder.build(row)
            plan.counts.update(_count_prompt(prompt, history.builder))
            if isinstance(prompt, str):
                continue
            if (attempt := history.find_next_attempt(prompt)) is None:
                plan.counts["settled"] += 1
                continue
            line = json.dumps([row, attempt]).encode() + b"\n"
            scratch.write(line)
            code = Code(row["icd_code"])
            plan.waiting.append((code.chapter.number, code.value, position))
            if failures and history.find_key(prompt, attempt) in failures:
                failed.add(position)
            position += len(line)
        plan.waiting.sort(key=lambda place: (place[2] in failed, place))  # rows that failed before come last
        yield plan


def _count_prompt(prompt: Prompt | str, builder: PromptBuilder) -> dict[str, int]:
    if isinstance(prompt, str):
        return {"rows": 1, prompt: 1}
    material = prompt.material
    return {
        "rows": 1,
        "shortened": int(prompt.guideline_text != builder.recipe.guideline_text),
        "without description": int(material.description is None),
        "without guidelines": int(material.guidelines is None and material.with_guidelines),
    }


def describe_plan(counts: Counter[str], builder: PromptBuilder) -> list[str]:
    """Return the plan in lines: what there is to do, what does not fit, what lacks knowledge."""
    recipe = builder.recipe
    waiting = counts["rows"] - counts["settled"] - counts["no note"] - counts["too long for the context"]
    lines = [f"{counts['rows']:,} rows: {counts['settled']:,} settled in the ledger, {waiting:,} to complete."]
    room = f"context of {recipe.context:,} tokens less {recipe.max_tokens:,} to write, by {builder.tokens.method}"
    if counts["shortened"] or counts["too long for the context"]:
        lines.append(
            f"{counts['shortened']:,} prompts shortened and {counts['too long for the context']:,} rows dropped to fit"
            f" the {room}."
        )
    else:
        lines.append(f"All prompts fit the {room}.")
    lacking = {
        "no note": "have no note",
        "without description": "have no description",
        "without guidelines": "have no guidelines",
    }
    return lines + [f"{counts[what]:,} rows {words}." for what, words in lacking.items() if counts[what]]
