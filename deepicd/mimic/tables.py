"""One table of a MIMIC copy in any of its usual forms: CSV, gzipped or not, parquet, DuckDB.

    Table.at(Path("hosp/diagnoses_icd.csv.gz"), "diagnoses_icd").header   # ('subject_id', 'hadm_id', …)

Columns are selected by name in any case, since 2.0 and 2.1 lack one in the middle of admissions, and have the types set
here: codes are text, whatever a reader would guess. deepicd.mimic.table_rows reads the rows.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.databases import open_file
from deepicd.mimic.file_kinds import TEXT, check_kind, name_kind, wrong_kind_error

if TYPE_CHECKING:
    import pyarrow as pa

# The columns that the cohort reads, with their types. Others may come or go between releases.
COLUMNS: dict[str, dict[str, str]] = {
    "patients": {"subject_id": "bigint"},
    "admissions": {"subject_id": "bigint", "hadm_id": "bigint"},
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

# Columns that may be absent, and are null then: something is unknown, and nothing else changes.
OPTIONAL_COLUMNS: dict[str, dict[str, str]] = {
    "patients": {"gender": "varchar", "anchor_age": "bigint", "anchor_year": "bigint"},
    "admissions": {
        "admittime": "varchar",
        "dischtime": "varchar",
        "admission_type": "varchar",
        "discharge_location": "varchar",
        "race": "varchar",
        "hospital_expire_flag": "bigint",
    },
}

_KNOWN = {column for columns in (*COLUMNS.values(), *OPTIONAL_COLUMNS.values()) for column in columns}
CHUNK = 2**24  # bytes
HEAD = 2**16  # bytes that hold a header
DATABASES = (".duckdb", ".db")
TAIL = 256  # bytes
READ_ERRORS = (EOFError, zlib.error, OSError)  # of a file that is opened with open_unpacked


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the file that holds it."""

    name: str
    path: Path
    header: tuple[str, ...]
    """All of its columns, in order, in lower case."""
    spellings: tuple[str, ...] = ()
    """The same as the file spells them."""
    inside: str = ""
    """In a DuckDB file: the table with its schema, quoted."""

    @classmethod
    def at(cls, path: Path, name: str, columns: Sequence[str] = ()) -> "Table":
        """Return the table in a file, with its header.

        Raises DeepicdError if the file is not what its name says, or lacks one of `columns` (default: its COLUMNS).
        """
        inside = ""
        if path.suffix in DATABASES:
            inside, types = _find_database_table(path, name)
        else:
            check_kind(path)
            types = _read_parquet_columns(path) if path.suffix == ".parquet" else _read_csv_columns(path)
        _check_columns(path, name, types, columns or tuple(COLUMNS[name]))
        return cls(name, path, tuple(map(_fold, types)), tuple(types), inside)

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns to read, with their types."""
        return COLUMNS[self.name] | OPTIONAL_COLUMNS.get(self.name, {})

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the optional columns that the file lacks."""
        return tuple(name for name in OPTIONAL_COLUMNS.get(self.name, {}) if name not in self.header)

    def spell(self, column: str) -> str:
        """Return a column's name as the file spells it: SUBJECT_ID for subject_id."""
        return self.spellings[self.header.index(column)]

    @property
    def ends_in_text(self) -> bool:
        """Whether a CSV file that is cut short may end within a quoted text of a row that looks complete."""
        return self.columns.get(self.header[-1]) == "varchar"


def _fold(column: str) -> str:
    """Return a column's name as COLUMNS has it."""
    return column.strip().casefold()


