"""The rollouts that still need a completion, in the order that suits the prefix cache; planned before an engine starts.

Planning reads the cohort once. Waiting rows go to a nameless scratch file (it vanishes with the process, so no
note is left behind), and only their order stays in memory, some 150 bytes per rollout.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

from deepicd.icd10cm import Code
from deepicd.log import Advance
from deepicd.parsing import parse_json
from distill.attempts import History
from distill.prompt_builder import Prompt, PromptBuilder
from distill.sources import Row


class Place(NamedTuple):
    """A rollout that waits for a completion."""

    chapter: int
    code: str
    position: int
    """Of its row in the scratch file."""
    rollout: int
    attempt: int
    """To make next."""


@dataclass
class Plan:
    """The waiting rows, and what planning counted over all rows."""

    scratch: IO[bytes]
    waiting: list[Place] = field(default_factory=list)
    """Sorted, so that neighbours share as long a beginning of their prompts as possible."""
    counts: Counter[str] = field(default_factory=Counter)
    """rows, settled, shortened, without description, without guidelines, and rows without a prompt by reason."""

    def read_rows(self, places: Iterable[Place]) -> Iterator[tuple[Row, list[Place]]]:
        """Yield each row with its rollouts among the places, reading a row when it is needed."""
        for position, rollouts in groupby(places, key=lambda place: place.position):
            self.scratch.seek(position)
            yield parse_json(self.scratch.readline()), list(rollouts)

    def sample(self, rollouts: int) -> list[Place]:
        """Return about as many of the waiting rollouts, spread evenly over chapters and codes."""
        step = max(1, len(self.waiting) // rollouts)
        return self.waiting[::step]


@contextmanager
def plan_rows(rows: Iterable[tuple[str, Row]], history: History, folder: Path, advance: Advance) -> Iterator[Plan]:
    """Build every row's prompt once, count those that fit, and yield the rollouts that are not settled."""
    with tempfile.TemporaryFile(dir=folder) as scratch:
        plan = Plan(scratch)
        failures, failed = history.ledger.read_failures(), set[Place]()
        position = 0
        for _, row in rows:
            advance(1)
            prompt = history.builder.build(row)
            plan.counts.update(_count_prompt(prompt, history.builder))
            if isinstance(prompt, str):
                continue
            code, waiting = Code(row["icd_code"]), len(plan.waiting)
            for rollout in map(prompt.for_rollout, range(history.builder.recipe.rollouts)):
                if (attempt := history.find_next_attempt(rollout)) is None:
                    continue
                plan.waiting.append(Place(code.chapter.number, code.value, position, rollout.rollout, attempt))
                if failures and history.find_key(rollout, attempt) in failures:
                    failed.add(plan.waiting[-1])
            if len(plan.waiting) == waiting:
                plan.counts["settled"] += 1
                continue
            position += scratch.write(json.dumps(row).encode() + b"\n")
        plan.counts["failed before"] = len(failed)
        plan.waiting.sort(key=lambda place: (place in failed, place))  # those that failed before come last
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
    times = f", up to {recipe.rollouts} times each" if recipe.rollouts > 1 else ""
    lines = [f"{counts['rows']:,} rows: {counts['settled']:,} settled in the ledger, {waiting:,} to complete{times}."]
    room = f"context of {recipe.context:,} tokens less {recipe.max_tokens:,} to write, by {builder.tokens.method}"
    if counts["shortened"] or counts["too long for the context"]:
        lines.append(
            f"{counts['shortened']:,} prompts shortened and {counts['too long for the context']:,} rows dropped to fit"
            f" the {room}."
        )
    else:
        lines.append(f"All prompts fit the {room}.")
    if recipe.examples:
        lines.append(
            f"{recipe.examples} examples per prompt, of {len(builder.examples):,} kept traces of other patients."
        )
    if builder.hints is not None:
        hinted = sum(map(len, builder.hints.values()))
        lines.append(
            f"{hinted:,} rollouts of {len(builder.hints):,} rows were rejected and are written anew, with a hint."
        )
    lacking = {
        "no note": "have no note",
        "without description": "have no description",
        "without guidelines": "have no guidelines",
    }
    return lines + [f"{counts[what]:,} rows {words}." for what, words in lacking.items() if counts[what]]
