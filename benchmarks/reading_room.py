"""How fast the reading room opens, pages, filters and searches 93,000 rows, and what a report of 1,000 rows costs.

Rows of made-up notes and rehearsed traces are repeated under new ids, with lines of other notes added until a note has
as many characters as MIMIC's. Times are the shortest of several, in milliseconds, since such machines are shared; the
search is given as a multiple of what DuckDB takes to scan all notes, too.

Run: python -m benchmarks.reading_room
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.evidence import make_cohort
from benchmarks.measure import RESULTS, describe_machine
from cards.reading_room.filters import parse_filters
from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.report import write_report
from cards.reading_room.rows import Rows, open_rows
from cards.reading_room.server import ServerLinks
from deepicd import records, storage
from deepicd.records import Record
from deepicd.schema import COHORT, SPLITS, TRACES
from deepicd.stage_records import BuildRecord, DistillRecord
from distill.recipe import load_recipe
from distill.run import distill

ROWS = 93_000
NOTE = 6_000  # characters at least
SHARD = 16_384
REPORT = 1_000
ROUNDS = 7


def multiply(folder: Path, cohort: Path, traces: Path) -> None:
    """Write `ROWS` rows of cohort and traces, the rows of the two folders again and again."""
    notes = {
        row["note_id"]: row
        for split in SPLITS
        for row in storage.read_table(cohort / f"{split}.parquet", COHORT).to_pylist()
    }
    kept = [
        row for file in sorted(traces.glob("kept/*.parquet")) for row in storage.read_table(file, TRACES).to_pylist()
    ]
    lines = [line for note in notes.values() for line in note["admission_note"].splitlines() if len(line) > 40]
    lots = random.Random(1)
    _copy(BuildRecord, cohort, folder / "cohort", lambda out: _write_notes(out, notes, kept, lines, lots))
    _copy(DistillRecord, traces, folder / "traces" / traces.name, lambda out: _write_traces(out, kept))


def _copy(kind: type[Record], source: Path, out: Path, write: Callable[[Path], None]) -> None:
    record = records.require(source, kind)
    inputs = {"cohort": out.parent.parent / "cohort"} if kind is DistillRecord else {}
    plan = records.plan_run(kind, options=record.options, inputs=inputs)
    with records.open_fresh_folder(out, plan, "synthetic") as run:
        write(run.folder)
        run.counts = record.counts


def _name(number: int) -> str:
    return f"{10_000_000 + number}-DS-1"


def _write_notes(
    out: Path, notes: dict[str, dict[str, Any]], kept: list[dict[str, Any]], lines: list[str], lots: random.Random
) -> None:
    def build(number: int) -> dict[str, Any]:
        row = dict(notes[kept[number % len(kept)]["note_id"]])
        while len(row["admission_note"]) < NOTE:
            row["admission_note"] += "\n" + lots.choice(lines)
        return row | {"note_id": _name(number)}

    for split in SPLITS:
        with storage.open_parquet_writer(out / f"{split}.parquet", COHORT, "synthetic") as writer:
            for chunk in _cut(ROWS if split == "train" else 0, storage.ROW_GROUP):
                _write(writer, [build(number) for number in chunk])


def _write_traces(out: Path, kept: list[dict[str, Any]]) -> None:
    for shard, numbers in enumerate(_cut(ROWS, SHARD)):
        file = out / "kept" / f"train-{shard:05d}.parquet"
        with storage.open_parquet_writer(file, TRACES, "synthetic") as writer:
            for chunk in _cut(len(numbers), 512):
                first = numbers[0]
                _write(
                    writer,
                    [kept[(first + n) % len(kept)] | {"note_id": _name(first + n), "split": "train"} for n in chunk],
                )


def _write(writer: Any, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    writer.write_table(pa.Table.from_pylist(rows, writer.schema))


def _cut(total: int, size: int) -> Iterator[range]:
    yield from (range(start, min(start + size, total)) for start in range(0, total, size))


def measure(pages: Pages, rows: Rows) -> dict[str, float]:
    """Return milliseconds per kind of page; a first search is one that was not asked before."""
    words = iter("dyspnea edema fever melena syncope seizure hematuria jaundice rash vomiting".split())
    numbers = iter(random.Random(2).sample(range(1, ROWS), 99))
    kinds: dict[str, Callable[[], object]] = {
        "first page of the list": lambda: pages.render_list(parse_filters({})),
        "page 1,000": lambda: pages.render_list(parse_filters({"page": "1000"})),
        "filter by chapter": lambda: pages.render_list(parse_filters({"chapter": "9"})),
        "most contradicted first": lambda: pages.render_list(parse_filters({"sort": "contradicted"})),
        "a row": lambda: pages.render_row(next(numbers), parse_filters({})),
        "a row among those of a chapter": lambda: pages.render_row(next(numbers), parse_filters({"chapter": "9"})),
        "overview": lambda: pages.render_overview(parse_filters({})),
        "overview of a chapter": lambda: pages.render_overview(parse_filters({"chapter": "9"})),
        "search, first time": lambda: pages.render_list(parse_filters({"q": next(words)})),
        "search, again": lambda: pages.render_list(parse_filters({"q": "dyspnea"})),
    }
    return {kind: round(1000 * min(_time(call) for _ in range(ROUNDS)), 1) for kind, call in kinds.items()}


def _time(call: Callable[[], object]) -> float:
    clock = time.perf_counter()
    call()
    return time.perf_counter() - clock


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        cohort = make_cohort(folder)
        distill(cohort, folder / "few", load_recipe(Path("rehearsal")))
        (traces,) = (path.parent for path in (folder / "few").glob("*/kept"))
        multiply(folder / "many", cohort, traces)
        clock = time.perf_counter()
        rows = open_rows(find_holdings(folder / "many"))
        opening = time.perf_counter() - clock
        pages = Pages(rows, ServerLinks(), "many")
        milliseconds = measure(pages, rows)
        scan = [str(path) for path in (folder / "many" / "cohort").glob("*.parquet")]
        floor = 1000 * min(
            _time(
                lambda: rows.query(
                    "select count(*) from read_parquet(?) where admission_note ilike '%dyspnea%'", [scan]
                )
            )
            for _ in range(ROUNDS)
        )
        clock = time.perf_counter()
        write_report(folder / "many", folder / "report", rows=REPORT, seed=1)
        seconds = time.perf_counter() - clock
        files = [path for path in (folder / "report").rglob("*") if path.is_file()]
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": describe_machine(),
            "rows": rows.count(),
            "megabytes": round(sum(path.stat().st_size for path in (folder / "many").rglob("*.parquet")) / 1e6),
            "opening_seconds": round(opening, 2),
            "milliseconds": milliseconds,
            "scan_of_all_notes_milliseconds": round(floor, 1),
            "search_against_scan": round(milliseconds["search, first time"] / floor, 2),
            "report": {
                "rows": REPORT, "seconds": round(seconds, 1), "files": len(files),
                "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
                "list_kilobytes": round((folder / "report" / "rows.html").stat().st_size / 1e3),
            },
        }  # fmt: skip
    text = json.dumps(result, indent=2)
    print(text)
    (RESULTS / "reading_room.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
