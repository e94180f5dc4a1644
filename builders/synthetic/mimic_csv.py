"""Write MIMIC-IV's tables as CSV, and read the stays of an existing copy.

The format is PhysioNet's: columns in the order of the header, fields quoted only where necessary, quotes doubled, lines
ending in a line feed, one gzip member per file without time or name in its header.

deepicd.mimic reads the tables of a copy, DuckDB joins them in bounded memory.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from builders.synthetic.clinical_case import Stay
from builders.synthetic.generator_knowledge import Diagnosis
from deepicd import storage
from deepicd.mimic import local_copy
from deepicd.mimic.databases import open_database
from deepicd.mimic.table_rows import load_table
from deepicd.mimic.tables import Table

Row = tuple[object, ...]

COLUMNS = {  # MIMIC-IV 3.1 and MIMIC-IV-Note 2.2, in header order
    "hosp/patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
    "hosp/admissions": (
        "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admit_provider_id",
        "admission_location", "discharge_location", "insurance", "language", "marital_status", "race", "edregtime",
        "edouttime", "hospital_expire_flag",
    ),
    "hosp/diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
    "hosp/d_icd_diagnoses": ("icd_code", "icd_version", "long_title"),
    "icu/icustays": (
        "subject_id", "hadm_id", "stay_id", "first_careunit", "last_careunit", "intime", "outtime", "los",
    ),
    "note/discharge": (
        "note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text",
    ),
}  # fmt: skip

LEVEL = 4
"""gzip level: files are 3 % larger than at level 6, and written twice as fast."""


def get_table_path(root: Path, table: str) -> Path:
    return root / f"{table}.csv.gz"


def format_csv(rows: Iterable[Row]) -> bytes:
    csv.writer(buffer := StringIO(), lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


@contextmanager
def open_table(root: Path, table: str) -> Iterator[gzip.GzipFile]:
    """Yield a file with the table's header, for CSV lines. The table appears only if the block succeeds."""
    with (
        storage.atomic_write(get_table_path(root, table)) as tmp,
        tmp.open("wb") as raw,
        gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as file,
    ):
        file.write(format_csv([COLUMNS[table]]))
        yield file


# The columns read from an existing copy; d_icd_diagnoses may be missing.
REQUIRED = {
    "admissions": ("subject_id", "hadm_id", "admittime", "dischtime", "discharge_location", "hospital_expire_flag"),
    "patients": ("subject_id", "gender", "anchor_age", "anchor_year"),
    "diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
}
OPTIONAL = {"d_icd_diagnoses": ("icd_code", "icd_version", "long_title")}

STAYS = """
select
    a.subject_id,
    a.hadm_id,
    p.gender,
    greatest(0, p.anchor_age + year(cast(a.admittime as timestamp)) - p.anchor_year),
    a.admittime,
    a.dischtime,
    date_diff('day', cast(a.admittime as timestamp), cast(a.dischtime as timestamp)),
    case when a.hospital_expire_flag = 1 then 'DIED' else coalesce(a.discharge_location, '') end,
    list(d.icd_code order by d.seq_num, d.icd_code),
    list(d.icd_version order by d.seq_num, d.icd_code)
from (select distinct * from admissions) a  -- an admission entered twice is still one stay
join patients p using (subject_id)
join diagnoses_icd d using (hadm_id)
group by all
order by 1, a.admittime, 2
"""

ROWS = 2048  # stays fetched at once


@dataclass(frozen=True)
class HospCopy:
    """The hosp tables of an existing copy, which `synthesize --hosp` writes notes for."""

    root: Path
    """The folder that holds hosp/, or a DuckDB file."""
    tables: Mapping[str, Table]
    """By name; d_icd_diagnoses only where there is one."""

    @classmethod
    def find(cls, path: Path) -> "HospCopy":
        """Find the copy at or below a path. Raises DeepicdError if tables or columns are missing."""
        root, tables = local_copy.find_root(path, "hosp", "--hosp"), {}
        for name, columns in (REQUIRED | OPTIONAL).items():
            file = local_copy.find_table_file(root, "hosp", name)
            if file is not None:
                tables[name] = Table.at(file, name, columns)
            elif name in REQUIRED:
                raise local_copy.missing_table_error(root, name)
        return cls(root, tables)

    @property
    def files(self) -> dict[str, Path]:
        return {name: table.path for name, table in self.tables.items()}

    def read_titles(self) -> dict[Diagnosis, str]:
        """Read the copy's dictionary of codes; {} if it has none."""
        if "d_icd_diagnoses" not in self.tables:
            return {}
        rows = self._query("select icd_code, icd_version, long_title from d_icd_diagnoses", *OPTIONAL)
        return {Diagnosis(code, version): title for code, version, title in rows}

    def count_stays(self) -> int:
        """Count the stays with a diagnosis."""
        return int(next(self._query("select count(distinct hadm_id) from diagnoses_icd", "diagnoses_icd"))[0])

    def read_stays(self) -> Iterator[Stay]:
        """Read the stays with a diagnosis, by patient and time."""
        for *values, codes, versions in self._query(STAYS, *REQUIRED):
            subject_id, hadm_id, sex, age, admitted, discharged, days, destination = values
            diagnoses = tuple(map(Diagnosis, codes, versions))
            yield Stay(subject_id, hadm_id, sex, age, admitted, discharged, days, destination, diagnoses)

    def _query(self, sql: str, *names: str) -> Iterator[tuple[Any, ...]]:
        with open_database() as db:
            for name in names:
                load_table(db, self.tables[name], (REQUIRED | OPTIONAL)[name])
            result = db.execute(sql)
            while rows := result.fetchmany(ROWS):
                yield from rows
