"""The attempts at a prompt: those that the ledger has, with what the checks found, and those that are still to be made.

A rollout is settled when an attempt has passed, or when all attempts of the recipe are used. Attempts after the first
that passed do not count, however they came about, so that the rows of a run do not depend on how often it was
interrupted.

`plan_rows` reads the cohort once, before an engine starts, and puts the rollouts that wait for a completion into the
order that suits the prefix cache. Their rows go to a nameless scratch file (it vanishes with the process, so no note is
left behind), and only their order stays in memory, some 150 bytes per rollout.
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

from deepicd.engines.ledger import Entry, Ledger
from deepicd.icd10cm import Code
from deepicd.log import Advance
from deepicd.parsing import parse_json
from distill import checks
from distill.checks import Findings, Reason
from distill.prompt_builder import Prompt, PromptBuilder
from distill.sources import Row


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion, and why it is rejected."""

    number: int  # from 0
    entry: Entry
    findings: Findings
    reasons: list[Reason]


@dataclass(frozen=True, slots=True)
class History:
    """The attempts of a recipe in a ledger."""

    ledger: Ledger
    builder: PromptBuilder

    def read_attempts(self, prompt: Prompt) -> Iterator[Attempt]:
        """Yield the attempts in order, up to the first that passed or the last there is."""
        for number in range(prompt.attempts):
            key = self.find_key(prompt, number)
            if (entry := self.ledger.read_completion(key)) is None:
                return
            attempt = self.check(prompt, number, entry)
            yield attempt
            if not attempt.reasons:
                return

    def find_next_attempt(self, prompt: Prompt) -> int | None:
        """Return the number of the attempt to make next; None where the rollout is settled."""
        used = 0
        for attempt in self.read_attempts(prompt):
            if not attempt.reasons:
                return None
            used += 1
        return used if used < prompt.attempts else None

    def find_key(self, prompt: Prompt, number: int) -> str:
        """Return the key under which the ledger has an attempt, or would have it."""
        return self.ledger.resolve_key(*self.builder.build_keys(prompt, number))

    def check(self, prompt: Prompt, number: int, entry: Entry) -> Attempt:
        """Return a completion with its findings: the ledger's, or new ones, which are added to it."""
        key = self.find_key(prompt, number)
        known = self.ledger.read_findings(key)
        if known is not None and known["checks"] == checks.VERSION:
            findings = Findings.from_entry(known)
        else:
            findings = checks.measure(entry["text"], entry["finish_reason"], prompt.material)
            self.ledger.add_findings(key, findings.to_entry())
        return Attempt(number, entry, findings, checks.find_reasons(findings, self.builder.recipe))


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
    lacking = {"no note": "note", "without description": "description", "without guidelines": "guidelines"}
    return lines + [
        f"{counts[what]:,} {'row has' if counts[what] == 1 else 'rows have'} no {part}."
        for what, part in lacking.items()
        if counts[what]
    ]
