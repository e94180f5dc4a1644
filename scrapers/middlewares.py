"""Manners that Scrapy leaves to its user: wait before a repetition, keep the robots.txt's pace, ask no address twice.

`BackOff` takes the place of Scrapy's RetryMiddleware, which repeats a failed request at once. With one request under
way at a time, waiting in it holds up the whole crawl, which is what a server in trouble needs.
"""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Request, Response
from scrapy.robotstxt import RobotParser
from scrapy.utils.misc import load_object

from scrapers.page_store import Cache
from scrapers.site import ROBOT

PATIENCE = 300.0  # seconds; who asks for more is not asked again in this crawl
HELD = "held"  # flag of an answer that comes from the cache
FORBID_ALL = b"User-agent: *\nDisallow: /"


def pause_asked(response: Response) -> float:
    """Seconds until the server wants to be asked again (Retry-After, as seconds or as a date); 0 where it says none."""
    value = (response.headers.get("Retry-After") or b"").decode("ascii", "replace").strip()
    if value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


class Middleware:
    """What Scrapy makes from a crawler, and that knows it."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)


class BackOff(Middleware):
    """Repeats after 429, 5xx and broken connections, each time twice as late or as late as Retry-After says."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.statuses = {int(status) for status in crawler.settings.getlist("RETRY_HTTP_CODES")}
        self.broken = tuple(load_object(kind) for kind in crawler.settings.getlist("RETRY_EXCEPTIONS"))
        self.first = crawler.settings.getfloat("BACK_OFF")  # seconds
        self.answered = False  # a host that has never answered is a wrong address rather than in trouble

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        self.answered = True
        if response.status in self.statuses and (pause := pause_asked(response)) <= PATIENCE:
            again = await self._again(request, f"status {response.status}", pause)
            if again is not None:
                return again
        # sent without its length, over a connection that was then closed: this may be all of it or not
        if "partial" in response.flags and b"</html" not in response.body.lower():
            again = await self._again(request, "the answer broke off", 0.0)
            if again is not None:
                return again
        if response.status >= 500 and urlsplit(request.url).path == "/robots.txt":
            return response.replace(body=FORBID_ALL)  # RFC 9309, 2.3.1.4: rules that cannot be had forbid everything
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if self.answered and isinstance(exception, self.broken):
            return await self._again(request, exception, 0.0)
        return None

    async def _again(self, request: Request, reason: str | Exception, pause: float) -> Request | None:
        """The request once more, when it is time for it; None after `RETRY_TIMES` repetitions."""
        assert self.crawler.spider is not None
        again = get_retry_request(request, spider=self.crawler.spider, reason=reason)
        if again is not None:
            await asyncio.sleep(max(pause, self.first * 2 ** (again.meta["retry_times"] - 1)))
        return again


class AskOnce(Middleware):
    """Answers from the cache where the address has been asked before: two codes may be redirected to one page."""

    def process_request(self, request: Request) -> Response | None:
        pages: Cache = self.crawler.spider.pages  # type: ignore[union-attr]  # PageSpider has them
        held = pages.held(request.url)
        if held is None:
            return None
        return Response(request.url, held.status, body=held.body, flags=[HELD], request=request)


class StoreFirst(Middleware):
    """Stores an answer while its request still counts as under way, so that none goes out before: a kill loses one."""

    def process_response(self, request: Request, response: Response) -> Response:
        if request.cb_kwargs:  # robots.txt has none
            self.crawler.spider.store(response, **request.cb_kwargs)  # type: ignore[union-attr]  # PageSpider's
        return response


class RobotsDelay(Middleware):
    """Keeps the Crawl-delay of robots.txt, which Scrapy reads and does not apply."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self.robots_parsed, signal=signals.robots_parsed)

    def robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        delay = robotparser.crawl_delay(ROBOT) or 0.0
        downloader = self.crawler.engine.downloader
        host = downloader.get_slot_key(request)
        if delay <= downloader.settings.getfloat("DOWNLOAD_DELAY"):
            return
        downloader.per_slot_settings[host] = {"delay": delay}  # Scrapy drops the slot of a host that was idle
        if host in downloader.slots:
            downloader.slots[host].delay = max(delay, downloader.slots[host].delay)
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = max(delay, throttle.mindelay)
