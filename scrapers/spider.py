"""The Scrapy spider, which stores each page as it comes.

Started by `scrapers.monitor`, not by hand: stdin brings a `CrawlJob` on one line and stays open as long as the parent
waits; stdout gets {"stopped": null}, or the reason for which the crawl gave up.
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
from typing import Any, NoReturn, Self
from urllib.parse import urldefrag, urljoin, urlsplit

from scrapy import Spider, signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.exceptions import (
    CloseSpider,
    DontCloseSpider,
    IgnoreRequest,
)
from scrapy.http import HtmlResponse, Request, Response
from twisted.python.failure import Failure

from deepicd.http import TRANSIENT_STATUSES
from deepicd.icd10cm import Code
from scrapers.crawl_plan import CrawlJob
from scrapers.crawl_settings import build_settings
from scrapers.middlewares import (
    FROM_STORE,
    LONGEST_WAIT,
    WITNESS,
    DroppedRequestError,
    describe_error,
    read_wait,
)
from scrapers.page_store import FORBIDDEN, FetchFailure, Page, PageStore, open_store
from scrapers.site import MADE_UP_HEADER, is_in_section, parse_target

REQUESTS_AHEAD = 100
"""Requests in memory at once: not all of them, but more than one, for which Scrapy would wait a turn each time."""
OK = 200
GIVE_UP_AFTER = 5
"""Pages in a row that could not be fetched after all retries: then the host counts as down."""

REFUSALS = {401, 403}  # they refuse the crawler, not the page

DOUBTFUL_RUN = 20
"""Answers in a row without a page of a code: then a page that had a text is requested again."""
LONGEST_RUN = 160
"""Each time that page still has its text the next run may be twice as long, at most this."""
DOUBTFUL = {"unknown code", "not an ICD page"}


class PageSpider(Spider):
    """Requests each pending page once. `stop_reason` says why it gave up, None while it has not."""

    name = "pages"

    def __init__(self, job: CrawlJob, pages: PageStore) -> None:
        super().__init__(allowed_domains=[job.host])
        self.job, self.pages = job, pages
        self.stop_reason: str | None = None
        self.failures_in_a_row = 0
        self.doubtful: dict[Code, str] = {}  # answers in a row without a page of a code → their outcome
        self.longest_run = DOUBTFUL_RUN
        self.witness: Code | None = next(iter(pages.list_read("described")), None)
        self.is_witness_pending = False
        self.room = job.room
        self.known_targets = {target for target, _ in job.pending}
        if job.follow:
            self.known_targets |= pages.list_links() | {str(code) for code in pages.list_codes()}

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Scrapy's entry point."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.check_last_answers, signal=signals.spider_idle)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        """Yield the requests, a few at a time."""
        for number, (target, url) in enumerate(self.job.pending):
            if number % REQUESTS_AHEAD == 0 and self.crawler.engine.needs_backout():
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            yield self._request(target, url)

    def _request(self, target: str, url: str) -> Request:
        return Request(
            url, callback=self.follow_links, errback=self.handle_failure, cb_kwargs={"target": target, "links": {}}
        )

    def follow_links(self, response: Response, target: str, links: dict[str, str]) -> list[Request]:
        """Return the requests for the links that `store_page` collected; record an answer that is not to be kept."""
        if not is_final_answer(response):
            stop_now = response.status == 429 or read_wait(response) > LONGEST_WAIT
            self._record_failure(
                target, FetchFailure(response.url, response.status, f"HTTP status {response.status}"), stop_now=stop_now
            )
        return [*(self._request(link, url) for link, url in links.items()), *self._check_doubtful()]

    def store_page(self, response: Response, target: str, links: dict[str, str]) -> None:
        """Store an answer if it is to be kept, and collect in `links` what it links to."""
        if self.stop_reason or not is_final_answer(response):
            return
        self.failures_in_a_row = 0
        page = self.pages.get_page_at(response.url) if FROM_STORE in response.flags else None
        page = page or _build_page(response)
        if self.job.follow:
            links.update(self._find_links(response))
        code = Code.find(target)
        if code is None and not is_in_section(page.url, self.job.section_url):  # a list of codes
            self._record_failure(target, FetchFailure(page.url, page.status, f"it leads to {_get_path(page.url)}"))
            return
        if code is None and page.status == OK and not self._lists_pages(response):  # a consent form in place of a list
            with self._stop_on_storage_error():
                self.pages.put_failure(target, FetchFailure(page.url, page.status, "it lists no codes"))
            return
        with self._stop_on_storage_error():
            self.pages.put_page(target, page, links=links)
        self.known_targets.update(links)
        if code is not None:
            self._judge(code, page)

    def _judge(self, code: Code, page: Page) -> None:
        """Count an answer that is no page of a code; any page of a code ends the run of them."""
        outcome = page.read(code, self.job.section_url).outcome
        if outcome in DOUBTFUL:
            self.doubtful[code] = outcome
            return
        self.doubtful.clear()
        if outcome == "described":
            self.witness, self.longest_run = code, DOUBTFUL_RUN

    def _check_doubtful(self) -> list[Request]:
        """Return the request for the witness once too many answers in a row are no page of a code.

        Stops the crawl if there is none: a site whose pages have no sign of ICD codes from the start is another site.
        """
        if self.is_witness_pending or len(self.doubtful) < self.longest_run:
            return []
        if self.witness is not None:
            return [self._request_witness(self.witness)]
        foreign = sum(outcome != "unknown code" for outcome in self.doubtful.values())
        if foreign >= DOUBTFUL_RUN:
            self._forget_doubtful("and no page of this site has had a text yet")
        return []

    def check_last_answers(self) -> None:
        """Before the crawl ends, request the witness if the last answers are no ICD pages."""
        if self.stop_reason or self.is_witness_pending or self.witness is None:
            return
        if "not an ICD page" in self.doubtful.values():
            self.crawler.engine.crawl(self._request_witness(self.witness))
            raise DontCloseSpider

    def _request_witness(self, code: Code) -> Request:
        self.is_witness_pending = True
        page = self.pages.get_page(code)
        url = page.url if page and is_in_section(page.url, self.job.section_url) else ""
        path = urlsplit(url or self.job.section_url).path
        return Request(
            urljoin(self.job.section_url, path),  # a stored address may name a port of another day
            callback=self.check_witness,
            errback=self.handle_witness_failure,
            meta={WITNESS: code},
            priority=1_000,
        )

    def check_witness(self, response: Response) -> None:
        """Go on if the witness still has its text; otherwise forget the answers since the last page of a code."""
        code: Code = response.meta[WITNESS]
        outcome = _build_page(response).read(code, self.job.section_url).outcome
        if outcome != "described":
            where = f"HTTP status {response.status} from {_get_path(response.url)}"
            self._forget_doubtful(f"and the page of {code}, which had a text, now is none ({where})")
        self.is_witness_pending, self.failures_in_a_row = False, 0
        self.longest_run = min(2 * self.longest_run, LONGEST_RUN)
        self.doubtful.clear()

    def handle_witness_failure(self, failure: Failure) -> None:
        """Stop if the witness cannot be fetched."""
        code: Code = failure.request.meta[WITNESS]  # type: ignore[attr-defined]  # set by Scrapy
        reason = describe_error(failure.value)
        self._forget_doubtful(f"and the page of {code}, which had a text, cannot be fetched now ({reason})")

    def _forget_doubtful(self, reason: str) -> NoReturn:
        number, last = len(self.doubtful), list(self.doubtful)[-1]
        page = self.pages.get_page(last)
        where = f" (the last one is {_get_path(page.url)})" if page else ""
        with self._stop_on_storage_error():
            self.pages.forget_pages(self.doubtful)
        self._stop(f"its last {number} answers are not pages of codes{where}, {reason}; they are not kept")

    def _lists_pages(self, response: Response) -> bool:
        """Return whether a page links to a code or a list besides the section itself, which the site's menu names."""
        return any(target.strip("/") for target, _ in self._list_targets(response))

    def _find_links(self, response: Response) -> dict[str, str]:
        """Return the targets in the site's section that a page links to and nobody has requested yet → address."""
        links: dict[str, str] = {}
        for target, url in self._list_targets(response):
            if target in self.known_targets or target in links:
                continue
            if Code.find(target) is not None and self.room is not None:
                if self.room == 0:
                    continue
                self.room -= 1
            links[target] = url
        return links

    def _list_targets(self, response: Response) -> Iterator[tuple[str, str]]:
        """Yield target and address of each link of a page into the section."""
        if not isinstance(response, HtmlResponse):
            return
        for href in response.css("a::attr(href)").getall():
            try:
                url = urldefrag(response.urljoin(href)).url
            except ValueError:  # 'http://[' and the like
                continue
            if (target := parse_target(url, self.job.section_url)) is not None:
                yield target, url

    def handle_failure(self, failure: Failure) -> None:
        """Record why a request has no answer."""
        if self.stop_reason:  # in `store_page`, where Scrapy ignores CloseSpider
            raise CloseSpider(self.stop_reason)
        request: Request = failure.request  # type: ignore[attr-defined]  # set by Scrapy
        target, error = request.cb_kwargs["target"], failure.value
        if isinstance(error, DroppedRequestError):
            dropped = FetchFailure(request.url, error.status, error.reason)
            self._record_failure(target, dropped, stop_now=error.is_final)
        elif isinstance(error, IgnoreRequest) and "robots.txt" in str(error):
            with self._stop_on_storage_error():
                self.pages.put_failure(target, FetchFailure(request.url, 0, FORBIDDEN))
        else:
            self._record_failure(target, FetchFailure(request.url, 0, describe_error(error)))

    def _record_failure(self, target: str, failure: FetchFailure, *, stop_now: bool = False) -> None:
        with self._stop_on_storage_error():
            self.pages.put_failure(target, failure)
        self.failures_in_a_row += 1
        if stop_now or self.failures_in_a_row >= GIVE_UP_AFTER:
            self._stop(failure.reason)

    @contextmanager
    def _stop_on_storage_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:  # usually a full disk: further requests would be wasted
            self._stop(f"a page could not be stored ({error})")

    def _stop(self, reason: str) -> NoReturn:
        self.stop_reason = reason
        raise CloseSpider(reason)


