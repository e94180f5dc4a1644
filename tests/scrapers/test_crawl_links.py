"""Crawls that find their codes by following links below the ICD section."""

import pytest

from deepicd import records
from deepicd.cli import main
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl
from scrapers.crawl_plan import CrawlPlan
from scrapers.sample.site import Answer, answer_path, serve

LINKS = {
    "/icd-code-suche": [
        "/",
        "/icd-code-suche/a00-b99",
        "icd-code-suche/i00-i99#top",
        "https://example.org/x",
        "http://[",
    ],
    "/icd-code-suche/a00-b99": ["/icd-code-suche/a18", "/icd-code-suche/A18-2"],
    "/icd-code-suche/i00-i99": [
        "/icd-code-suche/i50",
        "/icd-code-suche/",
        "/icd-code-suche-hilfe",
        "../icd-code-suche",
    ],
    "/icd-code-suche/i50": ["i50-1", "/icd-code-suche/i00-i99"],
}


def linked(path: str) -> Answer:
    links = "".join(f'<a href="{link}">x</a>' for link in LINKS.get(path, []))
    known = answer_path(path.lower())
    return Answer(known.status, str(known.body).replace("</body>", f"{links}</body>"), known.headers)


def test_links_below_the_section_are_followed_and_each_is_asked_for_once(tmp_path, rows):
    with serve(linked) as site:
        crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
        requests = len(site.paths)
        crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
    assert len(site.paths) == requests, "a second run asks nobody"
    places = ["", "/", "/A18-2", "/a00-b99", "/a18", "/i00-i99", "/i50", "/i50-1"]
    assert sorted(site.pages) == [f"/icd-code-suche{place}" for place in places]
    assert list(rows(tmp_path)) == ["A18", "A18.2", "I50", "I50.1"]
    assert records.read(tmp_path).counts.lists_missing == 0


def test_a_list_that_did_not_come_is_asked_for_by_the_next_run(tmp_path, rows):
    broken = True

    def one_broken(path: str) -> Answer:
        return Answer(500, "") if broken and path.endswith("i00-i99") else linked(path)

    with serve(one_broken) as site:
        record = crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
        assert (record.counts.lists_missing, list(rows(tmp_path))) == (1, ["A18", "A18.2"])
        broken, requests = False, len(site.pages)
        crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
    assert list(rows(tmp_path)) == ["A18", "A18.2", "I50", "I50.1"]
    assert sorted(site.pages[requests:]) == [f"/icd-code-suche/{place}" for place in ("i00-i99", "i50", "i50-1")]


def test_a_consent_form_in_place_of_a_list_is_no_list(tmp_path, rows):
    asks = True

    def with_consent(path: str) -> Answer:
        if asks and path.endswith("i00-i99"):
            return Answer(200, '<html><nav><a href="/icd-code-suche">ICD</a></nav><h1>Einwilligung</h1></html>')
        return linked(path)

    with serve(with_consent) as site:
        record = crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
        assert (record.counts.lists_missing, list(rows(tmp_path))) == (1, ["A18", "A18.2"])
        assert "it lists no codes" in " ".join(record.notes)
        asks = False
        crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)
    assert list(rows(tmp_path)) == ["A18", "A18.2", "I50", "I50.1"]


def test_a_limit_holds_for_codes_found_by_links_and_codes_may_be_named_besides(tmp_path, rows):
    with serve(linked) as site:
        crawl.scrape(CrawlPlan((Code("I50"),), follow=True, limit=2), tmp_path, base_url=site.url)
    assert len(rows(tmp_path)) == 2
    assert "I50" in rows(tmp_path)


def test_a_section_that_links_to_no_code_is_an_error(tmp_path):
    with serve(answer_path) as site, pytest.raises(DeepicdError, match="links to no code's page"):
        crawl.scrape(CrawlPlan(follow=True), tmp_path, base_url=site.url)


def test_a_dry_run_says_that_links_add_to_the_plan(tmp_path, capsys):
    main(["scrape", f"{tmp_path}/out", "--follow", "--dry-run"])
    assert "1 pages, 0 of them stored; 1 to request" in capsys.readouterr().out
