"""One table of a MIMIC copy in any of its usual forms: CSV, gzipped or not, parquet, DuckDB.

    Table.at(Path("hosp/diagnoses_icd.csv.gz"), "diagnoses_icd").header   # ('subject_id', 'hadm_id', …)

Columns are selected by name, since 2.0 and 2.1 lack one in the middle of admissions, and have the types set here: codes
are text, whatever a reader would guess. deepicd.mimic.table_rows reads the rows.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb

# The columns that the cohort reads, with their types. Others may come or go between releases.
COLUMNS: dict[str, dict[str, str]] = {
    "patients": {"subject_id": "bigint", "gender": "varchar", "anchor_age": "bigint", "anchor_year": "bigint"},
    "admissions": {
        "subject_id": "bigint",
        "hadm_id": "bigint",
        "admittime": "varchar",
        "admission_type": "varchar",
        "race": "varchar",
    },
    "icustays": {"subject_id": "bigint", "hadm_id": "bigint"},
    "diagnoses_icd": {
        "subject_id": "bigint",
        "hadm_id": "bigint",
        "seq_num": "bigint",
        "icd_code": "varchar",  # '0389' is another code than 389
        "icd_version": "bigint",
    },
    "d_icd_diagnoses": {"icd_code": "varchar", "icd_version": "bigint", "long_title": "varchar"},
    "discharge": {
        "note_id": "varchar",
        "subject_id": "bigint",
        "hadm_id": "bigint",
        "note_seq": "bigint",
        "text": "varchar",
    },
}

# Columns that are read where a table has them: without them something is unknown, and nothing else changes.
OPTIONAL_COLUMNS: dict[str, dict[str, str]] = {"admissions": {"dischtime": "varchar", "hospital_expire_flag": "bigint"}}

CHUNK = 2**24  # bytes
DATABASES = (".duckdb", ".db")


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the file that holds it."""

    name: str
    path: Path
    header: tuple[str, ...]
    """All of its columns, in order."""
    inside: str = ""
    """In a DuckDB file: the table with its schema."""

    @classmethod
    def at(cls, path: Path, name: str) -> "Table":
        """Return the table in a file, with its header. Raises DeepicdError if a needed column is absent."""
        inside = ""
        if path.suffix in DATABASES:
            inside, types = _find_database_table(path, name)
        elif path.suffix == ".parquet":
            types = _read_parquet_columns(path)
        else:
            header = _read_csv_header(path)
            types = dict.fromkeys(header, "VARCHAR")
            if len(types) < len(header):
                raise unreadable_error(path, "its header names a column twice")
            _check_end(path)
        _check_columns(path, name, types)
        return cls(name, path, tuple(types), inside)

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns to read, with their types."""
        optional = OPTIONAL_COLUMNS.get(self.name, {})
        return COLUMNS[self.name] | {name: kind for name, kind in optional.items() if name in self.header}

    @property
    def scan(self) -> str:
        """Return the `from` clause that reads a parquet file, or an attached DuckDB file, with the types set here."""
        source = f"{self.alias}.{self.inside}" if self.inside else f"read_parquet({quote_sql(str(self.path))})"
        columns = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in self.columns.items())
        return f"(select {columns} from {source})"

    @property
    def alias(self) -> str:
        """Return the name under which a DuckDB file is attached."""
        return f"copy_{self.name}"

    def attach(self, db: "duckdb.DuckDBPyConnection") -> None:
        """Attach the table's file to a database, read-only, if it is a DuckDB file."""
        if self.inside:
            db.execute(f"attach {quote_sql(str(self.path))} as {self.alias} (read_only)")


def _check_columns(path: Path, name: str, types: Mapping[str, str]) -> None:
    missing = [column for column in COLUMNS[name] if column not in types]
    if missing:
        # a file without its header line has a row in its place: show column names only, never values
        named = [column for column in types if re.fullmatch("[a-z][a-z_]*", column)]
        raise DeepicdError(
            f"{path} has no column {', '.join(missing)}; its header names {', '.join(named) or 'no column'}.",
            f"Expected the {name} table of MIMIC-IV 2.0 to 3.1 with its header line.",
        )
    if "icd_code" in COLUMNS[name] and types["icd_code"] != "VARCHAR":
        raise DeepicdError(
            f"{path} holds codes as {types['icd_code']}: their leading zeros are lost (ICD-9 0389 became 389).",
            "Convert the file again from PhysioNet's CSV with icd_code read as text.",
        )


def _read_csv_header(path: Path) -> list[str]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return next(csv.reader([file.readline().decode("utf-8-sig")]), [])
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise unreadable_error(
            path, "it is not a gzip file" if path.suffix == ".gz" else "its header is not UTF-8"
        ) from error


def _check_end(path: Path) -> None:
    """Raise if an uncompressed CSV ends within a quoted text: a reader would take it for a complete row."""
    if path.suffix == ".gz":  # gzip knows its own end
        return
    with path.open("rb") as file:
        quotes = sum(chunk.count(b'"') for chunk in iter(lambda: file.read(CHUNK), b""))
    if quotes % 2:
        raise unreadable_error(path, "it ends in the middle of a row")


def _read_parquet_columns(path: Path) -> dict[str, str]:
    """Return column → DuckDB type."""
    import duckdb

    try:
        rows = duckdb.execute("select column_name, column_type from (describe from read_parquet(?))", [str(path)])
    except duckdb.Error as error:
        raise unreadable_error(path, "it is not a parquet file, or only part of one") from error
    return dict(rows.fetchall())


def has_table(database: Path, name: str) -> bool:
    """Return whether a DuckDB file has a table of that name."""
    return bool(_list_columns(database, name))


def _find_database_table(path: Path, name: str) -> tuple[str, dict[str, str]]:
    """Return a table's place in a DuckDB file, 'schema.name', and its columns with their types."""
    rows = _list_columns(path, name)
    schemas = sorted({schema for schema, _, _ in rows})
    if len(schemas) != 1:
        raise DeepicdError(
            f"{path} holds {len(schemas)} tables {name}{', in schemas ' + ', '.join(schemas) if schemas else ''}.",
            "Keep one copy of MIMIC in a DuckDB file, its tables under their own names.",
        )
    return f"{schemas[0]}.{name}", {column: kind for _, column, kind in rows}


def _list_columns(path: Path, name: str) -> list[tuple[str, str, str]]:
    """Return (schema, column, type) of every column of the tables with a name."""
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as db:
            return db.execute(
                "select schema_name, column_name, data_type from duckdb_columns() where table_name = ? and not internal"
                " order by schema_name, column_index",
                [name],
            ).fetchall()
    except duckdb.Error as error:
        raise unreadable_error(path, "it is not a DuckDB file that this version of DuckDB reads") from error


def unreadable_error(path: Path, why: str) -> DeepicdError:
    """Return the error for a file that is damaged."""
    return DeepicdError(
        f"{path} cannot be read to its end: {why}.",
        "Compare it with SHA256SUMS.txt and fetch it again: it may be damaged, or its download was cut short.",
    )


def quote_sql(text: str) -> str:
    """Return a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
