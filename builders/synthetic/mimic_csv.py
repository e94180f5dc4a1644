"""Write MIMIC-IV's tables as CSV, and read the stays of an existing copy.

The format is PhysioNet's: columns in the order of the header, fields quoted only where necessary, quotes doubled, lines
ending in a line feed, one gzip member per file without time or name in its header.

DuckDB reads all columns as text, since codes have leading zeros, and joins the tables in bounded memory. Errors never
quote its messages, which may contain a row.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.synthetic.clinical_case import Stay
from builders.synthetic.generator_knowledge import Diagnosis
from deepicd import storage
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb

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
    cast(a.subject_id as bigint),
    cast(a.hadm_id as bigint),
    p.gender,
    greatest(0, cast(p.anchor_age as int) + year(cast(a.admittime as timestamp)) - cast(p.anchor_year as int)),
    a.admittime,
    a.dischtime,
    date_diff('day', cast(a.admittime as timestamp), cast(a.dischtime as timestamp)),
    case when a.hospital_expire_flag = '1' then 'DIED' else coalesce(a.discharge_location, '') end,
    list(trim(d.icd_code) order by cast(d.seq_num as int), d.icd_code),
    list(cast(d.icd_version as int) order by cast(d.seq_num as int), d.icd_code)
from (
    -- an admission entered twice is still one stay
    select distinct subject_id, hadm_id, admittime, dischtime, discharge_location, hospital_expire_flag
    from admissions
) a
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
    """The folder that holds hosp/."""
    files: Mapping[str, Path]
    """Table → file; d_icd_diagnoses only where there is one."""

    @classmethod
    def find(cls, path: Path) -> "HospCopy":
        """Find the copy at a root or at its hosp/ folder. Raises DeepicdError if tables are missing."""
        path = path.expanduser()
        folder = path / "hosp" if (path / "hosp").is_dir() else path
        if not folder.is_dir():
            raise DeepicdError(
                f"There is no folder {path}.", "Point --hosp at a MIMIC-IV copy: the folder that holds hosp/."
            )
        files = {
            table: folder / f"{table}{suffix}"
            for table in (*REQUIRED, *OPTIONAL)
            for suffix in (".csv", ".csv.gz")
            if (folder / f"{table}{suffix}").is_file()
        }  # the gzipped file if both exist
        if missing := [table for table in REQUIRED if table not in files]:
            raise DeepicdError(
                f"{folder} lacks {', '.join(f'{table}.csv.gz' for table in missing)}.",
                "Point --hosp at a MIMIC-IV copy: the folder that holds hosp/ with these tables in it.",
            )
        return cls(folder.parent if folder.name == "hosp" else folder, files)

    def read_titles(self) -> dict[Diagnosis, str]:
        """Read the copy's dictionary of codes; {} if it has none."""
        if "d_icd_diagnoses" not in self.files:
            return {}
        rows = self._query("select trim(icd_code), cast(icd_version as int), long_title from d_icd_diagnoses")
        return {Diagnosis(code, version): title for code, version, title in rows}

    def count_stays(self) -> int:
        """Count the stays with a diagnosis."""
        return int(next(self._query("select count(distinct hadm_id) from diagnoses_icd"))[0])

    def read_stays(self) -> Iterator[Stay]:
        """Read the stays with a diagnosis, by patient and time."""
        for *values, codes, versions in self._query(STAYS):
            subject_id, hadm_id, sex, age, admitted, discharged, days, destination = values
            diagnoses = tuple(map(Diagnosis, codes, versions))
            yield Stay(subject_id, hadm_id, sex, age, admitted, discharged, days, destination, diagnoses)

    def _query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        import duckdb

        with duckdb.connect() as connection:
            for table, columns in (REQUIRED | OPTIONAL).items():
                if table in self.files:
                    self._create_view(connection, table, columns)
            try:
                result = connection.execute(sql)
                while rows := result.fetchmany(ROWS):
                    yield from rows
            except duckdb.Error:
                raise self._explain("Tables") from None

    def _create_view(self, connection: "duckdb.DuckDBPyConnection", table: str, columns: tuple[str, ...]) -> None:
        import duckdb

        try:
            relation = connection.read_csv(str(self.files[table]), header=True, all_varchar=True, delimiter=",")
            relation.create_view(table)
        except duckdb.Error:
            raise self._explain(self.files[table].name) from None
        if missing := [column for column in columns if column not in relation.columns]:
            raise DeepicdError(
                f"{self.files[table]} has no column {', '.join(missing)}.",
                f"Expected a MIMIC-IV table with the columns {', '.join(columns)}; fetch it again.",
            )

    def _explain(self, what: str) -> DeepicdError:
        return DeepicdError(
            f"{what} of {self.root} cannot be read as CSV with the columns and values of MIMIC-IV.",
            "Compare the files with SHA256SUMS.txt and fetch those that differ again.",
        )
