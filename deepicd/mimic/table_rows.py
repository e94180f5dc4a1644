"""Read the rows of a MIMIC table as Arrow batches, in the file's order, with the column types of tables.COLUMNS.

    for batch in read_rows(Table.at(Path("note/discharge.csv.gz"), "discharge")):
        batch["text"]

Arrow reads CSV, since unlike DuckDB's reader it verifies a gzip's CRC. Damage is an error that names the file, and the
row where one is to blame, and shows none of its values.
"""

import atexit
import csv
import io
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import IO, TYPE_CHECKING
from weakref import WeakSet

from deepicd.errors import DeepicdError
from deepicd.mimic.databases import open_file, quote_name
from deepicd.mimic.tables import (
    DATABASES,
    READ_ERRORS,
    TAIL,
    Table,
    explain_gzip_error,
    is_cut_in_text,
    open_unpacked,
    unreadable_error,
)
from deepicd.mimic.values import convert, get_type

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LONGEST_ROW = 16 * 2**20  # bytes that Arrow parses at a time; a note of 2.2 has at most 60,381 characters
NOTES_PER_BATCH = 400  # some 4 MB: small enough that several batches under way take little memory
ROWS_PER_BATCH = 100_000  # of other tables


def read_rows(table: Table, columns: tuple[str, ...] = ()) -> "Iterator[pa.RecordBatch]":
    """Yield batches of a table: all columns to read, or `columns` alone. Raises DeepicdError for a damaged file.

    Optional columns that the file lacks are null. `icd_code` needs `icd_version` beside it.
    """
    columns = columns or tuple(table.columns)
    size = NOTES_PER_BATCH if "text" in columns else ROWS_PER_BATCH
    present = tuple(column for column in columns if column not in table.absent)
    if table.path.suffix in DATABASES:
        blocks = _read_database(table, present, size)
    elif table.path.suffix == ".parquet":
        blocks = _read_parquet(table, present, size)
    else:
        blocks = _read_csv(table, present)
    rows = 0
    with closing(blocks):
        for block in blocks:
            for start in range(0, block.num_rows, size):
                batch = block.slice(start, size)
                yield convert(batch.rename_columns(present), table, columns, rows)
                rows += batch.num_rows


def load_table(db: "duckdb.DuckDBPyConnection", table: Table, columns: tuple[str, ...] = ()) -> int:
    """Load a table into a database under its name, replacing one of that name; return its number of rows."""
    import duckdb
    import pyarrow as pa

    schema = pa.schema([(name, get_type(table, name)) for name in columns or table.columns])
    damage: list[DeepicdError] = []

    def read() -> "Iterator[pa.RecordBatch]":
        try:
            yield from read_rows(table, tuple(schema.names))
        except DeepicdError as error:  # DuckDB would wrap it into one of its own
            damage.append(error)
            raise

    db.register("arriving", pa.RecordBatchReader.from_batches(schema, read()))
    try:
        db.execute(f"create or replace temp table {table.name} as from arriving")
    except duckdb.Error:
        if damage:
            raise damage[0] from None
        raise
    finally:
        db.unregister("arriving")
    [(total,)] = db.execute(f"select count(*) from {table.name}").fetchall()
    return int(total)


class _Source:
    """An unpacked CSV file that raises at its end if that is within a quoted text. Arrow's threads read from it."""

    closed = False  # Arrow asks

    def __init__(self, table: Table, file: IO[bytes]) -> None:
        self._table = table
        self._file = file
        self._tail = b""
        self._lock = threading.Lock()
        self._has_ended = False
        self.reader: Iterable[pa.RecordBatch] = ()
        """What Arrow makes of it."""

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            if self._has_ended:
                return b""
            if data := self._file.read(size):
                self._tail = (self._tail + data[-TAIL:])[-TAIL:]
                return data
            self._has_ended = True
        if self._table.ends_in_text and is_cut_in_text(self._table.path, self._tail):
            raise unreadable_error(self._table.path, "it ends in the middle of a row")
        return b""

    def stop(self) -> None:
        """Give nothing more to Arrow, and wait until its threads have no more to do."""
        import pyarrow as pa

        with self._lock:
            self._has_ended = True
        with suppress(pa.ArrowException, *READ_ERRORS):
            deque(self.reader, maxlen=0)


_UNDER_WAY: WeakSet[_Source] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop Arrow's threads: one that still holds Python's bytes while the interpreter exits aborts the process."""
    for source in list(_UNDER_WAY):
        source.stop()


def _read_csv(table: Table, columns: tuple[str, ...]) -> "Generator[pa.RecordBatch]":
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [table.spell(column) for column in columns]
    try:
        with open_unpacked(table.path) as file:
            _UNDER_WAY.add(source := _Source(table, file))
            try:
                source.reader = arrow_csv.open_csv(
                    source,
                    arrow_csv.ReadOptions(block_size=LONGEST_ROW),
                    arrow_csv.ParseOptions(newlines_in_values=True),
                    # numbers too are read as text: values.convert knows more ways to write them
                    arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names),
                )
                for block in source.reader:  # noqa: UP028 - `yield from` would close the reader under its threads
                    yield block
            finally:
                source.stop()
    except pa.ArrowInvalid:  # its message quotes the line
        raise _explain_bad_csv(table) from None
    except READ_ERRORS as error:
        raise explain_gzip_error(table.path, error) from error


def _explain_bad_csv(table: Table) -> DeepicdError:
    """Read a CSV file that Arrow refuses a second time, slowly, to name its first bad row."""
    limit = csv.field_size_limit(LONGEST_ROW)
    row = -1
    try:
        with open_unpacked(table.path) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
            for row, values in enumerate(filter(None, csv.reader(text))):
                if len(values) != len(table.header):
                    why = f"row {row:,} has {len(values)} values, its header names {len(table.header)} columns"
                    return unreadable_error(table.path, why)
                if not _is_utf8(values):
                    return unreadable_error(table.path, f"row {row:,} holds bytes that are not UTF-8")
    except csv.Error:
        why = f"row {row + 1:,} is longer than {LONGEST_ROW // 2**20} MiB; perhaps a quote in it is not closed"
        return unreadable_error(table.path, why)
    finally:
        csv.field_size_limit(limit)
    return unreadable_error(table.path, f"a row is longer than {LONGEST_ROW // 2**20} MiB, or a quote is not closed")


def _is_utf8(values: list[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:  # bytes that were no UTF-8 were read as surrogates
        return False
    return True


def _read_parquet(table: Table, columns: tuple[str, ...], size: int) -> "Generator[pa.RecordBatch]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [table.spell(column) for column in columns]
    try:
        with pq.ParquetFile(table.path) as file:
            for batch in file.iter_batches(size, columns=names):
                yield batch.select(names)
    except (pa.ArrowException, OSError) as error:
        raise unreadable_error(table.path, "part of it is damaged") from error


def _read_database(table: Table, columns: tuple[str, ...], size: int) -> "Generator[pa.RecordBatch]":
    import pyarrow as pa

    names = ", ".join(quote_name(table.spell(column)) for column in columns)
    with open_file(table.path) as db:
        try:
            yield from db.sql(f"select {names} from {table.inside}").to_arrow_reader(size)
        except pa.ArrowException as error:  # so DuckDB's errors come once rows are under way
            raise unreadable_error(table.path, "part of it is damaged") from error
