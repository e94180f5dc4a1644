"""The rows of a table of a MIMIC copy as Arrow batches, in the file's order, with the types that we give its columns.

    for batch in read_rows(Table.at(Path("note/discharge.csv.gz"), "discharge")):
        batch["text"]

Arrow reads the CSV and ISA-L unpacks it: on the notes of MIMIC together they take half of the time of DuckDB's own
reader, and unlike that one they check a gzip's CRC. Damage is an error that names the file and shows none of its rows.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builders.mimic.tables import COLUMNS, Table, unreadable_error
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

AT_ONCE = 4 * 2**20
"""Bytes of CSV in a batch, some 400 notes; with more, memory is had and given back all the time. A note of 2.2 has at
most 60,381 characters: a file with a row longer than a batch is read again from its start, in batches of `LONGEST`."""
LONGEST = 16 * 2**20  # bytes of a row at most
ROWS_AT_ONCE = 400  # of parquet and DuckDB, where nobody counts bytes

UNLIKE_THE_HEADER = "a line does not have the header's columns or types"
TOO_LONG = "block boundaries"
# What Arrow says of a damaged CSV, in lower case, and what we say; it quotes the line, which may be part of a note.
DAMAGE = {
    "utf8": "it holds bytes that are not UTF-8",
    TOO_LONG: f"a row of it is longer than {LONGEST // 2**20} MiB",
    "": UNLIKE_THE_HEADER,
}


def read_rows(table: Table, columns: tuple[str, ...] | None = None) -> "Iterator[pa.RecordBatch]":
    """Batches of these of the table's COLUMNS, of all unless given. Raises DeepicdError for a damaged file."""
    columns = columns or tuple(COLUMNS[table.name])
    if table.path.suffix in (".gz", ".csv"):
        yield from _csv_rows(table, columns)
    else:
        yield from _duckdb_rows(table, columns)


def load_table(db: "duckdb.DuckDBPyConnection", table: Table, columns: tuple[str, ...] | None = None) -> int:
    """Make it a table of a database, under its name and in place of one of that name; how many rows it has."""
    import duckdb
    import pyarrow as pa

    schema = pa.schema([(name, kind) for name, kind in _types(table).items() if columns is None or name in columns])
    damage: list[DeepicdError] = []

    def arriving() -> "Iterator[pa.RecordBatch]":
        try:
            yield from read_rows(table, tuple(schema.names))
        except DeepicdError as error:  # DuckDB would wrap it into one of its own
            damage.append(error)
            raise

    db.register("arriving", pa.RecordBatchReader.from_batches(schema, arriving()))
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


def _csv_rows(table: Table, columns: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    from isal.igzip_lib import IsalError

    done = 0  # rows
    try:
        for at_once in (AT_ONCE, LONGEST):
            try:
                for batch in _after(done, _batches(table, columns, at_once)):
                    done += batch.num_rows
                    yield batch
                return
            except pa.ArrowInvalid as error:
                if TOO_LONG not in str(error) or at_once == LONGEST:
                    raise
    except EOFError as error:
        raise unreadable_error(table.path, "the gzip ends early") from error
    except (gzip.BadGzipFile, IsalError) as error:
        raise unreadable_error(table.path, "its gzip is damaged") from error
    except pa.ArrowInvalid as error:
        text = str(error).casefold()
        raise unreadable_error(table.path, next(kind for sign, kind in DAMAGE.items() if sign in text)) from None


def _batches(table: Table, columns: tuple[str, ...], at_once: int) -> "Iterator[pa.RecordBatch]":
    """Of a CSV file, in blocks of so many bytes."""
    from pyarrow import csv

    with _unpacked(table.path) as file:
        yield from csv.open_csv(
            file,
            csv.ReadOptions(block_size=at_once),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=_types(table), include_columns=columns),
        )


def _types(table: Table) -> "dict[str, pa.DataType]":
    """The type of each of the table's COLUMNS."""
    import pyarrow as pa

    kinds = {"bigint": pa.int64(), "varchar": pa.string()}
    return {name: kinds[kind] for name, kind in COLUMNS[table.name].items()}


def _after(rows: int, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """All but the first rows."""
    for batch in batches:
        if rows < batch.num_rows:
            yield batch.slice(rows)
        rows = max(0, rows - batch.num_rows)


def _unpacked(path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return path.open("rb")
    from isal import igzip

    file: IO[bytes] = igzip.open(path, "rb")
    return file


def _duckdb_rows(table: Table, columns: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    """Of a parquet or a DuckDB file."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as db:
        db.execute("set enable_progress_bar = false")  # it goes to stdout
        try:
            table.attach(db)
            yield from db.sql(f"select {', '.join(columns)} from {table.scan}").to_arrow_reader(ROWS_AT_ONCE)
        except (duckdb.Error, pa.ArrowException) as error:
            why = UNLIKE_THE_HEADER if isinstance(error, duckdb.ConversionException) else "part of it is damaged"
            raise unreadable_error(table.path, why) from None  # DuckDB quotes the value that it stumbled on
