"""Compare `deepicd scrape` with a bare Scrapy spider on a site of 12,000 pages with faults; then kill it twenty times.

Both request one page at a time, wait half a second for a page that hangs, and retry at once. The bare spider downloads
and keeps nothing; ours stores, reads, counts and writes the table. They take turns. The time that both wait for hanging
pages is subtracted. Also checked: each text is exact, no page is sent twice, memory does not grow with the number of
pages, and a crawl that was killed ends in the same table.

Run: python -m benchmarks.scrape [PAGES]
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.faulty_site import CODES, FaultySite, find_expected_text
from benchmarks.measure import Cost, compare, python, record, run
from deepicd.icd10cm import Code
from scrapers.sample.site import RunningSite, serve
from scrapers.site import Pace, Site

PACE = Pace(delay=0.0, back_off=0.0, timeout=0.5)
KILLS = 20
SHORTEST, LONGEST = 1.5, 6.0  # seconds that a crawl lives before it is killed

SCRAPE = """
import sys
from pathlib import Path
from deepicd.icd10cm import Code
from scrapers.crawl import scrape
from scrapers.site import Pace
codes = map(Code, Path(sys.argv[1]).read_text().split())
scrape(list(codes), Path(sys.argv[2]), base_url=sys.argv[3], pace=Pace(*map(float, sys.argv[4:])))
"""
BARE = """
import sys
from pathlib import Path
from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapers.crawl_plan import CrawlJob
from scrapers.crawl_settings import build_settings

class Bare(Spider):
    name = "bare"
    start_urls = Path(sys.argv[1]).read_text().split()

    def parse(self, response):
        pass

settings = build_settings(CrawlJob.model_validate_json(Path(sys.argv[2]).read_text()))
del settings["DOWNLOADER_MIDDLEWARES"], settings["EXTENSIONS"]
process = AsyncCrawlerProcess(settings | {"REDIRECT_ENABLED": False})  # each address is requested once, as in ours
process.crawl(Bare)
process.start()
"""


def main(pages: int = len(CODES)) -> None:
    """Compare both crawlers, then check texts, memory and kills."""
    faulty = FaultySite(hang=2 * PACE.timeout)
    codes = CODES[:pages]
    with serve(faulty.answer) as site, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for code in codes:
            faulty.answer(f"/icd-code-suche/{_slug(code)}")  # pages are composed before the clock starts
        hanging = sum(faulty.hangs(f"/icd-code-suche/{_slug(code)}") for code in codes) * PACE.timeout
        repeated: dict[str, int] = {}

        def ours() -> Cost:
            shutil.rmtree(folder / "whole", ignore_errors=True)
            cost = run_ours(codes, folder / "whole", site, faulty)
            repeated.update({path: number for path, number in faulty.sent.items() if number > 1})
            return Cost(cost.seconds - hanging, cost.peak_mib)

        def bare() -> Cost:
            cost = run_bare(codes, folder, site, faulty)
            return Cost(cost.seconds - hanging, cost.peak_mib)

        comparison = compare(f"scrape, {pages:,} pages with faults", ours, "bare Scrapy spider", bare)
        record("scrape", [comparison], ["scrapy", "twisted", "lxml", "beautifulsoup4"])
        print(f"pages per second, ours relative to the bare spider's: {1 / comparison.ratio:.2f}", flush=True)
        check_texts(folder / "whole", codes)
        print(f"pages sent more than once: {len(repeated)}")
        quarter = run_ours(codes[: pages // 4], folder / "quarter", site, faulty)
        print(f"peak {comparison.peak_mib:.0f} MiB, for a quarter of the pages {quarter.peak_mib:.0f}")
        check_kills(codes, folder, site, faulty)


def run_ours(codes: list[Code], out: Path, site: RunningSite, faulty: FaultySite) -> Cost:
    """Scrape the codes into a folder."""
    faulty.reset()
    return run(_build_command(codes, out, site))


def run_bare(codes: list[Code], folder: Path, site: RunningSite, faulty: FaultySite) -> Cost:
    """Download the codes' pages and keep nothing."""
    from scrapers.crawl_plan import CrawlJob

    faulty.reset()
    address = Site.parse(site.url, "de")
    job = CrawlJob(
        store=Path(), host="127.0.0.1", is_public=False, user_agent="bare", pace=PACE, section_url="",
        pending=[], follow=False, room=None,
    )  # fmt: skip
    (folder / "job.json").write_text(job.model_dump_json())
    (folder / "urls.txt").write_text("\n".join(address.page_url(code) for code in codes))
    return run(python(BARE, folder / "urls.txt", folder / "job.json"))


def check_kills(codes: list[Code], folder: Path, site: RunningSite, faulty: FaultySite) -> None:
    """Kill a crawl at random moments, let it finish, and compare: same rows, at most one page sent again per kill."""
    faulty.reset()
    command = _build_command(codes, folder / "killed", site)
    rng = random.Random(0)
    kills = 0
    for _ in range(KILLS):
        with subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(rng.uniform(SHORTEST, LONGEST))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    run(command)
    sent_again = sum(number - 1 for number in faulty.sent.values())
    is_same = _read_rows(folder / "killed") == _read_rows(folder / "whole")
    print(f"killed {kills} times: {'the same table' if is_same else 'ANOTHER TABLE'}; pages sent again: {sent_again}")


def check_texts(out: Path, codes: Iterable[Code]) -> None:
    """Compare the texts in a table with those of the site."""
    table = {row["code"]: row["text"] for row in _read_rows(out)}
    expected = {str(code): text for code in codes if (text := find_expected_text(code))}
    exact = sum(table[code] == text for code, text in expected.items())
    others = sum(table[code] is not None for code in table.keys() - expected.keys())
    print(f"exact texts: {exact:,} of {len(expected):,}; texts where there should be none: {others}")


def _read_rows(out: Path) -> list[dict[str, object]]:
    """Return the table without the column that depends on the time."""
    rows: list[dict[str, object]] = pq.read_table(out / "descriptions.parquet").drop(["fetched_at"]).to_pylist()
    return rows


def _build_command(codes: list[Code], out: Path, site: RunningSite) -> list[str | Path]:
    file = out.with_suffix(".txt")
    file.write_text("\n".join(code.value for code in codes))
    return python(SCRAPE, file, out, site.url, *(str(value) for value in asdict(PACE).values()))


def _slug(code: Code) -> str:
    return str(code).lower().replace(".", "-")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
