"""What Scrapy leaves to its user: wait before a retry, keep the Crawl-delay, request no address twice, store at once.

`BackOffMiddleware` replaces Scrapy's RetryMiddleware, which retries at once. Only one request is under way at a time,
so its wait holds up the whole crawl, which is what an overloaded server needs.
"""

import asyncio
from typing import Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Request, Response
from scrapy.robotstxt import RobotParser
from scrapy.utils.misc import load_object

from deepicd.http import RetryPolicy, parse_retry_after
from scrapers.page_store import PageStore
from scrapers.site import ROBOT_NAME

LONGEST_WAIT = RetryPolicy().longest_wait  # seconds; a server that asks for more is not asked again in this crawl
FROM_STORE = "from store"  # flag of an answer that was not requested
FORBID_ALL = b"User-agent: *\nDisallow: /"


def read_wait(response: Response) -> float:
    """Return the seconds that the server asks to wait; 0 if it does not say."""
    headers = {name.decode("latin-1"): b",".join(values).decode("latin-1") for name, values in response.headers.items()}
    return parse_retry_after(headers) or 0.0


class Middleware:
    """A component that Scrapy creates from a crawler."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's entry point."""
        return cls(crawler)


class BackOffMiddleware(Middleware):
    """Retries after 429, 5xx and broken connections; each wait is twice the last, and no shorter than Retry-After."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.statuses = {int(status) for status in crawler.settings.getlist("RETRY_HTTP_CODES")}
        self.broken = tuple(load_object(kind) for kind in crawler.settings.getlist("RETRY_EXCEPTIONS"))
        self.first_wait = crawler.settings.getfloat("BACK_OFF")  # seconds
        self.has_answered = False  # a host that has never answered is a wrong address rather than an overloaded server

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        self.has_answered = True
        if response.status in self.statuses and (wait := read_wait(response)) <= LONGEST_WAIT:
            retry = await self._retry(request, f"status {response.status}", wait)
            if retry is not None:
                return retry
        # sent without a length over a connection that was then closed: may or may not be complete
        if "partial" in response.flags and b"</html" not in response.body.lower():
            retry = await self._retry(request, "the answer broke off", 0.0)
            if retry is not None:
                return retry
        if response.status >= 500 and urlsplit(request.url).path == "/robots.txt":
            return response.replace(body=FORBID_ALL)  # RFC 9309, 2.3.1.4: unreachable rules forbid everything
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if self.has_answered and isinstance(exception, self.broken):
            return await self._retry(request, exception, 0.0)
        return None

    async def _retry(self, request: Request, reason: str | Exception, wait: float) -> Request | None:
        """Return the request again after the wait; None after `RETRY_TIMES` retries."""
        if (spider := self.crawler.spider) is None:
            return None
        retry = get_retry_request(request, spider=spider, reason=reason)
        if retry is not None:
            await asyncio.sleep(max(wait, self.first_wait * 2 ** (retry.meta["retry_times"] - 1)))
        return retry


class StoredPageMiddleware(Middleware):
    """Answers from the store if the address has answered before: two codes may be redirected to the same page."""

    def process_request(self, request: Request) -> Response | None:
        store: PageStore = self.crawler.spider.pages  # type: ignore[union-attr]  # PageSpider's
        page = store.get_page_at(request.url)
        if page is None:
            return None
        return Response(request.url, page.status, body=page.body, flags=[FROM_STORE], request=request)


class StoreMiddleware(Middleware):
    """Stores an answer before the next request leaves, so that a kill loses at most one page."""

    def process_response(self, request: Request, response: Response) -> Response:
        if request.cb_kwargs:  # robots.txt has none
            self.crawler.spider.store_page(response, **request.cb_kwargs)  # type: ignore[union-attr]  # PageSpider's
        return response


class CrawlDelayExtension(Middleware):
    """Keeps the Crawl-delay of robots.txt, which Scrapy reads but does not apply."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self.apply_crawl_delay, signal=signals.robots_parsed)

    def apply_crawl_delay(self, robotparser: RobotParser, request: Request) -> None:
        delay = robotparser.crawl_delay(ROBOT_NAME) or 0.0
        downloader = self.crawler.engine.downloader
        host = downloader.get_slot_key(request)
        if delay <= downloader.settings.getfloat("DOWNLOAD_DELAY"):
            return
        downloader.per_slot_settings[host] = {"delay": delay}  # Scrapy drops the slot of a host that was idle
        if host in downloader.slots:
            downloader.slots[host].delay = max(delay, downloader.slots[host].delay)
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = max(delay, throttle.mindelay)
