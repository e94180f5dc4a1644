"""Write the pages of the reading room as a folder that a browser opens from the disk, for a sample of the rows.

    OUT/index.html            overview of all rows          OUT/rows.html        the sample
    OUT/row/17.html           one page per row              OUT/static/…         stylesheet and script

A report of credentialed records says so on every page, only its owner may read it, and its record tells the firewall
where its rows come from.
"""

from dataclasses import dataclass
from pathlib import Path

from cards.reading_room.filters import Filters
from cards.reading_room.folders import Holdings, find_holdings
from cards.reading_room.pages import STATIC, Pages
from cards.reading_room.rows import open_rows
from cards.reading_room.server import FILES, describe_folder
from deepicd import records, storage
from deepicd.log import track_progress
from deepicd.stage_records import ReportCounts, ReportRecord

READ_AHEAD = 500  # rows whose texts are in memory at once


@dataclass(frozen=True)
class ReportLinks:
    """Addresses within a report, seen from a page `depth` folders below its top."""

    depth: int = 0
    is_report = True
    is_review = False

    @property
    def _top(self) -> str:
        return "../" * self.depth

    def static(self, name: str) -> str:
        return f"{self._top}static/{name}"

    def page(self, name: str) -> str:
        return f"{self._top}{name or 'index'}.html"

    def overview(self, filters: Filters, **changes: object) -> str:
        return self.page("")

    def list(self, filters: Filters, **changes: object) -> str:
        return self.page("rows")

    def row(self, number: int, filters: Filters, attempt: int = 0) -> str:
        return f"{self._top}row/{number}{f'-{attempt}' if attempt else ''}.html"


def write_report(
    path: Path, out: Path, *, rows: int, seed: int, cohort: Path | None = None, overwrite: bool = False
) -> ReportRecord:
    """Write the report of a folder, and return its record."""
    holdings = find_holdings(path, cohort)
    plan = records.plan_run(
        ReportRecord,
        options={"rows": rows, "seed": seed, "name": describe_folder(path)},
        inputs=holdings.list_inputs(),
    )
    if done := records.find_finished(out, plan):
        return done
    with records.open_fresh_folder(out, plan, holdings.origin, overwrite=overwrite) as run:
        run.counts = _write_pages(run.folder, holdings, path, rows, seed)
    return run.record


def _write_pages(folder: Path, holdings: Holdings, path: Path, size: int, seed: int) -> ReportCounts:
    rows, everything = open_rows(holdings), Filters()
    total = rows.count()
    sample = (
        f"A sample of {min(size, total):,} of {total:,} rows, from every chapter and verdict; figures count all rows."
    )
    remark = sample if size < total else ""
    top = Pages(rows, ReportLinks(), describe_folder(path), remark)
    below = Pages(rows, ReportLinks(1), describe_folder(path), remark)
    storage.write_text(folder / "index.html", top.render_overview(everything))
    numbers = rows.keep_sample(size, seed)
    storage.write_text(folder / "rows.html", top.render_list(everything, size=max(1, len(numbers))))
    with track_progress("rows written", len(numbers)) as advance:
        for place, number in enumerate(numbers):
            if place % READ_AHEAD == 0:
                rows.read_ahead(numbers[place : place + READ_AHEAD])
            storage.write_text(folder / "row" / f"{number}.html", below.render_row(number, everything))
            several = rows.count_attempts(number)
            for attempt in range(1, several + 1) if several > 1 else ():
                storage.write_text(
                    folder / "row" / f"{number}-{attempt}.html", below.render_row(number, everything, attempt)
                )
            advance(1)
    for name in FILES:
        storage.write_text(folder / "static" / name, (STATIC / name).read_text(encoding="utf-8"))
    return ReportCounts(rows=len(numbers), of=total)
