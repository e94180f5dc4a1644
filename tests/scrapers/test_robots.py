"""robots.txt as RFC 9309 reads it: what may be crawled where it is missing, refused, late, broken or elsewhere."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import time

import pytest

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl
from scrapers.middlewares import _is_within
from scrapers.sample.site import PLAIN, Answer, answer_path, serve
from scrapers.site import Pace

CODES = [Code("K20"), Code("K21")]
QUICK = Pace(delay=0.0, back_off=0.01, timeout=20.0)
FORBIDDING = Answer(200, "User-agent: *\nDisallow: /\n", PLAIN)


def with_robots(robots: Answer) -> Callable[[str], Answer]:
    return lambda path: robots if path == "/robots.txt" else answer_path(path)


@pytest.mark.parametrize(
    ("robots", "reason"),
    [
        (Answer(500, ""), "HTTP status 500"),
        (Answer(503, ""), "HTTP status 503"),
        (Answer(429, ""), "HTTP status 429"),
        (Answer(200, "User-agent: *\n" * 9, PLAIN, share=0.5), "the answer broke off"),
        (Answer(200, "", PLAIN, wait=1.5), "no answer in time"),
        (Answer(302, "", {"Location": "http://127.0.0.3:9/robots.txt"}), "connection refused"),
        (Answer(302, "", {"Location": "/robots.txt"}), "it redirects to itself"),
    ],
    ids=["500", "503", "429 for ever", "broken off", "late", "at a dead host", "a circle"],
)
def test_without_robots_txt_no_page_is_requested(tmp_path, robots, reason):
    message = re.escape(f"its robots.txt cannot be fetched ({reason}), so no page may be requested")
    with serve(with_robots(robots)) as site, pytest.raises(DeepicdError, match=message):
        pace = replace(QUICK, timeout=0.5) if robots.wait else QUICK
        crawl.scrape(CODES, tmp_path / "out", base_url=site.url, pace=pace)
    assert site.pages == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_robots_txt_that_is_not_there_or_refused_has_no_rules_whatever_its_body_says(tmp_path, status):
    with serve(with_robots(Answer(status, FORBIDDING.body, PLAIN))) as site:
        crawl.scrape(CODES, tmp_path, base_url=site.url)
    assert len(site.pages) == 2


def test_a_robots_txt_that_asks_to_wait_is_asked_again(tmp_path):
    answers = [Answer(429, "", {"Retry-After": "1"}), FORBIDDING]
    with (
        serve(lambda path: answers.pop(0) if path == "/robots.txt" else answer_path(path)) as site,
        pytest.raises(DeepicdError, match=r"robots\.txt of 127\.0\.0\.1 forbids"),
    ):
        crawl.scrape(CODES, tmp_path, base_url=site.url)
    assert site.paths == ["/robots.txt", "/robots.txt"]


def test_a_robots_txt_at_another_host_counts(tmp_path):
    with serve(lambda path: FORBIDDING) as other:
        elsewhere = Answer(301, "", {"Location": other.url.replace("127.0.0.1", "localhost") + "/robots.txt"})
        with serve(with_robots(elsewhere)) as site, pytest.raises(DeepicdError, match=r"robots\.txt of .* forbids"):
            crawl.scrape(CODES, tmp_path, base_url=site.url)
    assert site.pages == []


def test_no_page_is_requested_outside_of_the_hours_that_robots_txt_allows(tmp_path):
    hours = Answer(200, "User-agent: *\nVisit-time: 0000-0000\n", PLAIN)
    with serve(with_robots(hours)) as site, pytest.raises(DeepicdError, match="allows visits from 00:00 to 00:00 UTC"):
        crawl.scrape(CODES, tmp_path, base_url=site.url)
    assert site.pages == []


@pytest.mark.parametrize(
    ("now", "start", "end", "is_allowed"),
    [("0700", 6, 8, True), ("0900", 6, 8, False), ("2330", 22, 4, True), ("0330", 22, 4, True), ("1200", 22, 4, False)],
)
def test_hours_may_pass_midnight(now, start, end, is_allowed):

    assert _is_within(now, time(start), time(end)) == is_allowed
