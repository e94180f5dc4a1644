"""Read the rows of a MIMIC table as Arrow batches, in the file's order, with the column types of tables.COLUMNS.

    for batch in read_rows(Table.at(Path("note/discharge.csv.gz"), "discharge")):
        batch["text"]

Arrow reads CSV, since unlike DuckDB's reader it verifies a gzip's CRC. Damage is an error that names the file and shows
none of its rows.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.tables import Table, unreadable_error

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LONGEST_ROW = 16 * 2**20  # bytes that Arrow parses at a time; a note of 2.2 has at most 60,381 characters
ROWS_PER_BATCH = 400  # some 4 MB of notes: small enough that several batches under way take little memory

UNLIKE_HEADER = "a line does not have the header's columns or types"
# What Arrow says about a damaged CSV, in lower case → what is shown instead, since Arrow quotes the line (of a note).
DAMAGE = {
    "utf8": "it holds bytes that are not UTF-8",
    "block boundaries": f"a row of it is longer than {LONGEST_ROW // 2**20} MiB",
    "": UNLIKE_HEADER,
}


def read_rows(table: Table, columns: tuple[str, ...] | None = None) -> "Iterator[pa.RecordBatch]":
    """Yield batches of a table: all columns to read, or `columns` alone. Raises DeepicdError for a damaged file."""
    columns = columns or tuple(table.columns)
    if table.path.suffix in (".gz", ".csv"):
        yield from _read_csv(table, columns)
    else:
        yield from _read_with_duckdb(table, columns)


def load_table(db: "duckdb.DuckDBPyConnection", table: Table, columns: tuple[str, ...] | None = None) -> int:
    """Load a table into a database under its name, replacing one of that name; return its number of rows."""
    import duckdb
    import pyarrow as pa

    schema = pa.schema([(name, kind) for name, kind in _get_types(table).items() if columns is None or name in columns])
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


def _read_csv(table: Table, columns: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    from isal.igzip_lib import IsalError
    from pyarrow import csv

    try:
        with _open_unpacked(table.path) as file:
            for block in csv.open_csv(
                file,
                csv.ReadOptions(block_size=LONGEST_ROW),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(column_types=_get_types(table), include_columns=columns),
            ):
                for start in range(0, block.num_rows, ROWS_PER_BATCH):
                    yield block.slice(start, ROWS_PER_BATCH)
    except EOFError as error:
        raise unreadable_error(table.path, "the gzip ends early") from error
    except (gzip.BadGzipFile, IsalError) as error:
        raise unreadable_error(table.path, "its gzip is damaged") from error
    except pa.ArrowInvalid as error:
        text = str(error).casefold()
        raise unreadable_error(table.path, next(kind for sign, kind in DAMAGE.items() if sign in text)) from None


def _get_types(table: Table) -> "dict[str, pa.DataType]":
    """Return the type of each column that is read of the table."""
    import pyarrow as pa

    kinds = {"bigint": pa.int64(), "varchar": pa.string()}
    return {name: kinds[kind] for name, kind in table.columns.items()}


def _open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if it is gzipped.

    isal instead of zlib saves 13 to 15 % of the processor time of a build (notes of real length, benchmarks/build.py).
    """
    if path.suffix != ".gz":
        return path.open("rb")
    from isal import igzip

    file: IO[bytes] = igzip.open(path, "rb")
    return file


def _read_with_duckdb(table: Table, columns: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    """Yield batches of a parquet or a DuckDB file."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as db:
        db.execute("set enable_progress_bar = false")  # it goes to stdout
        try:
            table.attach(db)
            yield from db.sql(f"select {', '.join(columns)} from {table.scan}").to_arrow_reader(ROWS_PER_BATCH)
        except (duckdb.Error, pa.ArrowException) as error:
            why = UNLIKE_HEADER if isinstance(error, duckdb.ConversionException) else "part of it is damaged"
            raise unreadable_error(table.path, why) from None  # DuckDB quotes the value that it could not read
