"""A run's progress, speed and reasons for rejection: live on stderr, and as a series for the record.

OUT/progress/<recipe digest>.jsonl   a line every so often, also of sessions that were killed
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deepicd import storage
from deepicd.engines.base import Completion
from deepicd.log import Advance, track_progress

FOLDER = "progress"
SPACING = 100  # the next sample comes after 1 % of the time so far: dense early, and under a thousand per day
MAX_POINTS = 200  # of the series in a record
SHOWN_REASONS = 3  # in the live line

Sample = dict[str, float]
"""Seconds, rows, kept, attempts, tokens_in, tokens_out and tokens_cached since the run began."""


@dataclass
class RunMetrics:
    """What this session has done so far."""

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
    started: float = field(default_factory=time.monotonic)
    _tokens_in_with_cache: int = 0  # prompt tokens of completions that say how many came from the cache
    _last_sample: float = 0.0  # seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of prompt tokens that came from the prefix cache; None where the engine does not report them."""
        return self.cached / self._tokens_in_with_cache if self._tokens_in_with_cache else None

    def add_completion(self, completion: Completion, reasons: Sequence[str], *, is_settled: bool) -> None:
        """Count a completion and why it is rejected; `is_settled` where its row needs no further attempt."""
        self.attempts += 1
        self.rows += is_settled
        self.kept += not reasons
        self.reasons.update(reasons)
        self.tokens_in += completion.prompt_tokens or 0
        self.tokens_out += completion.completion_tokens or 0
        if completion.cached_tokens is not None:
            self.cached += completion.cached_tokens
            self._tokens_in_with_cache += completion.prompt_tokens or 0
        self._update(rows=int(is_settled))

    def add_failure(self) -> None:
        """Count a row that the engine could not answer."""
        self.rows += 1
        self.failed += 1
        self._update(rows=1)

    def format_status(self) -> str:
        """Return '1,200 kept, 40 attempts rejected (form 30, cut off 10), tokens/s 1,900 in 800 out, cache 72 %'."""
        parts = [f"{self.kept:,} kept"]
        if rejected := self.attempts - self.kept:
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in self.reasons.most_common(SHOWN_REASONS))
            parts.append(f"{rejected:,} attempts rejected ({reasons})")
        if self.failed:
            parts.append(f"{self.failed:,} unanswered")
        if self.tokens_out:
            seconds = self.seconds or 1.0
            parts.append(f"tokens/s {self.tokens_in / seconds:,.0f} in {self.tokens_out / seconds:,.0f} out")
        if self.cache_hit_rate is not None:
            parts.append(f"cache {self.cache_hit_rate:.0%}")
        return ", ".join(parts)

    def write_sample(self) -> None:
        """Append a line to the series."""
        if self.file is None:
            return
        self._last_sample = self.seconds
        sample: Sample = {
            "seconds": round(self._last_sample, 1),
            "rows": self.rows,
            "kept": self.kept,
            "attempts": self.attempts,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "tokens_cached": self.cached,
        }
        self.file.write(json.dumps(sample) + "\n")
        self.file.flush()

    def _update(self, rows: int) -> None:
        self.advance(rows, self.format_status())
        if self.seconds - self._last_sample >= max(1.0, self.seconds / SPACING):
            self.write_sample()


@contextmanager
def track_metrics(what: str, total: int, out: Path, digest: str) -> Iterator[RunMetrics]:
    """Show metrics on stderr while the block runs, and append them to the series of a recipe."""
    path = out / FOLDER / f"{digest}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, track_progress(what, total) as advance:
        metrics = RunMetrics(advance, file)
        metrics.write_sample()
        try:
            yield metrics
        finally:
            metrics.write_sample()


def has_parts(out: Path, digest: str) -> bool:
    """Return whether shards have series of a recipe. Their sum would be none, as no sample says when it was taken."""
    return any((out / FOLDER).glob(f"{digest}-*-of-*.jsonl"))


def read_series(out: Path, digest: str) -> list[Sample]:
    """Return the samples of all sessions in one series: each session continues where the one before ended."""
    series: list[Sample] = []
    start: Sample = {}
    for sample in storage.read_json_lines(out / FOLDER / f"{digest}.jsonl"):
        if not sample["seconds"] and not sample["attempts"]:  # a session begins
            start = series[-1] if series else {}
        series.append({name: round(start.get(name, 0) + value, 1) for name, value in sample.items()})
    step = max(1, -(-len(series) // MAX_POINTS))
    return [sample for number, sample in enumerate(series) if number % step == 0 or number == len(series) - 1]
