"""A report is the same pages as files, for a sample; what it is made of decides who may read it."""

import re
from pathlib import Path

import pyarrow.parquet as pq
from conftest import Deepicd
from reading_room_example import HOSTILE, write_example

from cards.firewall.check import check_path
from cards.reading_room.folders import find_holdings
from cards.reading_room.rows import open_rows


def write(deepicd: Deepicd, folder: Path, *options: object) -> Path:
    outcome = deepicd("report", folder, folder / "report", *options)
    assert outcome.code == 0, outcome.err
    return folder / "report"


def test_every_link_of_a_report_leads_to_one_of_its_files(deepicd: Deepicd, tmp_path: Path) -> None:
    report = write(deepicd, write_example(tmp_path))
    pages = sorted(report.rglob("*.html"))
    assert [page.relative_to(report).as_posix() for page in pages] == [
        "index.html", "row/1-1.html", "row/1-2.html", "row/1.html", "row/2.html", "row/3.html", "row/4.html",
        "rows.html",
    ]  # fmt: skip
    for page in pages:
        text = page.read_text()
        links = [link.split("#")[0] for link in re.findall(r'(?:href|src)="([^"]+)"', text)]
        assert [link for link in links if link not in ("", "data:,") and not (page.parent / link).is_file()] == []
        assert "Content-Security-Policy" in text
        assert "Made-up records" in text
    assert "&lt;script&gt;" in (report / "row" / f"{HOSTILE}.html").read_text()


def test_writing_a_report_twice_changes_nothing(deepicd: Deepicd, tmp_path: Path) -> None:
    report = write(deepicd, write_example(tmp_path))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in report.rglob("*.html")}
    write(deepicd, tmp_path)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in report.rglob("*.html")} == before


def test_a_report_of_made_up_rows_may_leave(deepicd: Deepicd, tmp_path: Path) -> None:
    report = write(deepicd, write_example(tmp_path))
    assert check_path(report, notes_from=None).may_leave


def test_a_report_of_credentialed_rows_stays_and_is_closed_to_others(deepicd: Deepicd, tmp_path: Path) -> None:
    report = write(deepicd, write_example(tmp_path, origin="mimic"))
    assert not check_path(report, notes_from=tmp_path / "cohort").may_leave
    assert report.stat().st_mode & 0o777 == 0o700
    pages = sorted(report.rglob("*.html"))
    assert {page.stat().st_mode & 0o777 for page in pages} == {0o600}
    assert all("Credentialed records: not to be shared" in page.read_text() for page in pages)


def test_a_sample_has_every_chapter_and_says_that_it_is_one(deepicd: Deepicd, tmp_path: Path) -> None:
    report = write(deepicd, write_example(tmp_path, copies=10), "--rows", 8)
    listed = (report / "rows.html").read_text()
    assert listed.count('<td class="code">') == 8
    assert "A sample of 8 of 40 rows" in listed
    assert re.findall(r"<dt>rows</dt><dd>(\d+)</dd>", (report / "index.html").read_text()) == ["40"]


def test_a_sample_is_in_proportion_and_the_same_for_a_seed(tmp_path: Path) -> None:
    folder = write_example(tmp_path, copies=10)
    samples = []
    for _ in range(2):
        rows = open_rows(find_holdings(folder))
        samples.append(rows.keep_sample(8, seed=42))
        chapters = rows.query("select chapter, count(*) as rows from entries group by chapter order by chapter")
        assert [(row["chapter"], row["rows"]) for row in chapters] == [(9, 4), (10, 2), (11, 2)]
    assert samples[0] == samples[1]


def test_a_report_of_traces_that_lack_a_column_is_an_error_of_ours(deepicd: Deepicd, tmp_path: Path) -> None:
    [kept] = write_example(tmp_path).glob("traces/*/kept/train-*.parquet")
    pq.write_table(pq.read_table(kept).drop_columns(["finish_reason"]), kept)
    outcome = deepicd("report", tmp_path, tmp_path / "report", "--accept-changes")
    assert outcome.code == 1
    assert "finish_reason (string expected, absent)" in outcome.err
    assert not (tmp_path / "report").exists()
