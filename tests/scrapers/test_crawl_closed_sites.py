"""Sites that stop being themselves during a crawl: consent forms, logins, redirects, 404 for everything."""

import sqlite3
from contextlib import closing

import pytest

from deepicd import records
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl
from scrapers.crawl_plan import CrawlPlan
from scrapers.sample.site import HTML, Answer, serve

MENU = '<header><nav><a href="/icd-code-suche/">ICD-Code-Suche</a><a href="/">Start</a></nav></header>'
CODES = [Code(f"C{number:02}") for number in range(60)]
LAST_GOOD = "/icd-code-suche/c09"


def described(path: str) -> Answer:
    code = path.rpartition("/")[2].upper()
    return Answer(
        200, f'<title>ICD-10-Code: {code}</title>{MENU}<div data-text-key="{code}"><p>Ein Text.</p></div></html>'
    )


def foreign(title: str, status: int = 200) -> Answer:
    return Answer(status, f"<title>{title}</title>{MENU}<h1>{title}</h1></html>")


def redirect(target: str, **headers: str) -> Answer:
    return Answer(302, "", {"Location": target, **headers})


UNKNOWN = foreign("ICD-Code-Suche")
CLOSINGS = {
    "a consent form at another address": lambda path: redirect(f"/einwilligung?ziel={path}"),
    "a consent form at one address": lambda path: redirect("/einwilligung"),
    "a login in place of the page": lambda path: foreign("Anmeldung"),
    "a consent form under the section's title": lambda path: Answer(
        200, f"<title>ICD-Code-Suche</title>{MENU}<h1>Einwilligung</h1></html>"
    ),
    "404 with the menu": lambda path: foreign("Seite nicht gefunden", 404),
    "the search page for every code": lambda path: UNKNOWN,
    "the start page": lambda path: redirect("/"),
}


@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
def test_a_site_that_closes_stops_the_crawl_and_its_answers_are_forgotten(tmp_path, rows, closing):
    is_closed = False

    def respond(path: str) -> Answer:
        nonlocal is_closed
        if path == "/robots.txt":
            return Answer(404, "")
        if not path.startswith("/icd-code-suche/"):
            return foreign("Einwilligung")
        is_closed = is_closed or (path > LAST_GOOD and not is_open)
        return closing(path) if is_closed else described(path)

    is_open = False
    with serve(respond) as site:
        with pytest.raises(DeepicdError, match=r"its last 2\d answers are not pages of codes.*C\d\d, which had a text"):
            crawl.scrape(CODES, tmp_path, base_url=site.url)
        in_section = [path for path in site.pages if path.startswith("/icd-code-suche/")]
        assert len(in_section) <= 10 + 20 + 3, "a run, the page that had a text, and what was under way"
        is_open, is_closed, requests = True, False, len(site.pages)
        crawl.scrape(CODES, tmp_path, base_url=site.url)
        assert len(site.pages[requests:]) == 50
    assert {row["outcome"] for row in rows(tmp_path).values()} == {"described"}


@pytest.mark.parametrize("answer", [UNKNOWN, foreign("Seite nicht gefunden", 404)], ids=["search page", "404"])
def test_a_site_that_knows_few_codes_is_asked_to_the_end_with_few_more_requests(tmp_path, rows, answer):
    codes = [Code(f"{letter}{number:02}") for letter in "ABC" for number in range(100)]

    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        return described(path) if path.endswith(("a00", "b50")) else answer

    with serve(respond) as site:
        crawl.scrape(codes, tmp_path, base_url=site.url)
        assert len(codes) < len(site.pages) <= 1.05 * len(codes)
        requests = len(site.paths)
        crawl.scrape(codes, tmp_path, base_url=site.url)
        assert len(site.paths) == requests, "a second run asks for nothing"
    outcomes = {code: row["outcome"] for code, row in rows(tmp_path).items()}
    other = "unknown code" if answer is UNKNOWN else "not an ICD page"
    assert outcomes.pop("A00") == outcomes.pop("B50") == "described"
    assert set(outcomes.values()) == {other}


def test_a_single_page_that_is_no_icd_page_is_asked_again_by_the_next_run(tmp_path, rows):
    closed = True

    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        return foreign("Einwilligung") if closed and path.endswith("c03") else described(path)

    with serve(respond) as site:
        record = crawl.scrape(CODES[:6], tmp_path, base_url=site.url)
        assert rows(tmp_path)["C03"]["outcome"] == "not an ICD page"
        assert record.counts.doubtful == 1
        closed, requests = False, len(site.pages)
        crawl.scrape(CODES[:6], tmp_path, base_url=site.url)
        assert site.pages[requests:] == ["/icd-code-suche/c03"]
    assert rows(tmp_path)["C03"]["outcome"] == "described"
    assert records.read(tmp_path).counts.doubtful == 0


