"""A parquet file written a row at a time, some hundred of them in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd import storage
from deepicd.storage import Origin

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 512  # rows written at once


@contextmanager
def row_file(path: Path, schema: "pa.Schema", origin: Origin) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields `add(row)`; the file is there, whole, when the block ends well."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    with storage.open_parquet_writer(path, schema, origin) as writer:

        def write() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, writer.schema))
            rows.clear()

        def add(row: dict[str, Any]) -> None:
            rows.append(row)
            if len(rows) >= GROUP:
                write()

        yield add
        write()
