"""The five tables of the copy as files: columns, quoting and compression as PhysioNet's.

Fields are quoted only where they must be, quotes are doubled, lines end in a line feed. The gzip header holds neither
time nor name, so that the same rows are the same bytes.
"""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from deepicd import store


class Writer(Protocol):
    """What csv.writer returns."""

    def writerow(self, row: Iterable[Any], /) -> Any: ...
    def writerows(self, rows: Iterable[Iterable[Any]], /) -> Any: ...


COLUMNS = {  # MIMIC-IV 3.1 and MIMIC-IV-Note 2.2, header order
    "hosp/patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
    "hosp/admissions": (
        "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admit_provider_id",
        "admission_location", "discharge_location", "insurance", "language", "marital_status", "race", "edregtime",
        "edouttime", "hospital_expire_flag",
    ),
    "hosp/diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
    "hosp/d_icd_diagnoses": ("icd_code", "icd_version", "long_title"),
    "note/discharge": (
        "note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text",
    ),
}  # fmt: skip

LEVEL = 4
"""Of gzip: 3 % larger than level 6 on these notes, twice as fast."""


def table_path(root: Path, table: str) -> Path:
    return root / f"{table}.csv.gz"


@contextmanager
def table_writer(root: Path, table: str) -> Iterator[Writer]:
    """A csv writer that has written the header; the file appears, whole, when the block ends well."""
    with (
        store.atomic(table_path(root, table)) as tmp,
        tmp.open("wb") as raw,
        gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
        io.TextIOWrapper(io.BufferedWriter(packed, 1 << 20), encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS[table])
        yield writer
