"""When what the pages say is a reason to stop, and when it is none."""

import pytest

from deepicd.icd10cm import Code
from scrapers import page_store
from scrapers.monitor import EMPTY_RUN, START, STRANGE_RUN, Watch
from scrapers.page_store import Page

DESCRIBED = '<title>ICD-10-Code: {code}</title><article><div data-text-key="{code}">Ein Text.</div></article>'
EMPTY = "<title>ICD-10-Code: {code}</title><article></article>"
WITHOUT_ARTICLE = "<title>ICD-10-Code: {code}</title>"
UNKNOWN = '<title>ICD-Code-Suche</title><a href="/icd-code-suche">Suche</a>'
CLOSED = "<title>Wartung</title>"

CODES = [Code(f"{letter}{number:02}") for letter in "ABC" for number in range(100)]


@pytest.fixture
def pages(tmp_path):
    with page_store.opened(tmp_path / "pages.sqlite") as pages:
        yield pages


def put(pages, *kinds: tuple[str, int], status: int = 200) -> None:
    """So many pages of each kind, in this order, under codes that have no page yet."""
    free = (code for code in CODES if pages.page(code) is None)
    for html, number in kinds:
        for _ in range(number):
            code = next(free)
            url = f"http://x/{code.value}"
            pages.put(code, Page(url, status, "", "utf-8", False, html.format(code=code).encode()))


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ([(DESCRIBED, 1), (EMPTY, EMPTY_RUN)], "layout may have changed"),
        ([(DESCRIBED, 1), (EMPTY, EMPTY_RUN - 1), (DESCRIBED, 1), (EMPTY, EMPTY_RUN - 1)], None),
        ([(DESCRIBED, 1), (WITHOUT_ARTICLE, 150)], None),
        ([(DESCRIBED, 1), (UNKNOWN, 250)], None),
        ([(UNKNOWN, START)], "none of its first 100 pages has a text"),
        ([(UNKNOWN, START - 1), (DESCRIBED, 1)], None),
        ([(DESCRIBED, 1), (CLOSED, STRANGE_RUN)], "are no ICD pages"),
        ([(DESCRIBED, 1), (CLOSED, STRANGE_RUN - 1), (UNKNOWN, 1), (CLOSED, STRANGE_RUN - 1)], None),
    ],
)
def test_a_run_that_means_something_is_a_reason_to_stop(pages, kinds, reason):
    watch = Watch(pages)
    put(pages, *kinds)
    found = watch.look()
    assert (found is None) == (reason is None)
    assert reason is None or reason in found


def test_error_pages_with_an_honest_status_are_no_reason_to_stop(pages):
    watch = Watch(pages)
    put(pages, (CLOSED, 50), status=404)
    assert watch.look() is None


def test_a_harvest_that_has_a_text_may_go_on_with_unknown_codes(pages):
    first = Watch(pages)
    put(pages, (DESCRIBED, 1))
    assert first.look() is None
    first.end()
    second = Watch(pages)
    put(pages, (UNKNOWN, 2 * START))
    assert second.look() is None


def test_what_came_before_is_not_counted_and_each_page_is_read_once(pages):
    put(pages, (EMPTY, EMPTY_RUN - 1))
    watch = Watch(pages)
    put(pages, (EMPTY, 2), (DESCRIBED, 1))
    assert watch.look() is None
    assert watch.status == "2 no text, 1 described"
    watch.end()
    assert len(pages.unread()) == EMPTY_RUN - 1, "of the earlier ones nobody has read yet"


def test_the_answers_of_a_closed_site_are_forgotten_with_those_that_came_too_late(pages):
    watch = Watch(pages)
    put(pages, (DESCRIBED, 3), (CLOSED, STRANGE_RUN + 5))
    assert watch.look()
    watch.end()
    assert pages.codes() == set(CODES[:3])
