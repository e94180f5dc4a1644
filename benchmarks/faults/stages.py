"""The stages that faults are tried on: their commands on a small demo, their inputs, and what their output says.

with open_stages(folder) as stages:     # a demo of 60 admissions, and the sample site for the crawl
    stages["build"].command(out)        # ['build', '--mimic', …]
    read_output(out)                    # name → what a file says: rows of a table, else its digest
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepicd import records, storage

ADMISSIONS = 60
CLOCKED = {"fetched_at", "seconds"}
"""Columns that say when or how long, and differ from run to run."""


@dataclass(frozen=True)
class Stage:
    name: str
    command: Callable[[Path], list[object]]
    """OUT → arguments of deepicd."""
    inputs: Sequence[Path]
    """Files of other kinds that it reads; each is damaged in turn."""
    unverified: Sequence[Path] = ()
    """Inputs that carry no checksum, so that a damaged one may be another good one."""
    before: Callable[[Path], object] = lambda out: None
    """Prepares OUT, for a stage that adds to a folder."""


@contextmanager
def open_stages(folder: Path) -> Iterator[dict[str, Stage]]:
    """Make the inputs of all stages below a folder, and yield the stages while the sample site runs."""
    from cards.bundle import write_bundle
    from deepicd.demo import list_steps
    from scrapers.sample.site import sample_site

    for step in list_steps(folder, ADMISSIONS, 7, engine="rehearsal", overwrite=False):
        step.run()
    _write_answers(folder / "dataset", folder / "answers.jsonl")
    write_bundle(folder / "dataset", folder / "bundle", notes=False)
    with sample_site() as base_url:
        yield {stage.name: stage for stage in _list_stages(folder, base_url)}


def _list_stages(demo: Path, base_url: str) -> Iterator[Stage]:
    mimic, cohort, traces, dataset = demo / "mimic", demo / "cohort", demo / "traces", demo / "dataset"
    copy = ["--mimic", mimic, "--notes", mimic]
    pdf, descriptions = demo / "guidelines.pdf", demo / "descriptions" / "descriptions.parquet"
    [year] = (demo / "guidelines").glob("fy*")
    [recipe] = [path.parent for path in traces.glob("*/run.json")]
    notes, codes = mimic / "note" / "discharge.csv.gz", mimic / "hosp" / "diagnoses_icd.csv.gz"
    train, kept = cohort / "train.parquet", recipe / "kept" / "train-00000.parquet"
    knowledge = ["--guidelines", demo / "guidelines", "--descriptions", descriptions]
    answers, dataset_rows = demo / "answers.jsonl", dataset / "grpo" / "test-00000-of-00001.parquet"
    bundle, traces_rows = demo / "bundle", dataset / "traces" / "train-00000-of-00001.parquet"

    def evaluate(out: Path) -> list[object]:
        return ["evaluate", "--predictions", answers, "--dataset", dataset, "--out", out]

    def scrape(out: Path) -> list[object]:
        return ["scrape", out, "--codes", demo / "codes.txt", "--base-url", base_url]

    def distill(out: Path) -> list[object]:
        return ["distill", cohort, out, *knowledge, "--recipe", "rehearsal"]

    sources = [train, cohort / "run.json", year / "chapter_09.json", year / "sections.parquet", descriptions]
    yield Stage("synthesize", lambda out: ["synthesize", out, "--admissions", ADMISSIONS, "--seed", 7], [])
    yield Stage("guidelines", lambda out: ["guidelines", pdf, out], [pdf], unverified=[pdf])
    yield Stage("scrape", scrape, [demo / "codes.txt"], unverified=[demo / "codes.txt"])
    yield Stage("build", lambda out: ["build", *copy, out], [notes, codes])
    yield Stage("audit", lambda out: ["audit", *copy, out], [notes])
    yield Stage("distill", distill, sources)
    yield Stage("judge", lambda out: ["judge", traces, out, "--recipe", "judge-rehearsal"], [kept, recipe / "run.json"])
    yield Stage("verify", lambda out: ["verify", traces, out, "--recipe", "rules"], [kept])
    yield Stage("assemble", lambda out: ["assemble", "--cohort", cohort, "--traces", traces, out], [train, kept])
    yield Stage("evaluate", evaluate, [answers, dataset_rows], unverified=[answers])
    yield Stage("card", lambda out: ["card", out], [], before=lambda out: _copy_bare(dataset, out))
    yield Stage("bundle", lambda out: ["bundle", dataset, out, "--without-notes"], [traces_rows])
    yield Stage("rehydrate", lambda out: ["rehydrate", bundle, out, *copy], [bundle / "bundle.json", notes])


def _copy_bare(dataset: Path, out: Path) -> None:
    """Copy a dataset as it was before its card."""
    shutil.copytree(dataset, out, ignore=shutil.ignore_patterns("card", "README.md"))


def _write_answers(dataset: Path, path: Path) -> None:
    """Write predictions for the test split, right ones and wrong ones."""
    import pyarrow.parquet as pq

    rows = [
        row for file in sorted((dataset / "traces").glob("test-*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    lines = [
        {"note_id": row["note_id"], "icd_code": row["icd_code"], "code": row["icd_code"] if number % 2 else "I10"}
        for number, row in enumerate(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_output(out: Path) -> Mapping[str, str]:
    """Return name → digest of the rows of a table or of the bytes of a file; empty unless a run has ended there.

    Where `out` holds a folder per recipe, the folders of runs are read, not ledger and progress.
    """
    import pyarrow.parquet as pq

    folders = [path.parent for path in (out / records.RECORD, *out.glob("*/run.json")) if path.is_file()]
    said = {}
    for folder in folders:
        for path in storage.list_files(folder):
            name = path.relative_to(out).as_posix()
            if path.suffix == ".parquet":
                table = pq.ParquetFile(path).read()
                said[name] = storage.digest_text(
                    repr(table.select(sorted({*table.column_names} - CLOCKED)).to_pylist())
                )
            else:
                said[name] = storage.digest_path(path)
    return said
