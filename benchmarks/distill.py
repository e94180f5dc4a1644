"""Measure what a distillation costs besides its model: memory, time per row, and the damage of a hundred kills.

The engine is `rehearsal`, which answers at once, so only our own work is measured: planning, prompts, ledger, checks,
files. The rows are those of a made-up cohort, repeated under new ids.

  memory   peak of a run over 10,000 and over 100,000 rows; it should hardly grow
  time     microseconds per row, in total and of the ledger alone
  kills    a run killed a hundred times must leave the same files as an undisturbed one and request nothing twice

Run: python -m benchmarks.distill [ROWS] [KILLS]   (0 skips that part)
"""

import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import kills
from benchmarks.measure import RESULTS, deepicd, run

KILLED_ROWS = 8_000


def main(rows: int = 100_000, times: int = 100) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = build_seeds(folder)
        results = (
            {"memory": measure_memory(folder, seeds, rows), "ledger": measure_ledger(folder, rows)} if rows else {}
        )
        if times:
            results["kills"] = compare_after_kills(folder, seeds, times)
    path = RESULTS / "distill.json"
    earlier = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(earlier | results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


def build_seeds(folder: Path) -> Path:
    """Build a made-up cohort whose rows are repeated; return its folder."""
    copy, cohort = folder / "copy", folder / "seeds"
    run(deepicd("synthesize", copy, "--admissions", "2000"))
    run(deepicd("build", "--mimic", copy, "--notes", copy, cohort))
    return cohort


def write_cohort(rows: int, seeds: Path, out: Path) -> Path:
    """Write a cohort of `rows` rows, repeated from `seeds`; return its folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from deepicd import records, storage
    from deepicd.schema import COHORT, SPLITS

    plan = records.plan_run("build", options={"rows": rows}, inputs={})
    known = [row for split in SPLITS for row in pq.read_table(seeds / f"{split}.parquet").to_pylist()]

    def repeat_rows(first: int, number: int) -> Iterator[dict[str, Any]]:
        for n in range(first, first + number):
            yield known[n % len(known)] | {"note_id": f"{10_000_000 + n}-DS-1", "hadm_id": 20_000_000 + n}

    with records.open_fresh_folder(out, plan, "synthetic") as made:
        first = 0
        for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
            with storage.open_parquet_writer(made.folder / f"{split}.parquet", COHORT, "synthetic") as writer:
                number = round(rows * share)
                for start in range(0, number, 1000):
                    part = list(repeat_rows(first + start, min(1000, number - start)))
                    writer.write_table(pa.Table.from_pylist(part, writer.schema))
                first += number
    return out


def measure_memory(folder: Path, seeds: Path, rows: int) -> dict[str, Any]:
    """Return peak memory and time of two runs, one with ten times the rows of the other."""
    results: dict[str, Any] = {}
    for number in (rows // 10, rows):
        cohort = write_cohort(number, seeds, folder / f"cohort-{number}")
        cost = run(deepicd("distill", cohort, folder / f"traces-{number}", "--recipe", "rehearsal"))
        results[f"{number}"] = {
            "peak_mib": round(cost.peak_mib),
            "seconds": round(cost.seconds, 1),
            "us_a_row": round(cost.seconds / number * 1e6),
        }
        print(f"{number:,} rows: {results[f'{number}']}", flush=True)
    again = run(deepicd("distill", cohort, folder / f"traces-{rows}", "--recipe", "rehearsal", "--set", "min_words=32"))
    results["another threshold, nothing asked"] = {
        "seconds": round(again.seconds, 1),
        "peak_mib": round(again.peak_mib),
    }
    results["growth"] = round(results[f"{rows}"]["peak_mib"] / results[f"{rows // 10}"]["peak_mib"], 2)
    return results


def measure_ledger(folder: Path, rows: int) -> dict[str, Any]:
    """Return the time per row to write and to read 480 words with their findings, and the time to open a ledger."""
    from deepicd.engines.ledger import open_ledger

    text, keys = "word " * 480, [hashlib.sha256(str(n).encode()).hexdigest()[:32] for n in range(rows)]
    clock = time.perf_counter()
    with open_ledger(folder / "book", "synthetic") as book:
        for key in keys:
            book.add_completion(key, {"text": text, "finish_reason": "stop", "seed": 42})
            book.add_findings(key, {"checks": "none", "words": 480})
    written = time.perf_counter()
    with open_ledger(folder / "book", "synthetic") as book:
        opening = time.perf_counter()
        if len(book) != rows:
            raise RuntimeError(f"The ledger has {len(book)} completions, not {rows}.")
        for key in keys:
            book.read_completion(key), book.read_findings(key)
    read = time.perf_counter()
    return {
        "rows": rows,
        "write_us_a_row": round((written - clock) / rows * 1e6, 1),
        "read_us_a_row": round((read - opening) / rows * 1e6, 1),
        "open_seconds": round(opening - written, 2),
    }


def compare_after_kills(folder: Path, seeds: Path, times: int) -> dict[str, Any]:
    """Kill a run `times` times; compare what it leaves with an undisturbed run."""
    cohort = write_cohort(KILLED_ROWS, seeds, folder / "killed-cohort")
    out, undisturbed = folder / "killed", folder / "calm"
    hits = kills.kill_until_done(cohort, out, times, longest=0.02)
    run(kills.build_command(cohort, undisturbed))
    completions, expected = count_completions(out), count_completions(undisturbed)
    return {
        "rows": KILLED_ROWS,
        "kills": hits,
        "same_files": kills.digest_outputs(out) == kills.digest_outputs(undisturbed),
        "answers_lost": len(expected.keys() - completions.keys()),
        "answers_doubled": sum(number > 1 for number in completions.values()),
        "lines_cut_short": count_truncated_files(out),
    }


def count_completions(out: Path) -> Counter[str]:
    """Return key → number of complete entries for it in the ledger."""
    return Counter(
        entry["key"]
        for path in (out / "ledger").glob("*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n") and (entry := json.loads(line))["kind"] == "completion"
    )


def count_truncated_files(out: Path) -> int:
    return sum(not path.read_bytes().endswith(b"\n") for path in (out / "ledger").glob("*.jsonl"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
