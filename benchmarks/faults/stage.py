"""A stage that faults are tried on: its command, its inputs, and what its output says.

stage.command(out)    # ['build', '--mimic', …]
read_output(out)      # name → what a file says: rows of a table, else its digest
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepicd import records, storage

CLOCKED = {"fetched_at", "seconds"}
"""Columns that say when or how long, and differ from run to run."""


def read_output(out: Path) -> Mapping[str, str]:
    """Return name → digest of the rows of a table or of the bytes of a file; empty unless a run has ended there.

    Where `out` holds a folder per recipe, the folders of runs are read, not ledger and progress.
    """
    import pyarrow.parquet as pq

    folders = [path.parent for path in (out / records.RECORD, *out.glob("*/run.json")) if path.is_file()]
    said = {}
    for folder in folders:
        for path in storage.list_files(folder):
            name = path.relative_to(out).as_posix()
            if path.suffix == ".parquet":
                table = pq.ParquetFile(path).read()
                said[name] = storage.digest_text(
                    repr(table.select(sorted({*table.column_names} - CLOCKED)).to_pylist())
                )
            else:
                said[name] = storage.digest_path(path)
    return said


@dataclass(frozen=True)
class Stage:
    name: str
    command: Callable[[Path], list[object]]
    """OUT → arguments of deepicd."""
    inputs: Sequence[Path]
    """Files of other kinds that it reads; each is damaged in turn."""
    unverified: Sequence[Path] = ()
    """Inputs that carry no checksum, so that a damaged one may be another good one."""
    before: Callable[[Path], object] = lambda out: None
    """Prepares OUT, for a stage that adds to a folder."""
    read: Callable[[Path], Mapping[str, str]] = read_output
    """OUT → name → what it says; empty before a run has ended."""
