"""Rows that later stages wrote about traces, handed out note by note, as the traces are read.

    rows = RowsByNote(read_rows(folder / "scores", SCORES, ["note_id", "trace_sha256", "score"]))
    rows.take("10000032-DS-21")      # [{"note_id": …, "trace_sha256": …, "score": 4}, …]

Judge and verification write in the traces' order, so that one row is in memory; in any other order, more wait there.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd import storage
from deepicd.schema import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256  # rows in memory at once

Row = dict[str, Any]


class RowsByNote:
    """Rows with a `note_id`, those of a note one after the other."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._waiting: defaultdict[str, list[Row]] = defaultdict(list)

    def take(self, note_id: str) -> list[Row]:
        """Return the rows of a note; none if there are none, or if they were taken."""
        found = self._waiting.pop(note_id, [])
        for row in self._rows:
            if row["note_id"] == note_id:
                found.append(row)
                continue
            self._waiting[row["note_id"]].append(row)
            if found:
                break
        return found

    def take_rest(self) -> Iterator[Row]:
        """Yield all rows that were not taken."""
        for rows in self._waiting.values():
            yield from rows
        yield from self._rows


def read_rows(folder: Path, schema: "pa.Schema", columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a folder's files, split by split as cohorts and traces are read."""
    for path in (path for split in SPLITS for path in sorted(folder.glob(f"{split}-*.parquet"))):
        for batch in storage.open_parquet(path, schema).iter_batches(BATCH, columns=list(columns)):
            yield from batch.to_pylist()
