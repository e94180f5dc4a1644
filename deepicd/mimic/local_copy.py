"""Locate and check a copy of MIMIC-IV and MIMIC-IV-Note on disk.

    copy = find_copy(mimic=Path("~/mimiciv/3.1"), notes=Path("~/mimic-iv-note/2.2"))
    copy.tables["diagnoses_icd"].path, copy.origin     # …/hosp/diagnoses_icd.csv.gz, 'mimic'

Any root above hosp/ and note/ will do (ZIP files unpack under other names), as will a folder of tables without these
two, or a DuckDB file made from the tables; links are followed at any depth. A copy counts as credentialed unless it is
proven to be made up (see deepicd.synthetic_proof).
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.databases import open_database
from deepicd.mimic.table_rows import load_table
from deepicd.mimic.tables import DATABASES, Table, has_table
from deepicd.storage import Origin, expand_home
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
MOST_FOLDERS = 20_000  # that are searched below a given one
FLAT = {"hosp": ("diagnoses_icd", "d_icd_diagnoses"), "note": ("discharge",)}
"""Tables that tell a folder of tables without hosp/ or note/."""
EXAMPLES = {"hosp": "~/mimiciv/3.1", "note": "~/mimic-iv-note/2.2"}


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
    roots = {"hosp": find_root(mimic, "hosp", "--mimic"), "note": find_root(notes, "note", "--notes")}
    roots["icu"] = roots["hosp"]
    tables, missing = {}, []
    for name, folder in FOLDER.items():
        path = find_table_file(roots[folder], folder, name)
        if path is not None:
            tables[name] = Table.at(path, name)
        elif name not in OPTIONAL:
            missing.append((roots[folder], name))
    if missing:
        if "diagnoses_icd" in tables:  # report damaged codes first: a further download does not repair them
            check_codes(tables["diagnoses_icd"])
        raise missing_table_error(*missing[0])
    files_of: dict[Path, list[Path]] = {}
    for name, table in tables.items():
        files_of.setdefault(roots[FOLDER[name]], []).append(table.path)
    proven = all(is_synthetic(root, files) for root, files in files_of.items())
    return Copy(tables, "synthetic" if proven else "mimic")


def missing_table_error(root: Path, name: str) -> DeepicdError:
    """Return the error for a table that a copy lacks."""
    if root.is_file():
        return DeepicdError(f"{root} holds no table {name}.", "Load the table into it, under its own name.")
    folder = root / FOLDER[name] if (root / FOLDER[name]).is_dir() else root
    links = [link for ending in ENDINGS if (link := folder / f"{name}{ending}").is_symlink()]
    if links:
        return DeepicdError(f"{links[0]} is a link to a file that does not exist.", "Restore the file, or the link.")
    return DeepicdError(
        f"{folder} holds neither {name}.csv.gz nor {name}.csv, nor {name}.parquet.",
        "Fetch the missing table from PhysioNet into that folder, beside the others.",
    )


def find_root(path: Path, folder: str, option: str) -> Path:
    """Return the only root of a copy at a path or below it. Raises DeepicdError unless there is exactly one."""
    path = expand_home(path)
    found = find_roots(path, folder)
    first = next(found, None)
    if first is None:
        raise _no_copy_error(path, folder, option)
    if first in (path, path.parent) or not (others := list(found)):
        return first
    places = sorted(str(root.relative_to(path)) for root in (first, *others))
    raise DeepicdError(f"{path} holds {len(places)} copies: {', '.join(places)}.", f"Point {option} at one of them.")


def _no_copy_error(path: Path, folder: str, option: str) -> DeepicdError:
    if path.is_dir():
        return DeepicdError(
            f"{path} holds no {folder}/ folder.",
            f"Point {option} at the version folder, for instance {EXAMPLES[folder]}, or make up a copy:"
            " deepicd synthesize OUT",
        )
    is_file = path.is_file()
    return DeepicdError(
        f"{path} is a file, but its name is not that of a DuckDB file."
        if is_file
        else f"The folder {path} does not exist.",
        f"Point {option} at a copy of MIMIC-IV: the folder above {folder}/, or a file {' or '.join(DATABASES)}.",
    )


def find_roots(path: Path, folder: str) -> Iterator[Path]:
    """Yield the roots of copies at a path and below it, the nearest first, each once; links are followed.

    A root holds hosp/ (or note/), or the tables of that folder themselves, or is a DuckDB file.
    """
    if path.is_file() and path.suffix in DATABASES:
        yield path
    elif path.is_dir() and folder in (path.name, path.resolve().name):
        yield path.parent if path.name == folder else path.resolve().parent
    elif path.is_dir():
        yield from _search(path, folder)


def _search(path: Path, folder: str) -> Iterator[Path]:
    waiting, seen, found = deque([path]), {path.resolve()}, set[Path]()
    while waiting:
        place = waiting.popleft()
        children = _list_folders(place)
        is_root = any(child.name == folder for child in children) or _holds_tables(place, folder)
        if is_root and (resolved := (place / folder).resolve()) not in found:
            found.add(resolved)
            yield place
        for child in children:
            if child.name not in FOLDER.values() and (resolved := child.resolve()) not in seen:
                seen.add(resolved)
                waiting.append(child)
        if len(seen) > MOST_FOLDERS:
            raise DeepicdError(
                f"{path} holds more than {MOST_FOLDERS:,} folders: too many to search for a copy of MIMIC-IV.",
                f"Point at the version folder, for instance {EXAMPLES[folder]}",
            )


def _list_folders(place: Path) -> list[Path]:
    """Return the folders in a folder by name, without hidden ones; none if it may not be read."""
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [place / name for name in sorted(names)]


def _holds_tables(place: Path, folder: str) -> bool:
    """Return whether a folder holds tables of hosp/ (or note/) without that folder around them."""
    return any((place / f"{name}{end}").is_file() for name in FLAT[folder] for end in ENDINGS)


def find_table_file(root: Path, folder: str, name: str) -> Path | None:
    """Return the file that holds a table: the first of its forms, or the given DuckDB file; None if there is none."""
    if root.is_file():
        return root if has_table(root, name) else None
    place = root / folder if (root / folder).is_dir() else root
    return next((path for end in ENDINGS if (path := place / f"{name}{end}").is_file()), None)


@contextmanager
def open_copy(copy: Copy, spill: Path | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Yield an in-memory database with the hosp tables of a copy; it may spill into a folder.

    The notes are not loaded: they are streamed (table_rows). Raises DeepicdError for damaged tables and for codes that
    have lost their leading zeros.
    """
    with open_database(spill) as db:
        for table in copy.tables.values():
            if table.name != "discharge":
                load_table(db, table)
        check_codes_are_text(db, copy.tables["diagnoses_icd"])
        yield db


