"""A copy of MIMIC-IV and of MIMIC-IV-Note on disk: where its tables are, whether they are what they claim to be.

    copy = find(mimic=Path("~/mimiciv/3.1"), notes=Path("~/mimic-iv-note/2.2"))
    copy.tables["diagnoses_icd"].path, copy.origin     # …/hosp/diagnoses_icd.csv.gz, 'mimic'

Any root above hosp/ and note/ will do (the ZIP route unpacks under other names), gzipped or not. Columns are found by
name, since 2.0 and 2.1 lack one in the middle of admissions, and read as text where leading zeros matter.

A copy counts as credentialed unless it proves to be made up (see builders.synthetic.mark).
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from builders.synthetic.mark import is_synthetic
from deepicd.errors import DeepicdError
from deepicd.store import Origin

if TYPE_CHECKING:
    import duckdb

# The columns the cohort reads, with the type each is read as. Others may come or go between releases.
COLUMNS: dict[str, dict[str, str]] = {
    "admissions": {"subject_id": "bigint", "hadm_id": "bigint"},
    "diagnoses_icd": {
        "subject_id": "bigint",
        "hadm_id": "bigint",
        "seq_num": "bigint",
        "icd_code": "varchar",  # '0389' is a code, 389 is another one
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
FOLDER = {"admissions": "hosp", "diagnoses_icd": "hosp", "d_icd_diagnoses": "hosp", "discharge": "note"}
OPTIONAL = {"d_icd_diagnoses"}  # the open demo as found in the wild lacks it; titles then come from the release tables

MAX_LINE = 16 * 2**20  # bytes; a note of 2.2 has at most 60,381 characters, but one odd row must not stop a build
BUFFER = 2 * MAX_LINE  # bytes; DuckDB would take sixteen lines of the longest

# What DuckDB says of a damaged file, in lower case, and what we say.
DAMAGE = {
    "gzip": "the gzip ends early",
    "utf-8": "it holds bytes that are not UTF-8",
    "unicode": "it holds bytes that are not UTF-8",
    "": "a line does not have the header's columns or types",
}


@dataclass(frozen=True, slots=True)
class Table:
    """One CSV of a copy: its file, and all of its columns in the order of its header."""

    name: str
    path: Path
    header: tuple[str, ...]

    @classmethod
    def at(cls, path: Path, name: str) -> "Table":
        """The table in a file, its header read. Raises DeepicdError where a column that the cohort needs is absent."""
        return cls(name, path, _header(path, name))

    @property
    def scan(self) -> str:
        """The DuckDB table function that reads it: typed where the cohort needs it, text elsewhere, nothing guessed."""
        typed = COLUMNS[self.name]
        columns = ", ".join(f"{quoted(column)}: {quoted(typed.get(column, 'varchar'))}" for column in self.header)
        return (
            f"read_csv({quoted(str(self.path))}, columns = {{{columns}}}, auto_detect = false, header = true,"
            f" delim = ',', quote = '\"', escape = '\"', parallel = false,"
            f" max_line_size = {MAX_LINE}, buffer_size = {BUFFER})"
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """The tables of one copy, by name, and whether its rows are credentialed."""

    tables: dict[str, Table]
    origin: Origin

    @property
    def files(self) -> dict[str, Path]:
        return {name: table.path for name, table in self.tables.items()}


def find(mimic: Path, notes: Path) -> Copy:
    """Locate and check the tables of a copy (`notes` may be the same root). Raises DeepicdError for what is missing."""
    roots = {"hosp": _root(mimic, "hosp", "--mimic"), "note": _root(notes, "note", "--notes")}
    tables, missing = {}, []
    for name, folder in FOLDER.items():
        path = _file(roots[folder] / folder, name)
        if path is not None:
            tables[name] = Table.at(path, name)
        elif name not in OPTIONAL:
            missing.append((roots[folder] / folder, name))
    if missing:
        if "diagnoses_icd" in tables:  # damaged codes are the graver fault: no further download would mend them
            check_codes(tables["diagnoses_icd"])
        folder_path, name = missing[0]
        raise DeepicdError(
            f"{folder_path} holds neither {name}.csv.gz nor {name}.csv.",
            "Fetch the missing table from PhysioNet into that folder, beside the others.",
        )
    by_folder = {root: [table.path for table in tables.values() if FOLDER[table.name] == root] for root in roots}
    proven = all(is_synthetic(roots[folder], files) for folder, files in by_folder.items())
    return Copy(tables, "synthetic" if proven else "mimic")


def _root(path: Path, folder: str, option: str) -> Path:
    """The folder that holds hosp/ (or note/): the path itself, its parent, or the only one below it."""
    path = path.expanduser()
    if not path.is_dir():
        raise DeepicdError(
            f"There is no folder {path}.", f"Point {option} at a copy of MIMIC-IV, the folder above {folder}/."
        )
    if (path / folder).is_dir():
        return path
    if path.name == folder:
        return path.parent
    below = [found.parent for found in path.glob(f"*/**/{folder}") if found.is_dir()]
    if len(below) == 1:
        return below[0]
    if below:
        raise DeepicdError(
            f"{path} holds {len(below)} copies: {', '.join(sorted(str(root.relative_to(path)) for root in below))}.",
            f"Point {option} at one of them.",
        )
    example = "~/mimiciv/3.1" if folder == "hosp" else "~/mimic-iv-note/2.2"
    raise DeepicdError(
        f"{path} holds no {folder}/ folder.",
        f"Point {option} at the version folder, for instance {example}, or make up a copy: deepicd synthesize OUT",
    )


def _file(folder: Path, name: str) -> Path | None:
    return next((path for ending in (".csv.gz", ".csv") if (path := folder / f"{name}{ending}").is_file()), None)


def _header(path: Path, name: str) -> tuple[str, ...]:
    """The column names of a CSV; raises where one that the cohort needs is absent."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = tuple(next(csv.reader([file.readline().decode("utf-8-sig")]), []))
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(path, "it is no gzip file" if path.suffix == ".gz" else "its header is not UTF-8") from error
    missing = [column for column in COLUMNS[name] if column not in header]
    if missing:
        raise DeepicdError(
            f"{path} has no column {', '.join(missing)}; its header is {', '.join(header) or 'empty'}.",
            f"Expected the {name} table of MIMIC-IV 2.0 to 3.1 with its header line.",
        )
    return header


