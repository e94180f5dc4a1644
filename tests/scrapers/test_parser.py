"""Readings of saved pages (made up, in the layout of the site), of the sample site's pages and of other content."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepicd.icd10cm import Code
from scrapers.parser import Reading, read_page
from scrapers.sample import site

PAGES = sorted(Path(__file__).with_name("pages").glob("*.html"))
KEYED = '<title>ICD-10-Code: I10</title><div data-text-key="I10">{}</div>'


@pytest.mark.parametrize("saved", PAGES, ids=lambda path: path.stem)
def test_a_saved_page_reads_as_written_beside_it(saved: Path):
    expected = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    asked = Code.parse(expected.pop("asked"))
    reading = asdict(read_page(saved.read_text(encoding="utf-8"), asked))
    assert json.loads(json.dumps(reading)) == expected  # lists for tuples


def test_every_outcome_has_a_saved_page():
    outcomes = {json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["outcome"] for page in PAGES}
    assert outcomes == {"described", "no text", "garbled text", "another code", "unknown code", "not an ICD page"}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("code", ["I50.1", "S72.00", "Z00", "U07.1", "O09"])
def test_the_sample_sites_text_comes_back_whole(code, language):
    asked = Code.parse(code)
    owner = site.find_text_owner(asked)
    assert owner == asked, "choose a code that has a text of its own"
    reading = read_page(site.render_page(asked, language), asked)
    text = "\n\n".join(site.compose_text(asked, language))
    hints = (site.HINT[language],)
    assert reading == Reading(
        "described", site.find_title(asked), text, code, marks=("G", "V"), hints=hints, has_article=True
    )


@pytest.mark.parametrize("html", ["", "{}", "\0", "<", "%PDF-1.7", "<title></title>"])
def test_anything_else_has_an_outcome(html):
    assert read_page(html, Code("I10")) == Reading("not an ICD page")


@given(st.text())
def test_a_text_is_there_exactly_when_the_page_is_described(inner):
    reading = read_page(KEYED.format(inner), Code("I10"))
    assert (reading.text is not None) == (reading.outcome == "described")
    assert reading.text != ""


def test_an_umlaut_sent_as_a_letter_and_a_combining_mark_reads_as_one_character():
    assert read_page(KEYED.format("<p>U\u0308bel</p>"), Code("I10")).text == "\u00dcbel"


def test_two_thousand_nested_elements_are_read():
    html = KEYED.format("<div>" * 2_000 + "deep" + "</div>" * 2_000)
    assert read_page(html, Code("I10")).text == "deep"


QUADRATIC = {
    "headings without a break": "<h2>Hinweis</h2>",
    "headings in boxes": "<div><h2>Hinweis</h2></div>\n",
    "nested blocks of the code": '<div data-text-key="I10">x',
    "nested blocks of another code": '<div data-text-key="I11">x',
    "nested headings": "<div><h2>Hinweis</h2>",
    "headings in headings": "<h2><div>Hinweis",
    "nested lists": "<h2>Hinweis</h2><ul><li>x",
}


@pytest.mark.parametrize("part", QUADRATIC.values(), ids=QUADRATIC)
def test_the_work_to_read_a_page_grows_with_its_size(part):
    def count_calls(size: int) -> int:
        html, calls = KEYED.format(part * (size // len(part))), 0

        def count(_frame: object, event: str, _arg: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            read_page(html, Code("I10"))
        finally:
            sys.setprofile(None)
        return calls

    assert count_calls(80_000) < 6 * count_calls(20_000), "four times the size, and 16 times the work if quadratic"


@pytest.mark.parametrize("title", ["Einwilligung", "Anmeldung", "Willkommen", "Seite nicht gefunden", "E404: Fehler"])
@pytest.mark.parametrize("page_title", ["", "ICD-Code-Suche"])
def test_a_page_with_the_sites_menu_is_no_answer(title, page_title):
    menu = '<nav><a href="/icd-code-suche/">ICD-Code-Suche</a></nav>'
    html = f"<title>{page_title or title}</title>{menu}<h1>{title}</h1>"
    expected = "unknown code" if page_title and "nicht gefunden" in title else "not an ICD page"
    assert read_page(html, Code("I10")).outcome == expected


@pytest.mark.parametrize("html", ["<title>ICD-Code-Suche</title>", "<h1>ICD code search</h1>",
                                  "<h1>ICD-Code Z99: nicht gefunden</h1>",
                                  "<title>ICD-Code-Suche</title><h1>Keine Treffer</h1>"])  # fmt: skip
def test_a_search_page_that_says_so_means_an_unknown_code(html):
    assert read_page(html, Code("Z99")).outcome == "unknown code"


def test_a_comment_splits_no_word():
    html = "<h1>ICD-Code <!-- -->I10<!-- -->: Blut<!-- -->druck</h1>"
    assert read_page(html, Code("I10")).title == "Blutdruck"


def test_notes_after_a_body_that_is_closed_too_early_are_read():
    html = KEYED.format("<p>Ein Text.</p>") + "</body><h2>Hinweis</h2><p>Erfunden.</p>"
    assert read_page(html, Code("I10")).hints == ("Erfunden.",)
