"""The crawl itself: a Scrapy spider that lays each page into the cache as it comes.

Run by `scrapers.crawl_process`, not by hand: stdin brings a `Job` on one line and stays open as long as somebody waits;
stdout gets {"stopped": null}, or the reason for which the crawl gave up.
"""

import json
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urldefrag

from scrapy import Spider, signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import (
    CannotResolveHostError,
    CloseSpider,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import HtmlResponse, Request, Response
from twisted.python.failure import Failure as TwistedFailure

from deepicd.icd10cm import Code
from scrapers import page_store
from scrapers.crawl_process import Job
from scrapers.middlewares import HELD, PATIENCE, pause_asked
from scrapers.page_store import Cache, Failure, Page
from scrapers.site import MADE_UP, ROBOT, place

AHEAD = 100
"""Requests that lie in memory at once: not all of them, and not one, for which Scrapy would wait a turn each time."""
GIVE_UP_AFTER = 5
"""Pages in a row that could not be had, whatever was tried: then the host counts as gone."""

REPEATED = [408, 429, 500, 502, 503, 504, 522, 524]
NOT_AN_ANSWER = {*REPEATED, 401, 403}  # the last two refuse the crawler, not the page

REASONS: dict[type[Exception], str] = {
    CannotResolveHostError: "its name is not known (DNS)",
    DownloadConnectionRefusedError: "connection refused",
    DownloadTimeoutError: "no answer in time",
    ResponseDataLossError: "the answer broke off",
}

IGNORED = {
    "robots.txt": page_store.FORBIDDEN,
    "redirections": "it leads round in a circle",
}  # a word of Scrapy's message


def settings(job: Job) -> dict[str, Any]:
    """One request at a time, robots.txt obeyed, certificates checked, no cookies, nothing followed to another host."""
    return {
        "USER_AGENT": job.user_agent,
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": ROBOT,
        "CONCURRENT_REQUESTS": 1,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "CONCURRENT_ITEMS": 1,  # Scrapy starts so many tasks for each page, whether or not anything comes of it
        "DOWNLOAD_DELAY": job.pace.delay,
        "DOWNLOAD_DELAY_JITTER": 0,  # it would undercut the delay that robots.txt asks for
        "AUTOTHROTTLE_ENABLED": job.is_public,
        "AUTOTHROTTLE_START_DELAY": job.pace.delay,
        "DOWNLOAD_TIMEOUT": job.pace.timeout,
        "DOWNLOAD_MAXSIZE": 8 * 2**20,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "RETRY_TIMES": 4,
        "RETRY_HTTP_CODES": REPEATED,
        "BACK_OFF": job.pace.back_off,
        "DOWNLOADER_MIDDLEWARES": {
            "scrapers.middlewares.StoreFirst": 1,  # after all others
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "scrapers.middlewares.BackOff": 550,
            "scrapers.middlewares.AskOnce": 560,  # after robots.txt
        },
        "EXTENSIONS": {"scrapers.middlewares.RobotsDelay": 0},
        "HTTPERROR_ALLOW_ALL": True,  # an error page is an outcome
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",  # two codes may lead to one page; see AskOnce
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": job.is_public,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,  # else each crawl opens a port
        "LOG_LEVEL": "INFO",
    }


class PageSpider(Spider):
    """Asks for each pending page once. `stopped` says why it gave up, None while it has not."""

    name = "pages"

    def __init__(self, job: Job, pages: Cache) -> None:
        super().__init__(allowed_domains=[job.host])
        self.job, self.pages = job, pages
        self.stopped: str | None = None
        self.misses = 0  # in a row
        self.room = job.room
        self.known = {asked for asked, _ in job.pending}
        if job.follow:
            self.known |= pages.found() | {str(code) for code in pages.codes()}

    async def start(self) -> AsyncIterator[Request]:
        for number, (asked, url) in enumerate(self.job.pending):
            if number % AHEAD == 0 and self.crawler.engine.needs_backout():
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            yield self._request(asked, url)

    def _request(self, asked: str, url: str) -> Request:
        return Request(url, callback=self.follow, errback=self.miss, cb_kwargs={"asked": asked, "links": {}})

    def follow(self, response: Response, asked: str, links: dict[str, str]) -> list[Request]:
        """The requests for what an answer links to, where links are followed."""
        if not is_page(response):
            impatient = response.status == 429 or pause_asked(response) > PATIENCE
            self._failed(asked, response.url, response.status, f"HTTP status {response.status}", at_once=impatient)
        return [self._request(place, url) for place, url in links.items()]

    def store(self, response: Response, asked: str, links: dict[str, str]) -> None:
        """Put an answer into the cache if it is a page, and what it links to also into `links`."""
        if not is_page(response):
            return
        self.misses = 0
        page = self.pages.held(response.url) if HELD in response.flags else None
        page = page or Page(
            url=response.url,
            status=response.status,
            fetched_at=_date(response),
            encoding=getattr(response, "encoding", "utf-8"),
            made_up=MADE_UP in response.headers,
            body=response.body,
        )
        if self.job.follow:
            links.update(self._links(response))
        with self._storing():
            self.pages.put(asked, page, found=links)
        self.known.update(links)

    def _links(self, response: Response) -> dict[str, str]:
        """What a page links to in the section of the site and nobody asked for yet, with its address."""
        found: dict[str, str] = {}
        if not isinstance(response, HtmlResponse):
            return found
        for href in response.css("a::attr(href)").getall():
            try:
                url = urldefrag(response.urljoin(href)).url
            except ValueError:  # 'http://[' and the like
                continue
            asked = place(url, self.job.section)
            if asked is None or asked in self.known or asked in found:
                continue
            if Code.find(asked) is not None and self.room is not None:
                if self.room == 0:
                    continue
                self.room -= 1
            found[asked] = url
        return found

    def miss(self, failure: TwistedFailure) -> None:
        if self.stopped:  # by what StoreFirst met, where Scrapy heeds no CloseSpider
            raise CloseSpider(self.stopped)
        request: Request = failure.request  # type: ignore[attr-defined]  # Scrapy puts it there
        asked, error = request.cb_kwargs["asked"], failure.value
        if isinstance(error, IgnoreRequest):
            reasons = (reason for word, reason in IGNORED.items() if word in str(error))
            reason = next(reasons, "it leads to another host")
            with self._storing():
                self.pages.fail(asked, Failure(request.url, 0, reason))
        else:
            self._failed(asked, request.url, 0, _reason(error))

    def _failed(self, asked: str, url: str, status: int, reason: str, at_once: bool = False) -> None:
        with self._storing():
            self.pages.fail(asked, Failure(url, status, reason))
        self.misses += 1
        if at_once or self.misses >= GIVE_UP_AFTER:
            self._stop(reason)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:  # the disk is full, mostly: to go on asking would be for nothing
            self._stop(f"a page could not be stored ({error})")

    def _stop(self, reason: str) -> NoReturn:
        self.stopped = reason
        raise CloseSpider(reason)


def is_page(response: Response) -> bool:
    """Whether the answer is one to keep; else the page is asked for again another day."""
    return response.status < 500 and response.status not in NOT_AN_ANSWER


def _reason(error: BaseException | None) -> str:
    """What went wrong, in words where we have some."""
    if "certificate verify failed" in str(error):  # wrapped twice, once by OpenSSL's own class
        return "its certificate cannot be trusted"
    return next((reason for kind, reason in REASONS.items() if isinstance(error, kind)), str(error))


def _date(response: Response) -> str:
    """When the server answered by its own clock, in ISO 8601; by ours where it does not say."""
    return _in_utc(response.headers.get("Date") or b"") or datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)  # the answers of a second share their date
def _in_utc(date: bytes) -> str | None:
    try:
        read = parsedate_to_datetime(date.decode("ascii"))
    except ValueError:
        return None
    return (read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _leave_when_nobody_waits() -> None:
    """End this process when its stdin closes. The cache is whole at any moment, so there is nothing to wind up."""
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read(), whose lock would hang the end of the interpreter
    os._exit(1)


def main() -> None:
    job = Job.from_json(sys.stdin.readline())
    threading.Thread(target=_leave_when_nobody_waits, daemon=True).start()
    with page_store.opened(Path(job.cache)) as pages:
        process = AsyncCrawlerProcess(settings(job))
        crawler = process.create_crawler(PageSpider)
        process.crawl(crawler, job=job, pages=pages)
        process.start()
    if not isinstance(crawler.spider, PageSpider):
        sys.exit(1)  # it never opened; the log says why
    print(json.dumps({"stopped": crawler.spider.stopped}), flush=True)


if __name__ == "__main__":
    main()
