"""How the cost of a stage grows with the rows: seconds of CPU and peak memory at 10,000, 100,000 … rows.

    python -m benchmarks.scaling --rows 10000 100000 [--stages ledger assemble card evaluate] [--scratch DIR]

Notes have 6,000 characters. Cohort and traces are 300 rows of a rehearsal, repeated under other ids, so that
no row of the made-up hospital has to be extracted; everything that is measured is the stage's own command.
"""

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import RESULTS, Cost, deepicd, python, run
from deepicd import records, storage
from deepicd.schema import COHORT, SPLITS, TRACES
from deepicd.stage_records import BuildRecord, DistillRecord

NOTE_LENGTH = 6_000  # characters
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
WRITTEN_AT_ONCE = 1_000


def make_seeds(folder: Path) -> tuple[Path, Path]:
    """Return a cohort of a made-up hospital, and its traces."""
    for command in (
        ("synthesize", folder / "mimic", "--admissions", "1000", "--seed", "42", "-q"),
        ("build", "--mimic", folder / "mimic", "--notes", folder / "mimic", folder / "cohort", "-q"),
        ("distill", folder / "cohort", folder / "traces", "--recipe", "rehearsal", "-q"),
    ):
        run(deepicd(*command))
    [traces] = [path.parent for path in (folder / "traces").glob("*/run.json")]
    return folder / "cohort", traces


def repeat_rows(rows: list[dict[str, Any]], split: str, number: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield rows under new ids; the n-th of a cohort and of its traces have the same one."""
    first = 10_000_000 * (1 + list(SHARES).index(split))
    for n in range(number):
        row = rows[n % len(rows)]
        new = {"note_id": f"{first + n}-DS-1"} | ({"hadm_id": first + n} if "hadm_id" in row else {})
        if note := row.get("admission_note"):
            words = note.split(" ")
            extra = " ".join(rng.choices(words, k=max(0, NOTE_LENGTH - len(note)) // 6))
            new["admission_note"] = f"{note} {extra}"
        yield row | new


def multiply(source: Path, out: Path, number: int, names: dict[str, str], schema: Any) -> None:
    """Write a run with many more rows, under the counts of a small one."""
    kind = DistillRecord if schema is TRACES else BuildRecord
    record = records.require(source, kind)
    plan = records.plan_run(kind, options=record.options | {"rows": number}, inputs={})
    with records.open_fresh_folder(out, plan, "synthetic") as made:
        for split, share in SHARES.items():
            rng = random.Random(split)
            rows = pq.read_table(source / names[split]).to_pylist()
            repeated = repeat_rows(rows, split, round(number * share), rng)
            with storage.open_parquet_writer(made.folder / names[split], schema, "synthetic") as writer:
                while batch := [row for _, row in zip(range(WRITTEN_AT_ONCE), repeated, strict=False)]:
                    writer.write_table(pa.Table.from_pylist(batch, writer.schema))
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


def measure(folder: Path, seeds: tuple[Path, Path], number: int, stages: list[str]) -> dict[str, Any]:
    """Return stage → cost of its command."""
    costs: dict[str, Cost] = {}
    if "ledger" in stages:
        costs["ledger opening"] = measure_ledger(folder / "book", number)
    if set(stages) - {"ledger"}:
        multiply(seeds[0], folder / "cohort", number, {split: f"{split}.parquet" for split in SPLITS}, COHORT)
        multiply(
            seeds[1], folder / "traces", number, {split: f"kept/{split}-00000.parquet" for split in SPLITS}, TRACES
        )
        inputs = ("--cohort", folder / "cohort", "--traces", folder / "traces")
        costs["assemble"] = run(deepicd("assemble", *inputs, folder / "dataset", "-q"))
    if "card" in stages:
        costs["card"] = run(deepicd("card", folder / "dataset", "-q"))
    if "evaluate" in stages:
        answers = folder / "answers.jsonl"
        with answers.open("w") as file:
            for path in sorted((folder / "dataset" / "grpo").glob("test-*.parquet")):
                for batch in pq.ParquetFile(path).iter_batches(1000, columns=["reward_model", "extra_info"]):
                    for row in batch.to_pylist():
                        answer = f"<think>so</think><diagnosis>{row['reward_model']['ground_truth']}</diagnosis>"
                        file.write(json.dumps({"note_id": row["extra_info"]["note_id"], "completion": answer}) + "\n")
        options = ("--predictions", answers, "--dataset", folder / "dataset", "--split", "test")
        costs["evaluate"] = run(deepicd("evaluate", *options, "--out", folder / "evaluation", "-q"))
    return {
        stage: {"cpu_seconds": round(cost.cpu, 1), "peak_mib": round(cost.peak_mib)} for stage, cost in costs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--stages", nargs="+", default=["ledger", "assemble", "card", "evaluate"])
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        seeds = make_seeds(Path(scratch) / "seeds")
        for number in options.rows:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                results[f"{number}"] = measure(Path(folder), seeds, number, options.stages)
            print(f"{number:,} rows: {results[f'{number}']}", flush=True)
    storage.write_json(RESULTS / "scaling.json", results)


if __name__ == "__main__":
    main()
