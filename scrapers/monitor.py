"""Run the crawl in a process of its own, read the pages while they come, and stop it when going on makes no sense.

A Twisted reactor cannot start twice in a process, and a crawl that crashes must not take its caller along. The child
(`python -m scrapers.spider`) reads its job from stdin, writes pages into the store, its log to a file, and at the end
one line to stdout that says how it ended. When this process ends in any way, the child's stdin closes and it exits.

Two observations here end a crawl: many pages in a row of known codes that have the element for a text but no text (the
layout has changed), and no text among the first pages. Later on, even thousands of codes in a row that the site does
not know mean nothing. The spider itself ends a crawl whose answers are no longer the site's pages.
"""

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.log import track_progress
from deepicd.parsing import parse_json
from scrapers.crawl_plan import CrawlJob
from scrapers.page_store import PageStore
from scrapers.parser import Reading
from scrapers.site import Site

# -P: a folder `scrapers` in the user's working directory must not shadow ours
COMMAND = [sys.executable, "-P", "-m", "scrapers.spider"]
POLL_INTERVAL = 0.1  # seconds between two looks into the store
EXIT_TIMEOUT = 10.0  # seconds that the child may take to notice that its stdin is closed

EMPTY_RUN = 60
"""About six categories of ICD-10-GM in a row; the paper found a text for four of five terminal codes."""
FIRST_PAGES = 100
BATCH = 500
"""Readings stored at once; while this process writes, the crawl waits to write its next page."""


def run_crawl(job: CrawlJob, site: Site, store: PageStore, log: Path) -> None:
    """Fetch what is pending. Returns when each target is in the store, as a page or as a failure.

    Raises DeepicdError if the crawl gave up; the pages fetched until then stay in the store.
    """
    store.forget_failures()
    pages_before, monitor = len(store.list_codes()), CrawlMonitor(store, site.section_url)
    with (
        log.open("ab") as log_file,
        subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,  # Ctrl-C is for this process; the child exits when its stdin closes
        ) as child,
    ):
        try:
            _send_job(child, job)
            stop_reason = _watch(child, job, site, store, monitor)
            if stop_reason is None:
                stop_reason = _read_stop_reason(child, log)
        finally:
            _close(child)
    monitor.finish()
    if stop_reason is not None:
        total = "" if job.follow else f" of {len(job.pending):,}"
        fetched = len(store.list_codes()) - pages_before
        raise DeepicdError(
            f"{site.base_url}: {stop_reason}; the crawl gave up with {fetched:,}{total} pages fetched.",
            "Look at the site in a browser and check address and connection. The pages are kept; the same command "
            "continues from there.",
        )


def _watch(
    child: "subprocess.Popen[bytes]", job: CrawlJob, site: Site, store: PageStore, monitor: "CrawlMonitor"
) -> str | None:
    """Read pages until the child ends or has to be stopped. Return the reason to stop it, None if it has ended."""
    with track_progress(f"pages of {site.host}", None if job.follow else len(job.pending)) as advance:
        counted = store.count_answers()
        while True:
            has_ended = _wait(child)
            reason = monitor.check()
            answers = store.count_answers()
            advance(answers - counted, monitor.status)
            counted = answers
            if has_ended or reason is not None:
                return reason


def _send_job(child: "subprocess.Popen[bytes]", job: CrawlJob) -> None:
    stdin = _get_pipe(child.stdin)
    with suppress(BrokenPipeError):  # the child has ended already; `_read_stop_reason` reports it
        stdin.write(job.model_dump_json().encode() + b"\n")
        stdin.flush()


def _get_pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the child was started without pipes")
    return stream


def _wait(child: "subprocess.Popen[bytes]") -> bool:
    """Return whether the child has ended, after waiting `POLL_INTERVAL` for it."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(POLL_INTERVAL)
    return child.returncode is not None


def _read_stop_reason(child: "subprocess.Popen[bytes]", log: Path) -> str | None:
    """Return why an ended crawl gave up; None if it requested every page."""
    try:
        reason: str | None = parse_json(_get_pipe(child.stdout).read())["stopped"]
    except ValueError as error:  # it wrote nothing: it crashed or was killed
        raise DeepicdError(
            f"The crawl ended early with exit code {child.returncode}; its log is {log}.",
            "The pages are kept; the same command continues from there.",
        ) from error
    return reason


def _close(child: "subprocess.Popen[bytes]") -> None:
    with suppress(BrokenPipeError):
        _get_pipe(child.stdin).close()
    try:
        child.wait(EXIT_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()


class CrawlMonitor:
    """Reads the pages that are stored after its creation."""

    def __init__(self, store: PageStore, section_url: str) -> None:
        self._store, self._section_url = store, section_url
        self._last_number = store.get_last_number()
        self._outcomes: Counter[str] = Counter()
        self._readings: dict[Code, Reading] = {}
        self._empty = 0  # pages in a row
        self._has_no_text_yet = store.count_described() == 0

    @property
    def status(self) -> str:
        """'9,812 described, 1,020 unknown code, 3 no text'."""
        return ", ".join(f"{number:,} {outcome}" for outcome, number in self._outcomes.most_common())

    def check(self) -> str | None:
        """Read new pages. Return the reason to stop, if there is one; pages after it are left to `finish`."""
        reason = None
        for number, code in self._store.list_unread(after=self._last_number):
            if (page := self._store.get_page(code)) is None:
                continue
            self._readings[code] = reading = page.read(code, self._section_url)
            self._last_number = number
            self._count(reading)
            if reason := self._find_stop_reason():
                break
        if len(self._readings) >= BATCH:
            self._store_readings()
        return reason

    def _store_readings(self) -> None:
        self._store.put_readings(self._readings)
        self._readings = {}

    def finish(self) -> None:
        """Store the readings."""
        self._store_readings()

    def _find_stop_reason(self) -> str | None:
        if self._has_no_text_yet and self._outcomes.total() >= FIRST_PAGES:
            return (
                f"none of its first {FIRST_PAGES} pages has a text; the layout may have changed, or ICD-10-GM has no "
                "such codes"
            )
        if self._empty >= EMPTY_RUN:
            return (
                f"the last {EMPTY_RUN} pages have an article without a text, so their layout may have changed; if "
                "these codes have no text, the same command continues after them"
            )
        return None

    def _count(self, reading: Reading) -> None:
        self._outcomes[reading.outcome] += 1
        self._has_no_text_yet = self._has_no_text_yet and reading.outcome != "described"
        self._empty = self._empty + 1 if reading.outcome == "no text" and reading.has_article else 0
