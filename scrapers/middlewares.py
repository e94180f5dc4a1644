"""What Scrapy leaves to its user: robots.txt by RFC 9309, redirects that end, waits before retries, immediate storage.

`BackOffMiddleware` replaces Scrapy's RetryMiddleware, which retries at once. Only one request is under way at a time,
so its wait holds up the whole crawl, which is what an overloaded server needs.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urldefrag, urlsplit

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.redirect import BaseRedirectMiddleware, MetaRefreshMiddleware, RedirectMiddleware
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Request, Response
from scrapy.robotstxt import ProtegoRobotParser, RobotParser
from scrapy.utils.misc import load_object

from deepicd.http import RetryPolicy, parse_retry_after
from scrapers.page_store import PageStore
from scrapers.site import ROBOT_NAME

LONGEST_WAIT = RetryPolicy().longest_wait  # seconds; a server that asks for more is not asked again in this crawl
FROM_STORE = "from store"  # flag of an answer that was not requested
WITNESS = "witness"  # in the meta of a request that checks whether the site still gives a page it gave before
ROBOTS_REQUEST = "dont_obey_robotstxt"  # in the meta of Scrapy's own request for robots.txt

REASONS: dict[type[Exception], str] = {
    CannotResolveHostError: "its name is not known (DNS)",
    DownloadConnectionRefusedError: "connection refused",
    DownloadTimeoutError: "no answer in time",
    ResponseDataLossError: "the answer broke off",
}


class DroppedRequestError(IgnoreRequest):
    """A request that gets no page, and why. `status` is that of its last answer, 0 if there was none."""

    def __init__(self, reason: str, status: int = 0, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status
        self.is_final = is_final
        """Whether the reason holds for every other page of the site, too."""


def describe_error(error: BaseException | None) -> str:
    """Return why there is no answer, in a few words."""
    if isinstance(error, DroppedRequestError):
        return error.reason
    if "certificate verify failed" in str(error):  # wrapped twice, once in OpenSSL's own class
        return "its certificate cannot be trusted"
    kinds = (reason for kind, reason in REASONS.items() if isinstance(error, kind))
    return next(kinds, str(error).strip() or type(error).__name__)


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
        if WITNESS in request.meta:
            return None
        store: PageStore = self.crawler.spider.pages  # type: ignore[union-attr]  # PageSpider's
        page = store.get_page_at(request.url)
        if page is None:
            return None
        return Response(request.url, page.status, body=page.body, flags=[FROM_STORE], request=request)


class StoreMiddleware(Middleware):
    """Stores an answer before the next request leaves, so that a kill loses at most one page."""

    def process_response(self, request: Request, response: Response) -> Response:
        if request.cb_kwargs:  # robots.txt and a witness have none
            self.crawler.spider.store_page(response, **request.cb_kwargs)  # type: ignore[union-attr]  # PageSpider's
        return response


class RobotsMiddleware(RobotsTxtMiddleware):
    """Obeys robots.txt as RFC 9309 says: without an answer nothing is allowed, and 4xx means that there are no rules.

    Scrapy's own middleware allows everything where robots.txt cannot be fetched.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.unreachable: dict[str, str] = {}  # host and port → why its robots.txt cannot be fetched

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if 400 <= response.status < 500 and response.status != 429:
            response = response.replace(body=b"")  # RFC 9309, 2.3.1.3
        elif response.status != 200:
            self.unreachable[netloc] = f"HTTP status {response.status}"  # 2.3.1.4
        await super()._parse_robots(response, netloc, request)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self.unreachable[netloc] = describe_error(exc)
        super()._robots_error(exc, netloc)

    def process_request_2(self, rp: RobotParser | None, request: Request) -> None:
        """Drop a request that robots.txt forbids, does not allow at this hour, or may forbid."""
        if reason := self.unreachable.get(urlsplit(request.url).netloc):
            raise DroppedRequestError(
                f"its robots.txt cannot be fetched ({reason}), so no page may be requested", is_final=True
            )
        super().process_request_2(rp, request)
        rules = getattr(rp, "rp", None)  # Protego's
        hours = rules.visit_time(ROBOT_NAME) if rules else None
        if hours and not _is_within(datetime.now(UTC).strftime("%H%M"), hours.start_time, hours.end_time):
            raise DroppedRequestError(
                f"its robots.txt allows visits from {hours.start_time:%H:%M} to {hours.end_time:%H:%M} UTC only",
                is_final=True,
            )


class CircleMiddleware(BaseRedirectMiddleware):
    """Ends a chain of redirects that comes back to itself or leaves the host, and says so."""

    def _redirect(self, redirected: Request, request: Request, reason: Any) -> Request:
        status = reason if isinstance(reason, int) else 200
        target = urlsplit(redirected.url)
        if ROBOTS_REQUEST in request.meta:
            redirected.meta["allow_offsite"] = True  # RFC 9309, 2.3.1.2: even across hosts
        elif target.hostname != urlsplit(request.url).hostname:
            raise DroppedRequestError(f"it redirects to another host ({target.hostname})", status)
        visited = {urldefrag(url).url for url in (*request.meta.get("redirect_urls", []), request.url)}
        if urldefrag(redirected.url).url in visited:
            cookie = " and sets a cookie" if request.meta.get("sets_cookie") else ""
            circle = "to itself" if len(visited) == 1 else "in a circle"
            raise DroppedRequestError(f"it redirects {circle}{cookie}", status)
        try:
            return super()._redirect(redirected, request, reason)
        except IgnoreRequest as error:
            raise DroppedRequestError(f"it redirects more than {self.max_redirect_times} times", status) from error


class PageRedirectMiddleware(CircleMiddleware, RedirectMiddleware):
    """Follows redirects by status."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        if "Set-Cookie" in response.headers:
            request.meta["sets_cookie"] = True
        return super().process_response(request, response)


class PageRefreshMiddleware(CircleMiddleware, MetaRefreshMiddleware):
    """Follows redirects by `<meta http-equiv="refresh">`; a page that only reloads itself is the answer."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        try:
            return super().process_response(request, response)
        except DroppedRequestError:
            return response


def _is_within(now: str, start: Any, end: Any) -> bool:
    """Return whether a time, as HHMM, lies within hours that may pass midnight."""
    first, last = f"{start:%H%M}", f"{end:%H%M}"
    return first <= now <= last if first <= last else now >= first or now <= last


class CrawlDelayExtension(Middleware):
    """Keeps the Crawl-delay and Request-rate of robots.txt, which Scrapy reads but does not apply."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self.apply_crawl_delay, signal=signals.robots_parsed)

    def apply_crawl_delay(self, robotparser: ProtegoRobotParser, request: Request) -> None:
        delay = robotparser.crawl_delay(ROBOT_NAME) or 0.0
        if rate := robotparser.rp.request_rate(ROBOT_NAME):
            delay = max(delay, rate.seconds / rate.requests)
        downloader = self.crawler.engine.downloader
        host = downloader.get_slot_key(request)
        if delay <= downloader.settings.getfloat("DOWNLOAD_DELAY"):
            return
        downloader.per_slot_settings[host] = {"delay": delay}  # Scrapy drops the slot of a host that was idle
        if host in downloader.slots:
            downloader.slots[host].delay = max(delay, downloader.slots[host].delay)
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = max(delay, throttle.mindelay)
