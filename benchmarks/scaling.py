"""How the cost of a stage grows with the rows: seconds of CPU and peak memory at 10,000, 100,000 … rows.

    python -m benchmarks.scaling --rows 10000 100000 [--stages ledger assemble card …] [--scratch DIR]

Notes have 6,000 characters. Cohort, traces, scores and verification are 300 rows of a rehearsal, repeated under other
ids, so that no row of the made-up hospital has to be extracted. They count as credentialed, so cards withhold counts,
and the firewall reads every note. Everything that is measured is the stage's own command. Figures of stages and sizes
that a run leaves out stay as they were.
"""

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import RESULTS, Cost, deepicd, python, run
from deepicd import records, storage
from deepicd.schema import COHORT, SCORES, TRACES, VERIFIED
from deepicd.stage_records import BuildRecord, DistillRecord, JudgeRecord, VerifyRecord

NOTE_LENGTH = 6_000  # characters
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
STAGES = ["ledger", "assemble", "card", "bundle", "publish", "evaluate"]


@dataclass(frozen=True, slots=True)
class Source:
    """The output of a stage before `assemble`."""

    kind: type[records.Record]
    schema: pa.Schema
    file: str
    """Of a split."""


SOURCES = {
    "cohort": Source(BuildRecord, COHORT, "{}.parquet"),
    "traces": Source(DistillRecord, TRACES, "kept/{}-00000.parquet"),
    "scores": Source(JudgeRecord, SCORES, "scores/{}-00000.parquet"),
    "verified": Source(VerifyRecord, VERIFIED, "verified/{}-00000.parquet"),
}


def make_seeds(folder: Path) -> dict[str, Path]:
    """Return the small outputs that are repeated, of a made-up hospital."""
    for command in (
        ("synthesize", folder / "mimic", "--admissions", "1000", "--seed", "42", "-q"),
        ("build", "--mimic", folder / "mimic", "--notes", folder / "mimic", folder / "cohort", "-q"),
        ("distill", folder / "cohort", folder / "traces", "--recipe", "rehearsal", "-q"),
        ("judge", folder / "traces", folder / "scores", "--recipe", "judge-rehearsal", "-q"),
        ("verify", folder / "traces", folder / "verified", "--recipe", "rules", "-q"),
    ):
        run(deepicd(*command))
    runs = {name: [path.parent for path in (folder / name).glob("*/run.json")] for name in SOURCES if name != "cohort"}
    return {"cohort": folder / "cohort"} | {name: found for name, [found] in runs.items()}


def lengthen_notes(rows: pa.Table) -> pa.Table:
    """Return rows whose admission notes, if they have any, are as long as those of MIMIC."""
    if "admission_note" not in rows.column_names:
        return rows
    rng, notes = random.Random(1), rows["admission_note"].to_pylist()
    longer = [f"{note} {' '.join(rng.choices(note.split(' '), k=(NOTE_LENGTH - len(note)) // 6))}" for note in notes]
    return rows.set_column(rows.column_names.index("admission_note"), "admission_note", pa.array(longer))


def rename_rows(rows: pa.Table, first: int) -> pa.Table:
    """Return the rows under the ids of other stays, each of another patient."""
    numbers = range(first, first + len(rows))
    for name, ids in (("note_id", [f"{number}-DS-1" for number in numbers]), ("hadm_id", list(numbers))):
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(ids, rows[name].type))
    return rows


def multiply(seed: Path, out: Path, number: int, source: Source) -> None:
    """Write a run with many more rows, under the counts of a small one, as if they were credentialed.

    The n-th row of a split of each run has the same id.
    """
    record = records.require(seed, source.kind)
    plan = records.plan_run(source.kind, options=record.options | {"rows": number}, inputs={})
    with records.open_fresh_folder(out, plan, "mimic") as made:
        for place, (split, share) in enumerate(SHARES.items(), 1):
            name, count = source.file.format(split), round(number * share)
            rows = lengthen_notes(pq.read_table(seed / name).select(source.schema.names))
            with storage.open_parquet_writer(made.folder / name, source.schema, "mimic") as writer:
                for start in range(0, count, storage.ROW_GROUP):
                    places = [n % len(rows) for n in range(start, min(start + storage.ROW_GROUP, count))]
                    part = rename_rows(rows.take(places), 10_000_000 * place + start)
                    writer.write_table(part.cast(writer.schema))
        made.counts = record.counts


