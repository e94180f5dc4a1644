"""What is still to be asked, in the order that suits the prefix cache; planned before any engine starts.

Planning reads the cohort once. Rows that wait go to a nameless scratch file (it vanishes with the process, so that no
note is left lying about), and only their order stays in memory, some 100 bytes a row.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from deepicd.icd10cm import Code
from deepicd.log import Advance
from distill.attempts import History
from distill.prompt_builder import Desk, Prompt
from distill.sources import Row


@dataclass
class Work:
    """Rows that wait for an answer, and what planning saw of all rows."""

    scratch: IO[bytes]
    waiting: list[tuple[int, str, int]] = field(default_factory=list)
    """(chapter, code, place in the scratch file): sorted, neighbours share as much of their prompt as there is."""
    counts: Counter[str] = field(default_factory=Counter)
    """rows, settled, shortened, without description, without guidelines, and rows not asked by reason."""

    def rows(self, places: Iterable[tuple[int, str, int]]) -> Iterator[tuple[Row, int]]:
        """A row and the attempt to make at it, read when it is its turn."""
        for _, _, place in places:
            self.scratch.seek(place)
            row, attempt = json.loads(self.scratch.readline())
            yield row, attempt

    def sample(self, rows: int) -> list[tuple[int, str, int]]:
        """About so many of the waiting rows, spread evenly over chapters and codes."""
        step = max(1, len(self.waiting) // rows)
        return self.waiting[::step]


@contextmanager
def planned(rows: Iterable[tuple[str, Row]], history: History, folder: Path, advance: Advance) -> Iterator[Work]:
    """Look at every row: is it settled, can it be asked, at what length?"""
    with tempfile.TemporaryFile(dir=folder) as scratch:
        work = Work(scratch)
        place = 0
        for _, row in rows:
            advance(1)
            asked = history.desk.prompt(row)
            if isinstance(asked, str):
                work.counts["rows"] += 1
                work.counts[asked] += 1
                continue
            work.counts.update(seen(asked, history.desk))
            if (attempt := history.missing(asked)) is None:
                work.counts["settled"] += 1
                continue
            line = json.dumps([row, attempt]).encode() + b"\n"
            scratch.write(line)
            code = Code(row["icd_code"])
            work.waiting.append((code.chapter.number, code.value, place))
            place += len(line)
        work.waiting.sort()
        yield work


def seen(asked: Prompt, desk: Desk) -> dict[str, int]:
    """What to count of a prompt."""
    material = asked.material
    return {
        "rows": 1,
        "shortened": int(asked.guideline_text != desk.recipe.guideline_text),
        "without description": int(material.description is None),
        "without guidelines": int(material.guidelines is None and material.with_guidelines),
    }


def report(counts: Counter[str], desk: Desk) -> list[str]:
    """The plan in lines: what there is to do, what does not fit, what goes without knowledge."""
    recipe = desk.recipe
    todo = counts["rows"] - counts["settled"] - counts["no note"] - counts["too long for the context"]
    lines = [f"{counts['rows']:,} rows: {counts['settled']:,} settled in the ledger, {todo:,} to ask."]
    fit = f"context of {recipe.context:,} tokens less {recipe.max_tokens:,} to write, by {desk.tokens.counted_by}"
    if counts["shortened"] or counts["too long for the context"]:
        lines.append(
            f"{counts['shortened']:,} prompts shortened and {counts['too long for the context']:,} rows dropped to fit"
            f" the {fit}."
        )
    else:
        lines.append(f"All prompts fit the {fit}.")
    lacking = {"no note": "have no note", "without description": "go without description"}
    lacking["without guidelines"] = "go without guidelines"
    return lines + [f"{counts[what]:,} rows {words}." for what, words in lacking.items() if counts[what]]


def described(counts: Counter[str]) -> dict[str, Any]:
    """The plan for a run's record."""
    names = ("shortened", "without description", "without guidelines", "no note", "too long for the context")
    return {name.replace(" ", "_"): counts[name] for name in names}
