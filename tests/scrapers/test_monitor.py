"""When the pages are a reason to stop, and when they are not."""

import pytest

from deepicd.icd10cm import Code
from scrapers import page_store
from scrapers.monitor import EMPTY_RUN, FIRST_PAGES, CrawlMonitor
from scrapers.page_store import Page

DESCRIBED = '<title>ICD-10-Code: {code}</title><article><div data-text-key="{code}">Ein Text.</div></article>'
EMPTY = "<title>ICD-10-Code: {code}</title><article></article>"
WITHOUT_ARTICLE = "<title>ICD-10-Code: {code}</title>"
UNKNOWN = '<title>ICD-Code-Suche</title><a href="/icd-code-suche">Suche</a>'
CLOSED = "<title>Wartung</title>"

SECTION = "http://x/icd-code-suche"

CODES = [Code(f"{letter}{number:02}") for letter in "ABC" for number in range(100)]


@pytest.fixture
def pages(tmp_path):
    with page_store.open_store(tmp_path / "pages.sqlite") as pages:
        yield pages


def put(pages, *kinds: tuple[str, int], status: int = 200) -> None:
    """Store pages of each kind, in this order, under codes that have no page yet."""
    free = (code for code in CODES if pages.get_page(code) is None)
    for html, number in kinds:
        for _ in range(number):
            code = next(free)
            url = f"{SECTION}/{code.value}"
            body = html.format(code=code).encode()
            page = Page(url=url, status=status, fetched_at="", encoding="utf-8", is_made_up=False, body=body)
            pages.put_page(code, page)


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ([(DESCRIBED, 1), (EMPTY, EMPTY_RUN)], "layout may have changed"),
        ([(DESCRIBED, 1), (EMPTY, EMPTY_RUN - 1), (DESCRIBED, 1), (EMPTY, EMPTY_RUN - 1)], None),
        ([(DESCRIBED, 1), (WITHOUT_ARTICLE, 150)], None),
        ([(DESCRIBED, 1), (UNKNOWN, 250)], None),
        ([(UNKNOWN, FIRST_PAGES)], "none of its first 100 pages has a text"),
        ([(UNKNOWN, FIRST_PAGES - 1), (DESCRIBED, 1)], None),
        ([(DESCRIBED, 1), (CLOSED, 50)], None),  # the spider finds out whether the site is closed
    ],
)
def test_a_telling_run_of_pages_is_a_reason_to_stop(pages, kinds, reason):
    monitor = CrawlMonitor(pages, SECTION)
    put(pages, *kinds)
    result = monitor.check()
    assert (result is None) == (reason is None)
    assert reason is None or reason in result


def test_error_pages_with_an_error_status_are_no_reason_to_stop(pages):
    monitor = CrawlMonitor(pages, SECTION)
    put(pages, (CLOSED, 50), status=404)
    assert monitor.check() is None


def test_a_crawl_that_has_a_text_may_go_on_with_unknown_codes(pages):
    first = CrawlMonitor(pages, SECTION)
    put(pages, (DESCRIBED, 1))
    assert first.check() is None
    first.finish()
    second = CrawlMonitor(pages, SECTION)
    put(pages, (UNKNOWN, 2 * FIRST_PAGES))
    assert second.check() is None


def test_earlier_pages_are_not_counted_and_each_page_is_read_once(pages):
    put(pages, (EMPTY, EMPTY_RUN - 1))
    monitor = CrawlMonitor(pages, SECTION)
    put(pages, (EMPTY, 2), (DESCRIBED, 1))
    assert monitor.check() is None
    assert monitor.status == "2 no text, 1 described"
    monitor.finish()
    assert len(pages.list_unread()) == EMPTY_RUN - 1, "the earlier ones are still unread"
