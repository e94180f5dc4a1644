"""The two projects on PhysioNet: the files needed here, their checksums, and the row counts of their releases.

>>> [str(release) for release in find_matching_releases({"patients": 299_712, "admissions": 431_231})]
['MIMIC-IV 2.2']

Row counts: validate.sql of MIT-LCP/mimic-code for 2.0 to 3.1, the projects' pages for the notes, the files themselves
for the demo. The counts of 3.0 are not known here.

SHA256SUMS.txt has one line per file of a release, 33 for MIMIC-IV 3.1, 5 for MIMIC-IV-Note 2.2:

    0123…cdef hosp/admissions.csv.gz
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepicd.errors import DeepicdError

CHECKSUMS = "SHA256SUMS.txt"
LICENSE = "LICENSE.txt"
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Project:
    """A project on PhysioNet. Each has its own agreement to sign."""

    slug: str
    title: str
    folder: str
    """The folder of its tables, below the version folder."""
    tables: tuple[str, ...]
    """The tables needed here."""
    version: str
    """The version to fetch by default."""
    optional_files: tuple[str, ...] = ()
    """Other files that are fetched: a cohort can be built without them."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files to fetch, relative to the version folder as in SHA256SUMS.txt."""
        return (*(f"{self.folder}/{table}.csv.gz" for table in self.tables), *self.optional_files)


MIMIC = Project(
    "mimiciv",
    "MIMIC-IV",
    "hosp",
    ("patients", "admissions", "diagnoses_icd", "d_icd_diagnoses"),
    "3.1",
    optional_files=("icu/icustays.csv.gz",),
)
NOTE = Project("mimic-iv-note", "MIMIC-IV-Note", "note", ("discharge",), "2.2")
PROJECTS = (MIMIC, NOTE)


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a project, and the row counts of its tables: several where sources disagree."""

    title: str
    version: str
    rows: Mapping[str, tuple[int, ...]]

    def __str__(self) -> str:
        return f"{self.title} {self.version}"

    def has_count(self, table: str, rows: int) -> bool:
        return rows in self.rows.get(table, ())


def _build_release(
    version: str, patients: int, admissions: int, diagnoses: int, codes: int, title: str = MIMIC.title
) -> Release:
    counts = zip(MIMIC.tables, (patients, admissions, diagnoses, codes), strict=True)
    return Release(title, version, {table: (rows,) for table, rows in counts})


RELEASES = (
    _build_release("2.0", 315_460, 454_324, 5_006_884, 109_775),
    _build_release("2.1", 299_777, 431_088, 4_752_265, 109_775),
    _build_release("2.2", 299_712, 431_231, 4_756_326, 109_775),
    _build_release("3.1", 364_627, 546_028, 6_364_488, 112_107),
    _build_release("2.2", 100, 275, 4_506, 109_775, title="MIMIC-IV demo"),
    Release(NOTE.title, "2.1", {"discharge": (357_289,)}),
    Release(NOTE.title, "2.2", {"discharge": (331_793, 331_794)}),  # the file; the project's page
)

ORPHANS = {("MIMIC-IV 3.1", "MIMIC-IV-Note 2.2"): 61}
"""A pair of releases → notes that have no admission. The notes stayed at 2.2 while MIMIC-IV went on."""


def find_matching_releases(rows: Mapping[str, int]) -> tuple[Release, ...]:
    """Return the releases that agree with most of these row counts; () if none agrees with any."""
    matches = [(sum(release.has_count(*count) for count in rows.items()), release) for release in RELEASES]
    most = max(number for number, _ in matches)
    return tuple(release for number, release in matches if number == most and most)


def read_checksums(path: Path) -> dict[str, str]:
    """Return relative path → SHA-256 in lower case. Raises DeepicdError for a file that is not such a list."""
    sums = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise _not_checksums_error(path) from error
    for line in lines:
        if not line.strip():
            continue
        digest, _, name = line.strip().partition(" ")
        name = name.strip().removeprefix("*")  # what sha256sum puts before the name of a file read as binary
        if not name or not DIGEST.fullmatch(digest.lower()):
            raise _not_checksums_error(path)
        sums[name.removeprefix("./")] = digest.lower()
    if not sums:
        raise _not_checksums_error(path)
    return sums


def is_checksum_list(path: Path) -> bool:
    """Return whether a file can be read as a list of checksums."""
    try:
        return bool(read_checksums(path))
    except DeepicdError:
        return False


def _not_checksums_error(path: Path) -> DeepicdError:
    return DeepicdError(
        f"{path} is not a list of checksums; expected lines of a SHA-256 and a file's path.",
        "Delete it and fetch it again: deepicd physionet fetch --user NAME DIR",
    )
