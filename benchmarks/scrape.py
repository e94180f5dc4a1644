"""`deepicd scrape` against a bare Scrapy spider, on a site of 12,000 pages with faults; and killed twenty times.

Both ask one page at a time, wait half a second for a page that hangs, and repeat what failed at once. The bare spider
downloads and keeps nothing; ours stores, reads, counts and writes the table. They take turns;
the time that both wait for pages that hang says nothing of either and is taken off. Checked on the way: each text is
exact, none was sent twice, memory does not grow with their number, and a crawl that is killed ends in the same table.

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

from benchmarks.faulty_site import CODES, FaultySite, text
from benchmarks.measure import Cost, compare, python, record, run
from deepicd.icd10cm import Code
from scrapers.sample.site import Served, served
from scrapers.site import Pace, Site

PACE = Pace(delay=0.0, back_off=0.0, timeout=0.5)
KILLS = 20
SHORTEST, LONGEST = 1.5, 6.0  # seconds that a crawl lives before it is killed

HARVEST = """
import sys
from pathlib import Path
from deepicd.icd10cm import Code
from scrapers.crawl import harvest
from scrapers.site import Pace
codes = map(Code, Path(sys.argv[1]).read_text().split())
harvest(list(codes), Path(sys.argv[2]), base_url=sys.argv[3], pace=Pace(*map(float, sys.argv[4:])))
"""
BARE = """
import sys
from pathlib import Path
from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapers.download import Job
from scrapers.spider import settings

class Bare(Spider):
    name = "bare"
    start_urls = Path(sys.argv[1]).read_text().split()

    def parse(self, response):
        pass

same = settings(Job.from_json(Path(sys.argv[2]).read_text()))
del same["DOWNLOADER_MIDDLEWARES"], same["EXTENSIONS"]
process = AsyncCrawlerProcess(same | {"REDIRECT_ENABLED": False})  # each address is asked for once, as in ours
process.crawl(Bare)
process.start()
"""


def main(pages: int = len(CODES)) -> None:
    faulty = FaultySite(hang=2 * PACE.timeout)
    codes = CODES[:pages]
    with served(faulty.answer) as site, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for code in codes:
            faulty.answer(f"/icd-code-suche/{_slug(code)}")  # pages are made up before the clock runs
        hung = sum(faulty.hangs(f"/icd-code-suche/{_slug(code)}") for code in codes) * PACE.timeout

        def ours() -> Cost:
            shutil.rmtree(folder / "whole", ignore_errors=True)
            cost = harvest(codes, folder / "whole", site, faulty)
            twice.update({path: number for path, number in faulty.sent.items() if number > 1})
            return Cost(cost.seconds - hung, cost.peak_mib)

        def floor() -> Cost:
            cost = bare(codes, folder, site, faulty)
            return Cost(cost.seconds - hung, cost.peak_mib)

        twice: dict[str, int] = {}
        comparison = compare(f"scrape, {pages:,} pages with faults", ours, "bare Scrapy spider", floor)
        record("scrape", [comparison], ["scrapy", "twisted", "lxml"])
        print(f"pages a second, ours to the bare spider's: {1 / comparison.ratio:.2f}", flush=True)
        check_texts(folder / "whole", codes)
        print(f"pages sent more than once: {len(twice)}")
        quarter = harvest(codes[: pages // 4], folder / "quarter", site, faulty)
        print(f"peak {comparison.peak_mib:.0f} MiB, for a quarter of the pages {quarter.peak_mib:.0f}")
        killed(codes, folder, site, faulty)


def harvest(codes: list[Code], out: Path, site: Served, faulty: FaultySite) -> Cost:
    faulty.forget()
    return run(_command(codes, out, site))


def bare(codes: list[Code], folder: Path, site: Served, faulty: FaultySite) -> Cost:
    from scrapers.crawl_process import Job

    faulty.forget()
    job = Job("", "127.0.0.1", False, "bare", PACE, [], "", None, False)
    (folder / "job.json").write_text(job.to_json())
    at = Site.parse(site.url, "de")
    (folder / "urls.txt").write_text("\n".join(at.url(code) for code in codes))
    return run(python(BARE, folder / "urls.txt", folder / "job.json"))


def killed(codes: list[Code], folder: Path, site: Served, faulty: FaultySite) -> None:
    """Kill a crawl at random moments, let it end, and compare: same rows, at most one page sent twice a kill."""
    faulty.forget()
    command = _command(codes, folder / "killed", site)
    moments = random.Random(0)
    kills = 0
    for _ in range(KILLS):
        with subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(moments.uniform(SHORTEST, LONGEST))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    run(command)
    again = sum(number - 1 for number in faulty.sent.values())
    same = _rows(folder / "killed") == _rows(folder / "whole")
    print(f"killed {kills} times: {'the same table' if same else 'ANOTHER TABLE'}; pages sent again: {again}")


def check_texts(out: Path, codes: Iterable[Code]) -> None:
    table = {row["code"]: row["text"] for row in _rows(out)}
    expected = {str(code): own for code in codes if (own := text(code))}
    exact = sum(table[code] == own for code, own in expected.items())
    others = sum(table[code] is not None for code in table.keys() - expected.keys())
    print(f"texts exact: {exact:,} of {len(expected):,}; texts where there is none: {others}")


def _rows(out: Path) -> list[dict[str, object]]:
    """The table without the one column that tells when."""
    rows: list[dict[str, object]] = pq.read_table(out / "descriptions.parquet").drop(["fetched_at"]).to_pylist()
    return rows


def _command(codes: list[Code], out: Path, site: Served) -> list[str | Path]:
    file = out.with_suffix(".txt")
    file.write_text("\n".join(code.value for code in codes))
    return python(HARVEST, file, out, site.url, *(str(value) for value in asdict(PACE).values()))


def _slug(code: Code) -> str:
    return str(code).lower().replace(".", "-")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
