"""What a part of a copy holds: each table read once and counted, nothing judged yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.mimic import local_copy
from builders.mimic.physionet.copy_parts import Part
from builders.mimic.table_rows import load_table, read_rows
from builders.mimic.tables import Table
from builders.synthetic.synthetic_proof import is_synthetic
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb

IDS = ("admissions", "discharge")
"""Tables whose patient and stay are remembered, so that joining notes and admissions needs no second look at them."""

NOTES = """
select count(*) - count(distinct hadm_id), count(distinct subject_id)
from discharge
"""

# As the cohort joins: a note belongs to an admission of the same patient.
ORPHANS = """
select count(*)
from discharge n
left join (select distinct subject_id, hadm_id from admissions) a using (subject_id, hadm_id)
where a.hadm_id is null
"""


@dataclass(frozen=True, slots=True)
class PartCounts:
    """The counts of one part."""

    part: Part
    made_up: bool
    """Proven to be ours by SYNTHETIC.json, file by file."""
    rows: dict[str, int]
    """Table → rows, for the tables that can be read to their end."""
    errors: dict[str, DeepicdError]
    """Table → why it cannot be read, or is not what it was."""
    surplus: int = 0
    """Notes beyond one a stay."""
    patients: int = 0
    """Patients with a note."""


def count_tables(db: "duckdb.DuckDBPyConnection", part: Part) -> PartCounts:
    """Count a part's tables. Leaves the ids of the tables in IDS in `db`, in place of those of a part read before."""
    made_up = part.root.is_dir() and is_synthetic(part.root, part.files.values())
    counted: dict[str, int] = {}
    errors: dict[str, DeepicdError] = {}
    for name, path in part.files.items():
        try:
            table = Table.at(path, name)
            counted[name] = _count(db, table)
            if name == "diagnoses_icd":
                local_copy.check_codes_are_text(db, table)
        except DeepicdError as error:
            errors[name] = error
    surplus, patients = _numbers(db, NOTES) if "discharge" in counted else (0, 0)
    return PartCounts(part, made_up, counted, errors, surplus, patients)


def count_orphans(db: "duckdb.DuckDBPyConnection") -> int:
    """How many of the notes last read have no admission among the admissions last read."""
    return _numbers(db, ORPHANS)[0]


def _count(db: "duckdb.DuckDBPyConnection", table: Table) -> int:
    """Its rows, each read in full."""
    if table.name in IDS:
        return load_table(db, table, ("subject_id", "hadm_id"))
    if table.name == "diagnoses_icd":
        return load_table(db, table)  # its codes are looked at too
    return sum(batch.num_rows for batch in read_rows(table))


def _numbers(db: "duckdb.DuckDBPyConnection", query: str) -> tuple[int, ...]:
    [row] = db.execute(query).fetchall()
    return tuple(row)
