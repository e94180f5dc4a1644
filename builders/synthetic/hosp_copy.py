"""The stays of a hosp copy that exists: what `synthesize --hosp` writes notes for.

Read with DuckDB, which joins the tables in bounded memory. Everything is read as text: codes have leading zeros. No
message quotes DuckDB's, which may hold a row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.synthetic.stay import Diagnosis, Stay
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb

NEEDED = {
    "admissions": ("subject_id", "hadm_id", "admittime", "dischtime", "discharge_location", "hospital_expire_flag"),
    "patients": ("subject_id", "gender", "anchor_age", "anchor_year"),
    "diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
}
DICTIONARY = {"d_icd_diagnoses": ("icd_code", "icd_version", "long_title")}

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
    root: Path
    """The folder that holds hosp/."""
    files: Mapping[str, Path]
    """Table → file; d_icd_diagnoses only where there is one."""

    @classmethod
    def find(cls, path: Path) -> "HospCopy":
        """The copy at a root or at its hosp/ folder. Raises DeepicdError naming the tables that are missing."""
        path = path.expanduser()
        folder = path / "hosp" if (path / "hosp").is_dir() else path
        if not folder.is_dir():
            raise DeepicdError(
                f"There is no folder {path}.", "Point --hosp at a MIMIC-IV copy: the folder that holds hosp/."
            )
        found = {table: file for table in (*NEEDED, *DICTIONARY) if (file := _file(folder, table)) is not None}
        if missing := [table for table in NEEDED if table not in found]:
            raise DeepicdError(
                f"{folder} lacks {', '.join(f'{table}.csv.gz' for table in missing)}.",
                "Point --hosp at a MIMIC-IV copy: the folder that holds hosp/, with these tables in it.",
            )
        return cls(folder.parent if folder.name == "hosp" else folder, found)

    def titles(self) -> dict[Diagnosis, str]:
        """The copy's own dictionary; empty where it has none."""
        if "d_icd_diagnoses" not in self.files:
            return {}
        rows = self._rows("select trim(icd_code), cast(icd_version as int), long_title from d_icd_diagnoses")
        return {Diagnosis(code, version): title for code, version, title in rows}

    def stays_with_diagnoses(self) -> int:
        return int(next(self._rows("select count(distinct hadm_id) from diagnoses_icd"))[0])

    def stays(self) -> Iterator[Stay]:
        """Stays with a diagnosis, by patient and time."""
        for *values, codes, versions in self._rows(STAYS):
            subject_id, hadm_id, sex, age, admitted, discharged, days, destination = values
            diagnoses = tuple(map(Diagnosis, codes, versions))
            yield Stay(subject_id, hadm_id, sex, age, admitted, discharged, days, destination, diagnoses)

    def _rows(self, query: str) -> Iterator[Any]:
        import duckdb

        with duckdb.connect() as connection:
            for table, columns in (NEEDED | DICTIONARY).items():
                if table in self.files:
                    self._open(connection, table, columns)
            try:
                result = connection.execute(query)
                while rows := result.fetchmany(ROWS):
                    yield from rows
            except duckdb.Error:
                raise self._unreadable("its tables") from None

    def _open(self, connection: "duckdb.DuckDBPyConnection", table: str, columns: tuple[str, ...]) -> None:
        """A view of one file, its columns checked."""
        import duckdb

        try:
            relation = connection.read_csv(str(self.files[table]), header=True, all_varchar=True, delimiter=",")
            relation.create_view(table)
        except duckdb.Error:
            raise self._unreadable(self.files[table].name) from None
        if missing := [column for column in columns if column not in relation.columns]:
            raise DeepicdError(
                f"{self.files[table]} has no column {', '.join(missing)}.",
                f"Expected a MIMIC-IV table with the columns {', '.join(columns)}; fetch it again.",
            )

    def _unreadable(self, what: str) -> DeepicdError:
        return DeepicdError(
            f"{what[0].upper()}{what[1:]} of {self.root} cannot be read: cut short, damaged or no CSV of MIMIC-IV.",
            "Compare with SHA256SUMS.txt and fetch what differs again.",
        )


def _file(folder: Path, table: str) -> Path | None:
    return next((file for end in (".csv.gz", ".csv") if (file := folder / f"{table}{end}").is_file()), None)