def measure_ledger(folder: Path, number: int) -> Cost:
    """Open a ledger of so many completions in a process of its own."""
    from deepicd.engines.ledger import open_ledger

    rng, words = random.Random(1), [f"{n:x}" for n in range(1_000, 4_000)]
    with open_ledger(folder, "synthetic") as ledger:
        for n in range(number):
            key = hashlib.sha256(str(n).encode()).hexdigest()[:32]
            ledger.add_completion(key, {"text": " ".join(rng.choices(words, k=300)), "finish_reason": "stop"})
            ledger.add_findings(key, {"checks": "checks-0", "words": 300})
    script = "import sys; from pathlib import Path; from deepicd.engines.ledger import open_ledger\n"
    script += "with open_ledger(Path(sys.argv[1]), 'synthetic') as book: sys.exit(len(book) != int(sys.argv[2]))"
    return run(python(script, folder, str(number)))


def write_answers(dataset: Path, out: Path) -> None:
    """Write an answer to every row of the split `test` that has a trace: that trace."""
    with out.open("w") as file:
        for path in sorted((dataset / "sft").glob("test-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(1000, columns=["note_id", "completion"]):
                for row in batch.to_pylist():
                    answer = {"note_id": row["note_id"], "completion": row["completion"][0]["content"]}
                    file.write(json.dumps(answer) + "\n")


def measure(folder: Path, seeds: dict[str, Path], number: int, stages: list[str]) -> Iterator[tuple[str, Cost]]:
    """Yield stages with the cost of their commands."""
    if "ledger" in stages:
        yield "ledger", measure_ledger(folder / "book", number)
    if not set(stages) - {"ledger"}:
        return
    for name, source in SOURCES.items():
        multiply(seeds[name], folder / name, number, source)
    dataset, answers = folder / "dataset", folder / "answers.jsonl"
    inputs = [part for name in SOURCES for part in (f"--{name}", folder / name)]
    yield "assemble", run(deepicd("assemble", *inputs, dataset, "-q"))
    if "evaluate" in stages:
        write_answers(dataset, answers)
    commands = {
        "card": ("card", dataset),
        "bundle": ("bundle", dataset, folder / "bundle"),
        "bundle --without-notes": ("bundle", dataset, folder / "bare", "--without-notes"),
        "publish --what card --dry-run": ("publish", dataset, "sam/reason", "--what", "card", "--dry-run"),
        "evaluate": ("evaluate", "--predictions", answers, "--dataset", dataset, "--out", folder / "evaluation"),
    }
    for stage, command in commands.items():
        if stage.partition(" ")[0] in stages:
            yield stage, run(deepicd(*command, "-q"))


def record(number: int, stage: str, cost: Cost) -> None:
    """Put a figure into results/scaling.json, beside those of other stages and sizes."""
    path = RESULTS / "scaling.json"
    results: dict[str, dict[str, Any]] = storage.read_json(path) if path.is_file() else {}
    figures = {"cpu_seconds": round(cost.cpu, 1), "peak_mib": round(cost.peak_mib)}
    results.setdefault(f"{number}", {})[stage] = figures
    print(f"{number:,} rows, {stage}: {figures}", flush=True)
    storage.write_json(path, results)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--stages", nargs="+", default=STAGES)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        seeds = make_seeds(Path(scratch) / "seeds")
        for number in options.rows:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                for stage, cost in measure(Path(folder), seeds, number, options.stages):
                    record(number, stage, cost)


if __name__ == "__main__":
    main()
