"""The length plan: how long rows are in tokens, and how many a limit leaves out, before any of them is trained on.

print(LengthSummary.of([812, 2304, 955], limit=2048))
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LengthSummary:
    """Of one split; in tokens."""

    rows: int
    kept: int
    over: int
    """Rows longer than the limit."""
    limit: int
    median: int
    ninety_fifth: int
    longest: int
    tokens: int
    """Of the rows kept."""

    @classmethod
    def of(cls, lengths: Sequence[int], limit: int) -> "LengthSummary":
        ordered = sorted(lengths)
        kept = [length for length in ordered if length <= limit]

        def at(share: float) -> int:
            return ordered[int(share * (len(ordered) - 1))] if ordered else 0

        over = len(ordered) - len(kept)
        return cls(len(ordered), len(kept), over, limit, at(0.5), at(0.95), at(1.0), sum(kept))

    @property
    def record(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        """
        >>> print(LengthSummary.of([812, 2304, 955], limit=2048))
        3 rows, of 955 tokens in the middle, 955 at 95 %, 2,304 at most; 1 over 2,048 left out (33.3%)
        """
        over = (
            f"{self.over:,} over {self.limit:,} left out ({self.over / self.rows:.1%})"
            if self.over
            else f"none over {self.limit:,}"
        )
        return (
            f"{self.rows:,} rows, of {self.median:,} tokens in the middle, {self.ninety_fifth:,} at 95 %,"
            f" {self.longest:,} at most; {over}"
        )
