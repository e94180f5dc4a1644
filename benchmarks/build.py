"""`deepicd build` against DuckDB's own scan of the same discharge.csv.gz, on a made-up copy.

The scan reads every note once and adds up lengths: no builder that reads the file can be faster.
Run: python -m benchmarks.build [ADMISSIONS]
"""

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Cost, compare, python, record, run

SCAN = """
import duckdb, sys
print(duckdb.execute("select count(*), sum(length(text)) from read_csv(?)", [sys.argv[1]]).fetchall())
"""
DEEPICD = "import sys; from deepicd.cli import main; main(sys.argv[1:])"


def main(admissions: int = 20_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy, cohort = Path(folder) / "copy", Path(folder) / "cohort"
        made = run(python(DEEPICD, "synthesize", copy, "--admissions", str(admissions)))
        notes = copy / "note" / "discharge.csv.gz"
        size = notes.stat().st_size / 2**20
        print(f"synthesize: {made.seconds:.1f} s, {made.peak_mib:.0f} MiB; discharge.csv.gz: {size:.0f} MiB")

        def build() -> Cost:
            shutil.rmtree(cohort, ignore_errors=True)
            return run(python(DEEPICD, "build", "--mimic", copy, "--notes", copy, cohort))

        comparison = compare(
            f"build, {admissions:,} admissions",
            build,
            "DuckDB's scan of discharge.csv.gz",
            lambda: run(python(SCAN, notes)),
        )
        record("build", [comparison], ["duckdb", "pyarrow"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
