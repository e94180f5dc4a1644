"""`deepicd build` against DuckDB's own scan of the same discharge.csv.gz, and against the published way with pandas.

The scan reads every note once and adds up lengths: no builder that reads the file can be faster. The peer is a plain
pandas program: read the tables, join them, take the sections with the published regular expressions.
Run: python -m benchmarks.build [COPY …]   (without a copy: one of 20,000 admissions is made up)
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
from builders.published import published_sections
copy, out = sys.argv[1:]
text = {"icd_code": str}
diagnoses = pd.read_csv(f"{copy}/hosp/diagnoses_icd.csv.gz", dtype=text)
first = diagnoses[diagnoses.icd_version == 10].sort_values("seq_num").drop_duplicates("hadm_id")
notes = pd.read_csv(f"{copy}/note/discharge.csv.gz", usecols=["note_id", "hadm_id", "text"])
cohort = notes.merge(first, on="hadm_id")
cohort["sections"] = cohort.pop("text").map(published_sections)
cohort = cohort[cohort.sections.map(bool)]
as_text = lambda found: " ".join(f"{name.upper()}: {text}" for name, text in found.items())
cohort["admission_note"] = cohort.pop("sections").map(as_text)
cohort.sample(frac=1, random_state=42).to_parquet(out)
"""
PACKAGES = ("duckdb", "pyarrow", "pandas")


def main(*copies: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not copies:
            copies = (Path(folder) / "copy",)
            made = run(deepicd("synthesize", copies[0], "--admissions", "20000"))
            print(f"synthesize --admissions 20000: {made}")
        record("build", [found for copy in copies for found in measured(copy, Path(folder))], PACKAGES)


def measured(copy: Path, folder: Path) -> list[Comparison]:
    """Build against the scan and against pandas, on one copy."""
    cohort, notes = folder / "cohort", copy / "note" / "discharge.csv.gz"
    size = f"{notes.stat().st_size / 2**20:,.0f} MiB of discharge.csv.gz"

    def build() -> Cost:
        shutil.rmtree(cohort, ignore_errors=True)
        return run(deepicd("build", "--mimic", copy, "--notes", copy, cohort))

    def scan() -> Cost:
        return run(python(SCAN, notes))

    def pandas() -> Cost:
        return run(python(PANDAS, copy, folder / "pandas.parquet"))

    return [
        compare(f"build, {size}", build, "DuckDB's scan of it", scan),
        compare(f"build, {size}", build, "pandas and the published extraction", pandas, rounds=1),
    ]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
