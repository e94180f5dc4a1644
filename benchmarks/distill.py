"""What a distillation costs beside its model: memory, time a row, and whether a hundred kills do harm.

The engine is `rehearsal`, which answers at once, so that all that is measured is ours: planning, prompts, ledger,
checks, files. Rows are those of a made-up cohort, repeated under new ids until there are enough. Three questions:

  memory   peak of a run over 10,000 and over 100,000 rows; it should hardly grow
  time     microseconds a row, all in all, and of the ledger alone
  kills    the same files after a hundred kills at random moments as without any, and no answer paid for twice

Run: python -m benchmarks.distill [ROWS] [KILLS]   (0 leaves that part out)
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
        seeds = made_up(folder)
        found = {"memory": memory(folder, seeds, rows), "ledger": ledger(folder, rows)} if rows else {}
        if times:
            found["kills"] = killed(folder, seeds, times)
    path = RESULTS / "distill.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def made_up(folder: Path) -> Path:
    copy, cohort = folder / "copy", folder / "seeds"
    run(deepicd("synthesize", copy, "--admissions", "2000"))
    run(deepicd("build", "--mimic", copy, "--notes", copy, cohort))
    return cohort


def cohort_of(rows: int, seeds: Path, out: Path) -> Path:
    """A cohort of so many rows, written a few hundred at a time."""
    import pyarrow.parquet as pq

    from deepicd import records, storage
    from deepicd.schema import COHORT, SPLITS

    plan = records.plan_run("build", options={"rows": rows}, inputs={})
    known = [row for split in SPLITS for row in pq.read_table(seeds / f"{split}.parquet").to_pylist()]

    def repeated(first: int, number: int) -> Iterator[dict[str, Any]]:
        for n in range(first, first + number):
            yield known[n % len(known)] | {"note_id": f"{10_000_000 + n}-DS-1", "hadm_id": 20_000_000 + n}

    with records.open_fresh_folder(out, plan, "synthetic") as made:
        first = 0
        for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
            with storage.open_parquet_writer(made.folder / f"{split}.parquet", COHORT, "synthetic") as writer:
                import pyarrow as pa

                number = round(rows * share)
                for start in range(0, number, 1000):
                    part = list(repeated(first + start, min(1000, number - start)))
                    writer.write_table(pa.Table.from_pylist(part, writer.schema))
                first += number
    return out


def memory(folder: Path, seeds: Path, rows: int) -> dict[str, Any]:
    """Peak and time of two runs, one of ten times the rows of the other."""
    found: dict[str, Any] = {}
    for number in (rows // 10, rows):
        cohort = cohort_of(number, seeds, folder / f"cohort-{number}")
        cost = run(deepicd("distill", cohort, folder / f"traces-{number}", "--recipe", "rehearsal"))
        found[f"{number}"] = {
            "peak_mib": round(cost.peak_mib),
            "seconds": round(cost.seconds, 1),
            "us_a_row": round(cost.seconds / number * 1e6),
        }
        print(f"{number:,} rows: {found[f'{number}']}", flush=True)
    again = run(deepicd("distill", cohort, folder / f"traces-{rows}", "--recipe", "rehearsal", "--set", "min_words=32"))
    found["another threshold, nothing asked"] = {"seconds": round(again.seconds, 1), "peak_mib": round(again.peak_mib)}
    found["growth"] = round(found[f"{rows}"]["peak_mib"] / found[f"{rows // 10}"]["peak_mib"], 2)
    return found


def ledger(folder: Path, rows: int) -> dict[str, Any]:
    """Of one row: to write an answer of 480 words and its findings; to read both; to open a ledger, in seconds."""
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


def killed(folder: Path, seeds: Path, times: int) -> dict[str, Any]:
    """Kill a run so many times; compare what it leaves with an undisturbed one."""
    cohort = cohort_of(KILLED_ROWS, seeds, folder / "killed-cohort")
    out, calm = folder / "killed", folder / "calm"
    struck = kills.kill_until_done(cohort, out, times, longest=0.02)
    run(kills.command(cohort, calm))
    answers = [answered(place) for place in (out, calm)]
    return {
        "rows": KILLED_ROWS,
        "kills": struck,
        "same_files": kills.outputs(out) == kills.outputs(calm),
        "answers_lost": len(answers[1].keys() - answers[0].keys()),
        "answers_doubled": sum(number > 1 for number in answers[0].values()),
        "lines_cut_short": cut_short(out),
    }


def answered(out: Path) -> Counter[str]:
    """Key → how many whole answers the ledger has of it."""
    return Counter(
        entry["key"]
        for path in (out / "ledger").glob("*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n") and (entry := json.loads(line))["kind"] == "completion"
    )


def cut_short(out: Path) -> int:
    return sum(not path.read_bytes().endswith(b"\n") for path in (out / "ledger").glob("*.jsonl"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