def is_final_answer(response: Response) -> bool:
    """Return whether an answer is to be kept; any other page is requested again by the next run."""
    return response.status < 500 and response.status not in TRANSIENT_STATUSES | REFUSALS


def _build_page(response: Response) -> Page:
    return Page(
        url=response.url,
        status=response.status,
        fetched_at=_read_date(response),
        encoding=getattr(response, "encoding", "utf-8"),
        is_made_up=MADE_UP_HEADER in response.headers,
        body=response.body,
    )


def _get_path(url: str) -> str:
    return urlsplit(url).path or "/"


def _read_date(response: Response) -> str:
    """Return when the server answered, by its own clock or else by ours, in ISO 8601."""
    return _parse_date(response.headers.get("Date") or b"") or datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)  # answers of the same second share their date
def _parse_date(header: bytes) -> str | None:
    try:
        date = parsedate_to_datetime(header.decode("ascii"))
    except ValueError:
        return None
    return (date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _exit_with_parent() -> None:
    """End this process when its stdin closes. The store is consistent at any moment; nothing needs to be closed."""
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read(), whose lock would block the interpreter's exit
    os._exit(1)


def main() -> None:
    """Crawl what the job on stdin asks for."""
    job = CrawlJob.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with open_store(job.store) as pages:
        process = AsyncCrawlerProcess(build_settings(job))
        crawler = process.create_crawler(PageSpider)
        process.crawl(crawler, job=job, pages=pages)
        process.start()
    if not isinstance(crawler.spider, PageSpider):
        sys.exit(1)  # it never opened; the log says why
    sys.stdout.write(json.dumps({"stopped": crawler.spider.stop_reason}) + "\n")


if __name__ == "__main__":
    main()