def _check_columns(path: Path, name: str, types: Mapping[str, str], needed: Sequence[str]) -> None:
    folded = {_fold(column): kind for column, kind in types.items()}
    # a file without its header line has a row in its place: show names that MIMIC has, never values
    named = [column for column in folded if column in _KNOWN]
    if len(folded) < len(types):
        raise DeepicdError(
            f"{path} names a column twice in its header.", f"Expected the {name} table of MIMIC-IV 2.0 to 3.1."
        )
    if missing := [column for column in needed if column not in folded]:
        raise DeepicdError(
            f"{path} has no column {', '.join(missing)}; its header names {', '.join(named) or 'no column'}.",
            f"Expected the {name} table of MIMIC-IV 2.0 to 3.1 with its header line, separated by commas.",
        )
    if "icd_code" in needed and folded["icd_code"] != TEXT:
        raise DeepicdError(
            f"{path} holds codes as {folded['icd_code']}: their leading zeros are lost (ICD-9 0389 became 389).",
            "Convert the file again from PhysioNet's CSV with icd_code read as text.",
        )


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if it is gzipped."""
    if path.suffix != ".gz":
        return path.open("rb")
    return gzip.open(path)  # type: ignore[return-value]


def _read_csv_columns(path: Path) -> dict[str, str]:
    try:
        with open_unpacked(path) as file:
            head = file.read(HEAD)
            header = next(csv.reader(io.StringIO(head.decode("utf-8-sig", "replace"), newline="")), [])
            if head and (kind := name_kind(head)) != TEXT and path.suffix == ".gz":
                raise wrong_kind_error(path, f"a gzip of {kind}", "of plain text")
    except READ_ERRORS as error:
        raise explain_gzip_error(path, error) from error
    if len(set(header)) < len(header):
        raise DeepicdError(f"{path} names a column twice in its header.", "Use the file as PhysioNet ships it.")
    return dict.fromkeys(header, TEXT)


def explain_gzip_error(path: Path, error: Exception) -> Exception:
    """Return what is wrong with a gzip file; errors of the disk as they are."""
    if isinstance(error, EOFError):
        return unreadable_error(path, "the gzip ends early")
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return error
    if "Not a gzipped file" in str(error):  # not at its start, which has been looked at
        follows = "a web page" if "b'<" in str(error) else "other data"
        return unreadable_error(path, f"{follows} follows the end of its gzip, as where a download was continued")
    return unreadable_error(path, "its gzip is damaged")


def is_cut_in_text(path: Path, tail: bytes) -> bool:
    """Return whether a CSV file ends within a quoted text: a reader would take it for a complete row.

    `tail` is the unpacked end of the file, which tells in most cases: the last text is closed if an odd number of
    quotes ends it and none of them can have opened it, as one behind a comma can. Else all quotes are counted.
    """
    end = tail.rstrip(b"\r\n")
    text = end.rstrip(b'"')
    if (len(end) - len(text)) % 2 and text and not text.endswith(b","):
        return False
    with open_unpacked(path) as file:
        return sum(chunk.count(b'"') for chunk in iter(lambda: file.read(CHUNK), b"")) % 2 == 1


def _read_parquet_columns(path: Path) -> dict[str, str]:
    """Return column → TEXT, or its type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable_error(path, "its footer, which is its end, is missing or damaged") from error
    return {field.name: _name_arrow_type(field.type) for field in schema}


def _name_arrow_type(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return TEXT if is_text else str(kind)


def has_table(database: Path, name: str) -> bool:
    """Return whether a DuckDB file has a table of that name."""
    return bool(_list_columns(database, name))


def _find_database_table(path: Path, name: str) -> tuple[str, dict[str, str]]:
    """Return a table's place in a DuckDB file, '"schema"."name"', and column → TEXT, or its type."""
    rows = _list_columns(path, name)
    places = sorted({place for place, _, _ in rows})
    if len(places) != 1:
        raise DeepicdError(
            f"{path} holds {len(places)} tables {name}{': ' + ', '.join(places) if places else ''}.",
            "Keep one copy of MIMIC in a DuckDB file, its tables under their own names.",
        )
    return places[0], {column: TEXT if kind.startswith(("VARCHAR", "ENUM")) else kind for _, column, kind in rows}


def _list_columns(path: Path, name: str) -> list[tuple[str, str, str]]:
    """Return (quoted schema and table, column, type) of every column of the tables with a name."""
    with open_file(path) as db:
        return db.execute(
            """
            select format('"{}"."{}"', schema_name, table_name), column_name, data_type
            from duckdb_columns()
            where lower(table_name) = ? and not internal
            order by schema_name, table_name, column_index
            """,
            [name],
        ).fetchall()


def unreadable_error(path: Path, why: str) -> DeepicdError:
    """Return the error for a file that is damaged."""
    return DeepicdError(
        f"{path} cannot be read to its end: {why}.",
        "Compare it with SHA256SUMS.txt, and fetch it again if its checksum differs.",
    )
