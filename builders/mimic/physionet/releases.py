"""What PhysioNet publishes: two projects, the files of each that are needed here, the row counts of their releases.

>>> [str(release) for release in find_matching_releases({"patients": 299_712, "admissions": 431_231})]
['MIMIC-IV 2.2']

Row counts: validate.sql of MIT-LCP/mimic-code for 2.0 to 3.1, the projects' pages for the notes, the files themselves
for the demo. Those of 3.0 are not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Project:
    """A project on PhysioNet. Each has its own agreement to sign."""

    slug: str
    title: str
    folder: str
    """Where its tables stand below the version folder."""
    tables: tuple[str, ...]
    """Those that are needed here."""
    version: str
    """The one to fetch unless another is asked for."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the tables, relative to the version folder as in SHA256SUMS.txt."""
        return tuple(f"{self.folder}/{table}.csv.gz" for table in self.tables)


MIMIC = Project(
    "mimiciv",
    "MIMIC-IV",
    "hosp",
    ("patients", "admissions", "diagnoses_icd", "d_icd_diagnoses"),
    "3.1",
)
NOTE = Project("mimic-iv-note", "MIMIC-IV-Note", "note", ("discharge",), "2.2")
PROJECTS = (MIMIC, NOTE)


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a project, and how many rows its tables have: any of several numbers where sources disagree."""

    title: str
    version: str
    rows: Mapping[str, tuple[int, ...]]

    def __str__(self) -> str:
        return f"{self.title} {self.version}"

    def agrees(self, table: str, rows: int) -> bool:
        return rows in self.rows.get(table, ())


def _mimic(
    version: str, patients: int, admissions: int, diagnoses: int, codes: int, title: str = MIMIC.title
) -> Release:
    counts = zip(MIMIC.tables, (patients, admissions, diagnoses, codes), strict=True)
    return Release(title, version, {table: (rows,) for table, rows in counts})


RELEASES = (
    _mimic("2.0", 315_460, 454_324, 5_006_884, 109_775),
    _mimic("2.1", 299_777, 431_088, 4_752_265, 109_775),
    _mimic("2.2", 299_712, 431_231, 4_756_326, 109_775),
    _mimic("3.1", 364_627, 546_028, 6_364_488, 112_107),
    _mimic("2.2", 100, 275, 4_506, 109_775, title="MIMIC-IV demo"),
    Release(NOTE.title, "2.1", {"discharge": (357_289,)}),
    Release(NOTE.title, "2.2", {"discharge": (331_793, 331_794)}),  # the file; the project's page
)

ORPHANS = {("MIMIC-IV 3.1", "MIMIC-IV-Note 2.2"): 61}
"""A pair of releases → notes that have no admission. The notes stayed at 2.2 while MIMIC-IV went on."""


def find_matching_releases(rows: Mapping[str, int]) -> tuple[Release, ...]:
    """The releases that agree with the most of these row counts; none where no count is known."""
    counted = [(sum(release.agrees(*count) for count in rows.items()), release) for release in RELEASES]
    most = max(number for number, _ in counted)
    return tuple(release for number, release in counted if number == most and most)
