"""The parts of a copy on disk, hosp/ and note/, complete or not, and the row counts of their tables.

    find_parts_below(Path("~/mimic"))    # mimiciv/3.1 with hosp/, mimic-iv-note/2.2 with note/

`deepicd.mimic.local_copy.find_copy` requires the tables that a build needs; here a part may lack any of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.physionet.releases import PROJECTS, Project
from deepicd.errors import DeepicdError
from deepicd.mimic import local_copy
from deepicd.mimic.table_rows import load_table, read_rows
from deepicd.mimic.tables import Table
from deepicd.storage import expand_home
from deepicd.synthetic_proof import is_synthetic

if TYPE_CHECKING:
    import duckdb

IDS = ("admissions", "discharge")
"""Tables whose patient and stay are kept, so that joining notes and admissions needs no second reading."""

NOTES = """
select count(*) - count(distinct hadm_id), count(distinct subject_id)
from discharge
"""

# As the cohort joins: a note belongs to an admission of the same patient.
ORPHANED = """
select count(*)
from discharge n
left join (select distinct subject_id, hadm_id from admissions) a using (subject_id, hadm_id)
where a.hadm_id is null
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One project's tables on disk."""

    root: Path
    """The folder above hosp/ or note/, or a DuckDB file."""
    project: Project
    files: dict[str, Path]
    """Table → file, for the tables that exist."""


def find_parts(paths: Iterable[Path]) -> list[Part]:
    """Return the parts below several paths, each once."""
    parts = [part for path in paths for part in find_parts_below(path)]
    return list({(part.root.resolve(), part.project.slug): part for part in parts}.values())


def find_parts_below(path: Path) -> list[Part]:
    """Return the parts at a path or below it, hosp before note. Raises DeepicdError if there are none."""
    path = expand_home(path)
    if not path.exists():
        raise DeepicdError(
            f"{path} does not exist.", "Fetch a copy first: deepicd physionet fetch --user NAME DIR, or check the path."
        )
    parts = [part for project in PROJECTS for part in _find_project_parts(path, project)]
    if not parts:
        raise DeepicdError(
            f"{path} holds no table of MIMIC-IV: neither hosp/ nor note/ has one.",
            "Point at the version folder, for instance ~/mimiciv/3.1, or the folder above it.",
        )
    return parts


def find_only_part(path: Path, project: Project, option: str) -> Part:
    """Return the only part of a project at a path or below it. Raises DeepicdError unless there is exactly one."""
    parts = [part for part in find_parts_below(path) if part.project is project]
    if len(parts) != 1:
        places = ", ".join(str(part.root) for part in parts) or "none"
        raise DeepicdError(
            f"{path} holds {len(parts)} copies of {project.title}: {places}.",
            f"Point {option} at the folder above {project.folder}/ of one.",
        )
    return parts[0]


def _find_project_parts(path: Path, project: Project) -> Iterator[Part]:
    for root in local_copy.find_roots(path, project.folder):
        files = {
            table: file
            for table in project.tables
            if (file := local_copy.find_table_file(root, project.folder, table)) is not None
        }
        if files:
            yield Part(root, project, files)


@dataclass(frozen=True, slots=True)
class PartCounts:
    """The row counts of one part."""

    part: Part
    is_synthetic: bool
    """Whether SYNTHETIC.json proves it file by file."""
    rows: dict[str, int]
    """Table → rows, for the tables that can be read completely."""
    errors: dict[str, DeepicdError]
    """Table → why it cannot be read, or has lost leading zeros."""
    surplus: int = 0
    """Notes beyond one per stay."""
    patients: int = 0
    """Patients with a note."""


def count_tables(db: "duckdb.DuckDBPyConnection", part: Part) -> PartCounts:
    """Count the rows of a part's tables. Leaves the ids of the tables in IDS in `db`, in place of an earlier part's."""
    proven = part.root.is_dir() and is_synthetic(part.root, part.files.values())
    counts: dict[str, int] = {}
    errors: dict[str, DeepicdError] = {}
    for name, path in part.files.items():
        try:
            table = Table.at(path, name)
            counts[name] = _count_rows(db, table)
            if name == "diagnoses_icd":
                local_copy.check_codes_are_text(db, table)
        except DeepicdError as error:
            errors[name] = error
    surplus, patients = _fetch_numbers(db, NOTES) if "discharge" in counts else (0, 0)
    return PartCounts(part, proven, counts, errors, surplus, patients)


def count_orphans(db: "duckdb.DuckDBPyConnection") -> int:
    """Return how many of the notes read last have no admission among the admissions read last."""
    return _fetch_numbers(db, ORPHANED)[0]


def _count_rows(db: "duckdb.DuckDBPyConnection", table: Table) -> int:
    """Return the number of rows, reading all of them."""
    if table.name in IDS:
        return load_table(db, table, ("subject_id", "hadm_id"))
    if table.name == "diagnoses_icd":
        return load_table(db, table)  # its codes are checked too
    return sum(batch.num_rows for batch in read_rows(table))


def _fetch_numbers(db: "duckdb.DuckDBPyConnection", query: str) -> tuple[int, ...]:
    [row] = db.execute(query).fetchall()
    return tuple(row)
