"""Sites that answer oddly: redirected, encoded, cut short, late, with a new layout, or closed for maintenance."""

import gzip

import pytest

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl
from scrapers.sample.site import HTML, Answer, answer_path, serve
from scrapers.site import Pace

TEXT = "„Übel“ ist Ihnen."
QUICK = Pace(delay=0.0, back_off=0.01, timeout=1.5)


def keyed(path: str, text: str = TEXT) -> str:
    code = path.rpartition("/")[2].upper()
    return (
        f'<title>ICD-10-Code: {code}</title><article><div data-text-key="{code}"><p>{text}</p></div></article></html>'
    )


def html(body: bytes, charset: str = "", **headers: str) -> Answer:
    kind = f"text/html; charset={charset}" if charset else "text/html"
    return Answer(200, body, {"Content-Type": kind, **{name.replace("_", "-"): text for name, text in headers.items()}})


def test_a_text_comes_out_the_same_however_it_was_sent(tmp_path, rows):
    requests: list[str] = []

    def in_many_ways(path: str) -> Answer:
        first, page = path not in requests, keyed(path)
        requests.append(path)
        match path.rpartition("/")[2]:
            case "k20":
                return html(page.encode("windows-1252"), "windows-1252")
            case "k21":
                return html(page.encode("utf-16"), "utf-16")
            case "k22":
                return html(page.encode(), "iso-8859-1")  # the header is wrong
            case "k23":
                return html(f'<meta charset="windows-1252">{page}'.encode("windows-1252"))
            case "k24":
                return html(page.encode("iso-8859-1", errors="xmlcharrefreplace"), "iso-8859-1")
            case "k25":
                return html(gzip.compress(page.encode()), "utf-8", Content_Encoding="gzip")
            case "k26":
                return Answer(200, page, share=0.5 if first else 1)  # its length announced
            case "k27":
                return Answer(200, page, HTML | {"Content-Length": ""}, share=0.5) if first else Answer(200, page)
            case "k28":
                return Answer(200, page, wait=3 if first else 0)
            case _:
                return answer_path(path)

    codes = [Code(f"K{number}") for number in range(20, 29)]
    with serve(in_many_ways) as site:
        crawl.scrape(codes, tmp_path, base_url=site.url, pace=QUICK)
    assert {code: row["text"] for code, row in rows(tmp_path).items()} == {str(code): TEXT for code in codes}


def test_what_several_codes_are_redirected_to_is_fetched_once(tmp_path, rows):
    def redirected(path: str) -> Answer:
        return Answer(302, "", {"Location": "/icd-code-suche/k20"}) if "-" in path[16:] else answer_path(path)

    with serve(redirected) as site:
        crawl.scrape([Code("K201"), Code("K202")], tmp_path, base_url=site.url)
    assert sorted(site.pages) == [f"/icd-code-suche/{slug}" for slug in ("k20", "k20-1", "k20-2")]
    table = rows(tmp_path)
    assert {code: (row["outcome"], row["text_code"]) for code, row in table.items()} == {
        "K20": ("described", "K20"),
        "K20.1": ("another code", "K20"),
        "K20.2": ("another code", "K20"),
    }
    assert {row["url"] for row in table.values()} == {f"{site.url}/icd-code-suche/k20"}


def test_a_run_of_articles_without_text_stops_the_crawl(tmp_path):
    def emptied(path: str) -> Answer:
        whole = path < "/icd-code-suche/c05"
        return Answer(200, keyed(path) if whole else keyed(path).replace("data-text-key", "data-text"))

    codes = [Code(f"C{number:02}") for number in range(80)]
    with serve(emptied) as site, pytest.raises(DeepicdError, match="their layout may have changed") as stop:
        crawl.scrape(codes, tmp_path, base_url=site.url)
    assert "the crawl gave up with" in str(stop.value)
    assert not (tmp_path / crawl.TABLE).exists()


def test_a_site_under_maintenance_is_asked_for_the_same_pages_by_the_next_run(tmp_path, rows):
    closed, has_shut = True, False

    def maintained(path: str) -> Answer:
        nonlocal has_shut
        has_shut = closed and (has_shut or path == "/icd-code-suche/c05")
        shut = has_shut and path != "/robots.txt"
        return Answer(200, "<title>Wartung</title>Wir sind gleich zurück" if shut else keyed(path))

    codes = [Code(f"C{number:02}") for number in range(30)]
    with serve(maintained) as site:
        with pytest.raises(DeepicdError, match=r"its last 2\d answers are not pages of codes"):
            crawl.scrape(codes, tmp_path, base_url=site.url)
        closed, requests = False, len(site.pages)
        crawl.scrape(codes, tmp_path, base_url=site.url)
    assert "/icd-code-suche/c04" not in site.pages[requests:]
    assert {row["outcome"] for row in rows(tmp_path).values()} == {"described"}
