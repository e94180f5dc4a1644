"""Scrapy's settings for a crawl: slow, by robots.txt, and with our own middlewares where Scrapy's would not do."""

from typing import Any

from deepicd.http import TRANSIENT_STATUSES
from scrapers.crawl_plan import CrawlJob
from scrapers.site import ROBOT_NAME

REDIRECTS = 5
"""The most redirects in a row."""

UNUSED_EXTENSIONS = [
    f"scrapy.extensions.{name}"
    for name in (
        *("telnet.TelnetConsole", "remote_control.RemoteControl"),  # they open ports
        *("memdebug.MemoryDebugger", "feedexport.FeedExporter", "spiderstate.SpiderState"),
    )
]
"""They are not even loaded, which takes longer than a page."""


def build_settings(job: CrawlJob) -> dict[str, Any]:
    """Return Scrapy's settings: one request at a time, robots.txt, checked certificates, no cookies, no other host."""
    return {
        "USER_AGENT": job.user_agent,
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": ROBOT_NAME,
        "CONCURRENT_REQUESTS": 1,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "CONCURRENT_ITEMS": 1,  # Scrapy starts so many tasks for each page, even if it yields no item
        "DOWNLOAD_DELAY": job.pace.delay,
        "DOWNLOAD_DELAY_JITTER": 0,  # it would undercut the delay that robots.txt asks for
        "AUTOTHROTTLE_ENABLED": job.is_public,
        "AUTOTHROTTLE_START_DELAY": job.pace.delay,
        "DOWNLOAD_TIMEOUT": job.pace.timeout,
        "DOWNLOAD_MAXSIZE": 8 * 2**20,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "REDIRECT_MAX_TIMES": REDIRECTS,
        "RETRY_TIMES": 4,
        "RETRY_HTTP_CODES": sorted(TRANSIENT_STATUSES),
        "BACK_OFF": job.pace.back_off,
        "DOWNLOADER_MIDDLEWARES": {
            "scrapers.middlewares.StoreMiddleware": 1,  # after all others
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "scrapers.middlewares.RobotsMiddleware": 100,
            "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
            "scrapers.middlewares.PageRefreshMiddleware": 580,
            "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
            "scrapers.middlewares.PageRedirectMiddleware": 600,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "scrapers.middlewares.BackOffMiddleware": 550,
            "scrapers.middlewares.StoredPageMiddleware": 560,  # after robots.txt
        },
        "EXTENSIONS": {"scrapers.middlewares.CrawlDelayExtension": 0, **dict.fromkeys(UNUSED_EXTENSIONS)},
        "DOWNLOAD_HANDLERS": dict.fromkeys(("data", "file", "ftp", "s3")),  # pages come by HTTP alone
        "HTTPERROR_ALLOW_ALL": True,  # an error page is an outcome
        # two codes may lead to one page, which StoredPageMiddleware answers
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": job.is_public,
        "LOG_LEVEL": "INFO",
    }