def test_a_site_without_any_icd_page_is_left_after_twenty(tmp_path):
    with (
        serve(lambda path: Answer(404, "") if path == "/robots.txt" else foreign("Willkommen")) as site,
        pytest.raises(DeepicdError, match="no page of this site has had a text yet"),
    ):
        crawl.scrape(CODES, tmp_path / "out", base_url=site.url)
    assert len(site.pages) <= 22
    assert not (tmp_path / "out").exists()


REDIRECTS = {
    "itself with a cookie": (lambda path: redirect(path, **{"Set-Cookie": "ok=1"}), "to itself and sets a cookie", 1),
    "a circle": (lambda path: redirect(path.partition("?")[0] + "?" * ("?" not in path) + "1" * ("?" not in path)),
                 "in a circle", 2),
    "ever new addresses": (lambda path: redirect(path + "x"), "it redirects more than 5 times", 6),
    "another host": (lambda path: redirect("http://127.0.0.9:9/x"), r"to another host \(127\.0\.0\.9\)", 1),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "reason", "requests"), REDIRECTS.values(), ids=REDIRECTS)
def test_five_pages_that_redirect_to_nothing_stop_the_crawl_with_the_reason(tmp_path, answer, reason, requests):
    with (
        serve(lambda path: Answer(404, "") if path == "/robots.txt" else answer(path)) as site,
        pytest.raises(DeepicdError, match=reason),
    ):
        crawl.scrape(CODES, tmp_path, base_url=site.url)
    assert len(site.pages) <= 6 * requests, "five pages and one under way"


def test_a_page_that_redirects_to_nothing_is_recorded_with_its_reason(tmp_path, rows):
    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        return redirect("https://example.org/") if path.endswith("c03") else described(path)

    with serve(respond) as site:
        record = crawl.scrape(CODES[:6], tmp_path, base_url=site.url)
    assert (rows(tmp_path)["C03"]["outcome"], rows(tmp_path)["C03"]["status"]) == ("redirected", 302)
    assert "1 × it redirects to another host (example.org)" in record.notes[-1]


def test_a_page_that_reloads_itself_is_fetched_once(tmp_path, rows):
    refresh = {**HTML, "Refresh": "5"}

    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        page = str(described(path).body)
        return Answer(200, f'<meta http-equiv="refresh" content="3">{page}', refresh)

    with serve(respond) as site:
        crawl.scrape(CODES[:2], tmp_path, base_url=site.url)
    assert len(site.pages) == 2
    assert {row["outcome"] for row in rows(tmp_path).values()} == {"described"}


def test_a_list_of_codes_that_leads_out_of_the_section_is_asked_for_again(tmp_path):
    def respond(path: str) -> Answer:
        if path == "/icd-code-suche":
            return redirect("/einwilligung")
        return Answer(404, "") if path == "/robots.txt" else described(path)

    with serve(respond) as site:
        record = crawl.scrape(CrawlPlan(tuple(CODES[:2]), follow=True), tmp_path, base_url=site.url)
    assert record.counts.lists_missing == 2  # with its other spelling, whose answer lists no codes
    assert "it leads to /einwilligung" in record.notes[-1]


def test_answers_that_an_earlier_version_stored_without_evidence_are_asked_for_again(tmp_path, rows):
    closed = True

    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        if path == "/einwilligung":
            return foreign("Einwilligung")
        return redirect("/einwilligung") if closed and path.endswith(("c03", "c04")) else described(path)

    with serve(respond) as site:
        crawl.scrape(CODES[:6], tmp_path, base_url=site.url)
        with closing(sqlite3.connect(tmp_path / ".crawl" / "pages.sqlite")) as pages:  # as version 3 read them
            pages.execute("update read_page set outcome = 'unknown code' where outcome = 'not an ICD page'")
            pages.execute("update read_page set extractor = '3'")
            pages.commit()
        (tmp_path / "run.json").unlink()
        closed, requests = False, len(site.pages)
        crawl.scrape(CODES[:6], tmp_path, base_url=site.url)
        assert site.pages[requests:] == ["/icd-code-suche/c03", "/icd-code-suche/c04"]
    assert {row["outcome"] for row in rows(tmp_path).values()} == {"described"}


def test_a_site_that_is_closed_when_a_crawl_continues_stops_it(tmp_path):
    is_open = True

    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        return described(path) if is_open else foreign("Wartung")

    with serve(respond) as site:
        crawl.scrape(CODES[:3], tmp_path, base_url=site.url)
        is_open = False
        with pytest.raises(DeepicdError, match="the page of C00, which had a text, now is none"):
            crawl.scrape(CODES[:8], tmp_path, base_url=site.url)
    assert len(site.pages) == 3 + 5 + 1
