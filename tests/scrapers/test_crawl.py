"""Crawls of a site on loopback: complete, repeated, rebuilt, extended; and what is refused at once."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepicd import records, storage
from deepicd.cli import main
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DESCRIPTIONS
from scrapers import crawl
from scrapers.crawl_plan import CrawlPlan, add_parents
from scrapers.sample.site import HINT, Answer, answer_path, compose_text, serve

# With their parents, 13 pages with every outcome that the sample site has.
CODES = [Code.parse(code) for code in ("E11.65", "I50.21", "A18.2", "J18.9", "C7A.8", "Z3A")]
PATHS = {f"/icd-code-suche/{str(code).lower().replace('.', '-')}" for code in add_parents(CODES)}


@pytest.fixture(scope="module")
def site():
    with serve(answer_path) as site:
        yield site


@pytest.fixture(scope="module")
def scraped(site, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scrape") / "out"
    crawl.scrape(CODES, out, base_url=site.url)
    assert sorted(site.pages) == sorted(PATHS), "each page is requested once"
    return out


def test_the_table_has_one_row_per_page_in_order_with_its_outcome(scraped):
    table = pq.read_table(scraped / crawl.TABLE)
    assert table.schema.equals(DESCRIPTIONS)
    assert {row["code"]: row["outcome"] for row in table.to_pylist()} == {
        "A18": "described",
        "A18.2": "another code",
        "C7A": "unknown code",
        "C7A.8": "unknown code",
        "E11": "described",
        "E11.6": "no text",
        "E11.65": "described",
        "I50": "described",
        "I50.2": "described",
        "I50.21": "described",
        "J18": "described",
        "J18.9": "described",
        "Z3A": "unknown code",
    }
    assert table["code"].to_pylist() == sorted(table["code"].to_pylist())


def test_texts_are_exact(scraped, rows):
    text = "\n\n".join(compose_text(Code.parse("I50.21"), "de"))
    row = rows(scraped)["I50.21"]
    assert (row["text"], row["words"], row["text_code"], row["status"]) == (text, len(text.split()), "I50.21", 200)


def test_indicators_and_notes_of_a_page_have_columns_of_their_own(scraped, rows):
    table = rows(scraped)
    assert (table["I50.21"]["marks"], table["I50.21"]["hints"]) == (["G", "V"], [HINT["de"]])
    assert (table["E11.6"]["marks"], table["C7A"]["marks"]) == (["G", "V"], [])  # a page without a text; no page


def test_pages_are_read_again_where_the_extractor_is_newer(scraped, site, tmp_path, rows):
    out = shutil.copytree(scraped, tmp_path / "out")
    (out / crawl.TABLE).unlink()
    with closing(sqlite3.connect(out / ".crawl" / "pages.sqlite")) as pages:
        pages.execute("update read_page set extractor = '1', outcome = 'no text', reading = '{}'")
        pages.commit()
    requests = len(site.paths)
    crawl.scrape(CODES, out, base_url=site.url)
    assert (rows(out), len(site.paths)) == (rows(scraped), requests)


def test_the_record_counts_what_the_table_holds(scraped, rows):
    record, table = records.read(scraped), rows(scraped)
    described = [row for row in table.values() if row["outcome"] == "described"]
    assert record.counts.asked == record.counts.downloaded == len(table)
    assert sum(record.counts.described_by_length.values()) == len(described)
    assert record.counts.mean_words == round(sum(row["words"] for row in described) / len(described), 1)
    assert record.origin == storage.read_origin(scraped / crawl.TABLE) == "synthetic"


def test_a_second_run_sends_no_request_and_changes_nothing(scraped, site):
    before, requests = (scraped / "run.json").read_bytes(), len(site.paths)
    crawl.scrape(CODES, scraped, base_url=site.url)
    assert (len(site.paths), (scraped / "run.json").read_bytes()) == (requests, before)


def test_the_table_rebuilt_from_the_stored_pages_has_the_same_bytes(scraped, site):
    table, requests = scraped / crawl.TABLE, len(site.paths)
    before = table.read_bytes()
    table.unlink()
    crawl.scrape(CODES, scraped, base_url="http://127.0.0.1:1")  # nobody listens there
    assert (table.read_bytes(), len(site.paths)) == (before, requests)


def test_a_longer_list_fetches_only_what_is_new(scraped, site, tmp_path, rows):
    requests = len(site.pages)
    crawl.scrape([*CODES, Code("I501")], shutil.copytree(scraped, tmp_path / "out"), base_url=site.url)
    assert site.pages[requests:] == ["/icd-code-suche/i50-1"]
    assert rows(tmp_path / "out").keys() == rows(scraped).keys() | {"I50.1"}


def test_a_site_that_does_not_say_it_is_made_up_counts_as_public_and_its_terms_are_noted(tmp_path):
    with serve(lambda path: Answer(200, answer_path(path).body, {"Content-Type": "text/html; charset=utf-8"})) as site:
        record = crawl.scrape(CODES[:1], tmp_path, base_url=site.url)
    assert (record.origin, storage.read_origin(tmp_path / crawl.TABLE)) == ("public", "public")
    assert pq.read_schema(tmp_path / crawl.TABLE).metadata[b"deepicd.redistribution"] == b"not granted"
    assert "do not publish" in record.notes[0]


@pytest.mark.parametrize("other", [{"language": "en"}, {"base_url": "https://gesund.bund.de", "contact": "a@b.de"}])
def test_a_folder_keeps_to_one_site_and_language(scraped, site, other):
    with pytest.raises(DeepicdError, match="The folder holds pages of loopback in language de"):
        crawl.scrape(CODES, scraped, **({"base_url": site.url} | other))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(DeepicdError, match=r"holds files that no run\.json accounts for"):
        crawl.scrape(CODES, tmp_path, base_url="http://127.0.0.1:1")


def test_a_dry_run_sends_no_request_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "codes.txt").write_text("I50.21\nI50.22\n")
    main(["scrape", f"{tmp_path}/out", "--codes", f"{tmp_path}/codes.txt", "--dry-run", "--limit", "3"])
    assert capsys.readouterr().out == (
        "https://gesund.bund.de (de): 3 pages, 0 of them stored; "
        "3 to request, at most one every 1 s: 3 seconds or more.\n"
    )
    assert not (tmp_path / "out").exists()


def test_with_gms_list_titles_come_from_it_and_what_it_lacks_is_not_requested(tmp_path):
    titles = {"E11": "Diabetes mellitus, Typ 2", "E11.6": "Mit sonstigen Komplikationen"}
    with serve(answer_path) as site:
        plan = CrawlPlan((Code.parse("E11.65"), Code.parse("C7A.8")), gm_titles=titles)
        crawl.scrape(plan, tmp_path / "out", base_url=site.url)
        assert sorted(site.pages) == ["/icd-code-suche/e11", "/icd-code-suche/e11-6"]
    table = pq.read_table(tmp_path / "out" / crawl.TABLE).to_pylist()
    assert [(row["code"], row["outcome"], row["title"]) for row in table] == [
        ("C7A", "unknown code", None),
        ("C7A.8", "unknown code", None),
        ("E11", "described", "Diabetes mellitus, Typ 2"),
        ("E11.6", "no text", "Mit sonstigen Komplikationen"),
        ("E11.65", "unknown code", None),
    ]


def test_a_list_that_has_none_of_the_codes_is_an_error(tmp_path):
    plan = CrawlPlan((Code.parse("E11.65"),), gm_titles={"A00": "Cholera"})
    with pytest.raises(DeepicdError, match="has none of these codes"):
        crawl.scrape(plan, tmp_path / "out", base_url="http://127.0.0.1:1")
