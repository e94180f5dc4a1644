"""The page store: what goes in comes out; any other file is refused."""

from dataclasses import replace

import pytest

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import page_store
from scrapers.page_store import FetchFailure, Page

PAGE = Page(
    url="http://x/a00-0",
    status=200,
    fetched_at="2025-11-03T09:12:44+00:00",
    encoding="iso-8859-1",
    is_made_up=False,
    body="<p>Übel</p>".encode("latin-1"),
)


def test_a_page_comes_out_as_it_went_in_and_stays(tmp_path):
    with page_store.open_store(tmp_path / "pages.sqlite") as pages:
        pages.put_page(Code("A000"), PAGE)
    with page_store.open_store(tmp_path / "pages.sqlite") as pages:
        assert pages.get_page(Code("A000")) == PAGE
        assert pages.list_codes() == {Code("A000")}
        assert pages.get_page(Code("A001")) is None


def test_the_html_is_decoded_as_the_server_encoded_it_and_bad_bytes_are_marked():
    assert PAGE.html == "<p>Übel</p>"
    assert replace(PAGE, encoding="utf-8", body=b"\xfcbel").html == "\ufffdbel"


def test_a_failure_is_not_a_page_and_is_removed_before_the_next_crawl(tmp_path):
    with page_store.open_store(tmp_path / "pages.sqlite") as pages:
        pages.put_failure(Code("A000"), FetchFailure("http://x/a00-0", 503, "HTTP status 503"))
        assert (pages.count_answers(), pages.list_codes()) == (1, set())
        pages.forget_failures()
        assert pages.get_failure(Code("A000")) is None


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "pages.sqlite").write_text("no database " * 100)
    with (
        pytest.raises(DeepicdError, match="is not the page store of a crawl"),
        page_store.open_store(tmp_path / "pages.sqlite"),
    ):
        pass
