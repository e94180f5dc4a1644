"""Read the kept traces of a recipe, whichever version wrote them.

    for row in read_kept_traces(Path("out/traces/4ef6b53e28ec"), "train", ("note_id", "trace")):
        row["note_id"], row["rollout"], row["trace"]

Rows come in the cohort's order, the rollouts of a row one after the other.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd import storage
from deepicd.schema import FIRST_TRACES, TRACES

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256  # rows in memory at once


def read_kept_traces(folder: Path, split: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the traces of a split with these columns and `rollout`, which is 1 where a file has none."""
    for path in sorted((folder / "kept").glob(f"{split}-*.parquet")):
        file = storage.open_parquet(path, FIRST_TRACES, optional=TRACES)
        has_rollouts = "rollout" in file.schema_arrow.names
        for batch in file.iter_batches(BATCH, columns=[*columns, *(["rollout"] if has_rollouts else [])]):
            yield from ({"rollout": 1} | row for row in batch.to_pylist())


def read_kept_columns(folder: Path, split: str, columns: Sequence[str]) -> "pa.Table":
    """Return short columns of all traces of a split at once; no rows where it has no file."""
    import pyarrow as pa

    schema = pa.schema([FIRST_TRACES.field(name) for name in columns])
    files = sorted((folder / "kept").glob(f"{split}-*.parquet"))
    tables = [storage.read_table(path, FIRST_TRACES, columns).cast(schema) for path in files]
    return pa.concat_tables([schema.empty_table(), *tables])
