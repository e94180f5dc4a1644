"""Locate and check a copy of MIMIC-IV and MIMIC-IV-Note on disk.

    copy = find_copy(mimic=Path("~/mimiciv/3.1"), notes=Path("~/mimic-iv-note/2.2"))
    copy.tables["diagnoses_icd"].path, copy.origin     # …/hosp/diagnoses_icd.csv.gz, 'mimic'

Any root above hosp/ and note/ will do (ZIP files unpack under other names), as will a DuckDB file made from the
tables. A copy counts as credentialed unless it is proven to be made up (see deepicd.synthetic_proof).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.table_rows import load_table
from deepicd.mimic.tables import DATABASES, Table, has_table, quote_sql
from deepicd.storage import Origin
from deepicd.synthetic_proof import is_synthetic

if TYPE_CHECKING:
    import duckdb

FOLDER = {
    "admissions": "hosp", "diagnoses_icd": "hosp", "d_icd_diagnoses": "hosp", "patients": "hosp", "icustays": "icu",
    "discharge": "note",
}  # fmt: skip
# Some copies of the open demo lack the first, for which the release tables stand in; without the others, columns of the
# cohort are null.
OPTIONAL = {"d_icd_diagnoses", "patients", "icustays"}
ENDINGS = (".csv.gz", ".csv", ".parquet")
MEMORY = "1GB"  # of DuckDB, which then spills to disk


@dataclass(frozen=True, slots=True)
class Copy:
    """The tables of one copy, by name, and whether its rows are credentialed."""

    tables: dict[str, Table]
    origin: Origin

    @property
    def files(self) -> dict[str, Path]:
        return {name: table.path for name, table in self.tables.items()}


def find_copy(mimic: Path, notes: Path) -> Copy:
    """Locate the tables of a copy (`notes` may be the same root). Raises DeepicdError if one is missing."""
    roots = {"hosp": _find_root(mimic, "hosp", "--mimic"), "note": _find_root(notes, "note", "--notes")}
    roots["icu"] = roots["hosp"]
    tables, missing = {}, []
    for name, folder in FOLDER.items():
        path = find_table_file(roots[folder], folder, name)
        if path is not None:
            tables[name] = Table.at(path, name)
        elif name not in OPTIONAL:
            missing.append((roots[folder] / folder, name))
    if missing:
        if "diagnoses_icd" in tables:  # report damaged codes first: a further download does not repair them
            check_codes(tables["diagnoses_icd"])
        folder_path, name = missing[0]
        raise DeepicdError(
            f"{folder_path} holds neither {name}.csv.gz nor {name}.csv.",
            "Fetch the missing table from PhysioNet into that folder, beside the others.",
        )
    files_of: dict[Path, list[Path]] = {}
    for name, table in tables.items():
        files_of.setdefault(roots[FOLDER[name]], []).append(table.path)
    proven = all(is_synthetic(root, files) for root, files in files_of.items())
    return Copy(tables, "synthetic" if proven else "mimic")


def _find_root(path: Path, folder: str, option: str) -> Path:
    """Return what holds hosp/ (or note/): the path, its parent, or the only folder below it; or a DuckDB file."""
    path = path.expanduser()
    if path.is_file() and path.suffix in DATABASES:
        return path
    if not path.is_dir():
        raise DeepicdError(
            f"The folder {path} does not exist.", f"Point {option} at a copy of MIMIC-IV, the folder above {folder}/."
        )
    if (path / folder).is_dir():
        return path
    if path.name == folder:
        return path.parent
    below = [child.parent for child in path.glob(f"*/**/{folder}") if child.is_dir()]
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


def find_table_file(root: Path, folder: str, name: str) -> Path | None:
    """Return the file that holds a table: the first of its forms, or the given DuckDB file; None if there is none."""
    if root.is_file():
        return root if has_table(root, name) else None
    return next((path for end in ENDINGS if (path := root / folder / f"{name}{end}").is_file()), None)


@contextmanager
def open_copy(copy: Copy, spill: Path | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Yield an in-memory database with the hosp tables of a copy; it may spill into a folder.

    The notes are not loaded: they are streamed (table_rows). Raises DeepicdError for damaged tables and for codes
    that have lost their leading zeros.
    """
    with open_database(spill) as db:
        for table in copy.tables.values():
            if table.name != "discharge":
                load_table(db, table)
        check_codes_are_text(db, copy.tables["diagnoses_icd"])
        yield db


@contextmanager
def open_database(spill: Path | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Yield an empty database in memory. Raises OSError for a full disk, DeepicdError where DuckDB fails."""
    import duckdb

    try:
        with duckdb.connect(config={"memory_limit": MEMORY}) as db:
            db.execute("set enable_progress_bar = false")  # it goes to stdout
            if spill:
                db.execute(f"set temp_directory = {quote_sql(str(spill))}")
            yield db
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise OSError(ENOSPC, "No space left on device") from None
        raise DeepicdError(  # its message may quote a row
            f"DuckDB failed on the copy ({type(error).__name__}).", "If memory or disk ran short, free some."
        ) from None


def check_codes(diagnoses: Table) -> None:
    """Raise if a program has read the codes as numbers, which drops leading zeros (`07071` → `7071`)."""
    with open_database() as db:
        load_table(db, diagnoses)
        check_codes_are_text(db, diagnoses)


def check_codes_are_text(db: "duckdb.DuckDBPyConnection", table: Table) -> None:
    """Raise if the diagnoses loaded in a database have lost the leading zeros of their codes.

    ICD-9 diagnoses 001–099 are infections, some 3 in 100 ICD-9 rows of the open demo, and no numeric ICD-9 code has
    fewer than three digits or a decimal point: none of the former or any of the latter means damage.
    """
    [(numeric, short, zero, decimal)] = db.execute(
        """
        select
            coalesce(sum(rows), 0)::bigint,
            coalesce(sum(rows) filter (regexp_full_match(icd_code, '[0-9]{1,2}')), 0)::bigint,
            coalesce(sum(rows) filter (starts_with(icd_code, '0')), 0)::bigint,
            coalesce(sum(rows) filter (not regexp_full_match(icd_code, '[0-9]+')), 0)::bigint
        from (select icd_code, count(*) as rows from diagnoses_icd where icd_version = 9 group by icd_code)
        where regexp_full_match(trim(icd_code), '[0-9]+([.][0-9]*)?(E[+]?[0-9]+)?')
        """
    ).fetchall()
    enough = 300  # rows below which the absence of leading zeros may be chance
    if short or decimal or (numeric >= enough and zero == 0):
        raise DeepicdError(
            f"{table.path} has lost the leading zeros of its ICD-9 codes: of {numeric:,} numeric codes {zero:,} start"
            f" with 0, {short:,} have fewer than three digits, {decimal:,} are written as decimal numbers.",
            "A program read the codes as numbers. Use the file as PhysioNet ships it, or read icd_code as text.",
        )