def check_codes(diagnoses: Table) -> None:
    """Raise if a program has read the codes as numbers, which drops leading zeros (`07071` → `7071`)."""
    with open_database() as db:
        load_table(db, diagnoses)
        check_codes_are_text(db, diagnoses)


def check_codes_are_text(db: "duckdb.DuckDBPyConnection", table: Table) -> None:
    """Raise if the diagnoses loaded in a database have lost the leading zeros of their codes.

    ICD-9 diagnoses 001–099 are infections, some 3 in 100 ICD-9 rows of the open demo, and no numeric ICD-9 code has
    fewer than three digits, or more before a decimal point: none of the former or any of the latter means damage.
    """
    [(numeric, short, zero, decimal)] = db.execute(
        """
        select
            coalesce(sum(rows), 0)::bigint,
            coalesce(sum(rows) filter (regexp_full_match(icd_code, '[0-9]{1,2}([.].*)?')), 0)::bigint,
            coalesce(sum(rows) filter (starts_with(icd_code, '0')), 0)::bigint,
            coalesce(sum(rows) filter (not regexp_full_match(icd_code, '[0-9]+|[0-9]{3}[.][0-9]{1,2}')), 0)::bigint
        from (select icd_code, count(*) as rows from diagnoses_icd where icd_version = 9 group by icd_code)
        where regexp_full_match(icd_code, '[0-9]+([.][0-9]*)?([Ee][+]?[0-9]+)?')
        """
    ).fetchall()
    enough = 300  # rows below which the absence of leading zeros may be chance
    if short or decimal or (numeric >= enough and zero == 0):
        raise DeepicdError(
            f"{table.path} has lost the leading zeros of its ICD-9 codes: of {numeric:,} numeric codes {zero:,} start"
            f" with 0, {short:,} have fewer than three digits, {decimal:,} are written as decimal numbers.",
            "A program read the codes as numbers. Use the file as PhysioNet ships it, or read icd_code as text.",
        )