def _unreadable(path: Path, why: str) -> DeepicdError:
    return DeepicdError(
        f"{path} cannot be read to its end: {why}.",
        "The file is damaged or its download was cut short: compare it with SHA256SUMS.txt and fetch it again.",
    )


@contextmanager
def reading(tables: Mapping[str, Table]) -> Iterator[None]:
    """Turn what DuckDB says of a damaged table into an error that names the file and shows none of its rows."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if "No space left" in text:
            raise OSError(ENOSPC, "No space left on device") from None
        path = next((table.path for table in tables.values() if table.path.name in text), None)
        if path is None:
            raise
        # DuckDB quotes the offending line, which may be part of a note: keep the kind of trouble only
        raise _unreadable(path, next(kind for sign, kind in DAMAGE.items() if sign in text.casefold())) from None


def check_codes(table: Table) -> None:
    """As `check_codes_are_text`, on a table that is not in a database yet."""
    import duckdb

    with reading({table.name: table}), duckdb.connect() as db:
        db.execute("set enable_progress_bar = false")  # it goes to stdout
        db.execute(f"create view diagnoses_icd as from {table.scan}")
        check_codes_are_text(db, table)


def check_codes_are_text(db: "duckdb.DuckDBPyConnection", table: Table) -> None:
    """Raise if a spreadsheet or pandas has read the codes as numbers, which drops leading zeros (`07071` → `7071`).

    `db` holds a relation `diagnoses_icd`. ICD-9 diagnoses 001–099 are infections, some 3 in 100 ICD-9 rows of the open
    demo, and no numeric ICD-9 code has fewer than three digits: none of the former or any of the latter means damage.
    """
    numeric, short, zero = db.execute(
        """
        select count(*), count(*) filter (length(icd_code) < 3), count(*) filter (starts_with(icd_code, '0'))
        from diagnoses_icd
        where icd_version = 9 and regexp_full_match(icd_code, '[0-9]+')
        """
    ).fetchone() or (0, 0, 0)
    enough = 300  # rows below which the absence of leading zeros may be chance
    if short or (numeric >= enough and zero == 0):
        raise DeepicdError(
            f"{table.path} has lost the leading zeros of its ICD-9 codes: of {numeric:,} numeric codes {zero:,} start"
            f" with 0 and {short:,} have fewer than three digits.",
            "A program read the codes as numbers. Use the file as PhysioNet ships it, or read icd_code as text.",
        )


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
