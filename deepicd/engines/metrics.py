"""The board: how far a run is, what it keeps and why it rejects, and how fast; live, and as a series for the record.

OUT/progress/<recipe digest>.jsonl   a line every so often, also of sessions that were killed
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from deepicd import storage
from deepicd.engines.base import Completion
from deepicd.log import Advance, track_progress

FOLDER = "progress"
DENSITY = 100  # samples are a hundredth of the time so far apart: dense early, and no more than a thousand a day
POINTS = 200  # of the series in a record
SHOWN = 3  # reasons named in the live line


@dataclass
class RunMetrics:
    """Counts since this session began."""

    advance: Advance
    file: IO[str] | None = None
    rows: int = 0  # settled
    kept: int = 0
    failed: int = 0  # rows that the engine could not answer
    attempts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of rejected attempts
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    _told_cached: int = 0  # prompt tokens of answers that told how many were cached
    started: float = field(default_factory=time.monotonic)
    _sampled: float = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def hit_rate(self) -> float | None:
        """Share of prompt tokens that came from the prefix cache; None where no answer tells."""
        return self.cached / self._told_cached if self._told_cached else None

    def answered(self, answer: Completion, reasons: Sequence[str], *, settled: bool) -> None:
        self.attempts += 1
        self.rows += settled
        self.kept += not reasons
        self.reasons.update(reasons)
        self.tokens_in += answer.prompt_tokens or 0
        self.tokens_out += answer.completion_tokens or 0
        if answer.cached_tokens is not None:
            self.cached += answer.cached_tokens
            self._told_cached += answer.prompt_tokens or 0
        self._moved(settled)

    def unanswered(self) -> None:
        self.rows += 1
        self.failed += 1
        self._moved(True)

    def status(self) -> str:
        """'1,200 kept, 40 attempts rejected (form 30, cut off 10), tokens/s 1,900 in 800 out, cache 72 %'."""
        parts = [f"{self.kept:,} kept"]
        if rejected := self.attempts - self.kept:
            named = ", ".join(f"{reason} {number:,}" for reason, number in self.reasons.most_common(SHOWN))
            parts.append(f"{rejected:,} attempts rejected ({named})")
        if self.failed:
            parts.append(f"{self.failed:,} unanswered")
        if self.tokens_out:
            seconds = self.seconds or 1.0
            parts.append(f"tokens/s {self.tokens_in / seconds:,.0f} in {self.tokens_out / seconds:,.0f} out")
        if self.hit_rate is not None:
            parts.append(f"cache {self.hit_rate:.0%}")
        return ", ".join(parts)

    def sample(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1),
            "rows": self.rows,
            "kept": self.kept,
            "attempts": self.attempts,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "tokens_cached": self.cached,
        }

    def note(self) -> None:
        """Put a sample into the series."""
        if self.file is not None:
            self._sampled = self.seconds
            print(json.dumps(self.sample()), file=self.file, flush=True)

    def _moved(self, settled: bool) -> None:
        self.advance(int(settled), self.status())
        if self.seconds - self._sampled >= max(1.0, self.seconds / DENSITY):
            self.note()


@contextmanager
def track_metrics(what: str, total: int, out: Path, digest: str) -> Iterator[RunMetrics]:
    """A board that shows itself on stderr while the block runs, and keeps its series."""
    path = out / FOLDER / f"{digest}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, track_progress(what, total) as advance:
        shown = RunMetrics(advance, file)
        shown.note()
        try:
            yield shown
        finally:
            shown.note()


def read_series(out: Path, digest: str) -> list[dict[str, Any]]:
    """The samples of all sessions one behind the other: times and counts go on where the session before left off."""
    whole: list[dict[str, Any]] = []
    base: dict[str, Any] = {}
    for sample in storage.read_json_lines(out / FOLDER / f"{digest}.jsonl"):
        if not sample["seconds"] and not sample["attempts"]:  # a session begins
            base = whole[-1] if whole else dict.fromkeys(sample, 0)
        whole.append({name: round(base.get(name, 0) + value, 1) for name, value in sample.items()})
    step = max(1, -(-len(whole) // POINTS))
    return [sample for place, sample in enumerate(whole) if place % step == 0 or place == len(whole) - 1]
