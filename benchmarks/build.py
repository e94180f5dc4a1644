"""Measure `deepicd build` against DuckDB's scan of the same notes, the simplest program, and pandas.

The scan reads every note once and adds up lengths: no builder that reads the file can be faster. The simplest program
is benchmarks/simplest_build.py, against which our machinery must earn its place. The pandas program extracts sections
with the published regular expressions.
Run: python -m benchmarks.build [COPY ...]   (without a copy: one with notes of real length is made up)
"""

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Comparison, Cost, compare, deepicd, python, record, run

SCAN = """
import duckdb, sys
print(duckdb.execute("select count(*), sum(length(text)) from read_csv(?)", [sys.argv[1]]).fetchall())
"""
PANDAS = """
import sys
import pandas as pd
from builders.cohort.leakage_audit import extract_published_sections
copy, out = sys.argv[1:]
text = {"icd_code": str}
diagnoses = pd.read_csv(f"{copy}/hosp/diagnoses_icd.csv.gz", dtype=text)
first = diagnoses[diagnoses.icd_version == 10].sort_values("seq_num").drop_duplicates("hadm_id")
notes = pd.read_csv(f"{copy}/note/discharge.csv.gz", usecols=["note_id", "hadm_id", "text"])
cohort = notes.merge(first, on="hadm_id")
cohort["sections"] = cohort.pop("text").map(extract_published_sections)
cohort = cohort[cohort.sections.map(bool)]
join = lambda sections: " ".join(f"{name.upper()}: {text}" for name, text in sections.items())
cohort["admission_note"] = cohort.pop("sections").map(join)
cohort.sample(frac=1, random_state=42).to_parquet(out)
"""
PACKAGES = ("duckdb", "pandas", "pyarrow")
# Notes as long as those of MIMIC-IV-Note 2.2, and its share of ICD-9 stays.
COPY_OPTIONS = ("--admissions", "100000", "--note-length", "10500", "--icd9-share", "0.63")


def main(*copies: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not copies:
            copies = (Path(folder) / "copy",)
            print(f"synthesize {' '.join(COPY_OPTIONS)}: {run(deepicd('synthesize', copies[0], *COPY_OPTIONS))}")
        record("build", [comparison for copy in copies for comparison in measure(copy, Path(folder))], PACKAGES)


def measure(copy: Path, folder: Path) -> list[Comparison]:
    """Compare the build with its peers on one copy."""
    cohort, notes = folder / "cohort", copy / "note" / "discharge.csv.gz"
    options = ("build", "--mimic", copy, "--notes", copy, cohort)

    def build() -> Cost:
        shutil.rmtree(cohort, ignore_errors=True)
        return run(deepicd(*options))

    def scan_notes() -> Cost:
        return run(python(SCAN, notes))

    def build_simply() -> Cost:
        return run([sys.executable, "-m", "benchmarks.simplest_build", copy, folder / "simplest.parquet"])

    def build_with_pandas() -> Cost:
        return run(python(PANDAS, copy, folder / "pandas.parquet"))

    what = f"build, {notes.stat().st_size / 2**20:,.0f} MiB of discharge.csv.gz"
    return [
        compare(what, build, "DuckDB's scan of it", scan_notes),
        compare(what, build, "the simplest program", build_simply),
        compare(what, build, "pandas and the published extraction", build_with_pandas, rounds=1),
    ]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
