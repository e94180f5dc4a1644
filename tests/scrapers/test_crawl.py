"""Harvests of a site on loopback: complete, repeated, made again, made longer; and what is refused at once."""

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
from scrapers import code_list, crawl
from scrapers.sample.site import HINT, Answer, answer, served
from scrapers.sample.texts import paragraphs

# With their parents 13 pages, of all outcomes that the sample site knows.
CODES = [Code.parse(code) for code in ("E11.65", "I50.21", "A18.2", "J18.9", "C7A.8", "Z3A")]
PATHS = {f"/icd-code-suche/{str(code).lower().replace('.', '-')}" for code in code_list.with_parents(CODES)}


@pytest.fixture(scope="module")
def site():
    with served(answer) as site:
        yield site


@pytest.fixture(scope="module")
def harvested(site, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("harvest") / "out"
    crawl.harvest(CODES, out, base_url=site.url)
    assert sorted(site.pages) == sorted(PATHS), "each page is asked for once"
    return out


def test_a_harvest_has_a_row_a_page_in_order_with_its_outcome(harvested):
    table = pq.read_table(harvested / crawl.TABLE)
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


def test_texts_are_exact(harvested, rows):
    text = "\n\n".join(paragraphs(Code.parse("I50.21"), "de"))
    row = rows(harvested)["I50.21"]
    assert (row["text"], row["words"], row["text_code"], row["status"]) == (text, len(text.split()), "I50.21", 200)


def test_indicators_and_notes_of_a_page_have_columns_of_their_own(harvested, rows):
    table = rows(harvested)
    assert (table["I50.21"]["marks"], table["I50.21"]["hints"]) == (["G", "V"], [HINT["de"]])
    assert (table["E11.6"]["marks"], table["C7A"]["marks"]) == (["G", "V"], [])  # without a text, without a page


def test_pages_are_read_again_where_the_extractor_is_newer(harvested, site, tmp_path, rows):
    out = shutil.copytree(harvested, tmp_path / "out")
    (out / crawl.TABLE).unlink()
    with closing(sqlite3.connect(out / ".crawl" / "pages.sqlite")) as pages:
        pages.execute("update read_page set extractor = '1', outcome = 'no text', reading = '{}'")
        pages.commit()
    asked = len(site.paths)
    crawl.harvest(CODES, out, base_url=site.url)
    assert (rows(out), len(site.paths)) == (rows(harvested), asked)


def test_the_record_counts_what_the_table_holds(harvested, rows):
    record, table = records.read(harvested), rows(harvested)
    described = [row for row in table.values() if row["outcome"] == "described"]
    assert record.counts.asked == record.counts.downloaded == len(table)
    assert sum(record.counts.described_by_length.values()) == len(described)
    assert record.counts.mean_words == round(sum(row["words"] for row in described) / len(described), 1)
    assert record.origin == storage.read_origin(harvested / crawl.TABLE) == "synthetic"


def test_a_second_run_asks_nobody_and_changes_nothing(harvested, site):
    before, asked = (harvested / "run.json").read_bytes(), len(site.paths)
    crawl.harvest(CODES, harvested, base_url=site.url)
    assert (len(site.paths), (harvested / "run.json").read_bytes()) == (asked, before)


def test_the_table_made_again_from_the_cache_has_the_same_bytes(harvested, site):
    table, asked = harvested / crawl.TABLE, len(site.paths)
    before = table.read_bytes()
    table.unlink()
    crawl.harvest(CODES, harvested, base_url="http://127.0.0.1:1")  # nobody listens there
    assert (table.read_bytes(), len(site.paths)) == (before, asked)


def test_a_longer_list_fetches_only_what_is_new(harvested, site, tmp_path, rows):
    asked = len(site.pages)
    crawl.harvest([*CODES, Code("I501")], shutil.copytree(harvested, tmp_path / "out"), base_url=site.url)
    assert site.pages[asked:] == ["/icd-code-suche/i50-1"]
    assert rows(tmp_path / "out").keys() == rows(harvested).keys() | {"I50.1"}


def test_a_site_that_does_not_say_it_is_made_up_counts_as_public_and_its_terms_are_noted(tmp_path):
    with served(lambda path: Answer(200, answer(path).body, {"Content-Type": "text/html; charset=utf-8"})) as site:
        record = crawl.harvest(CODES[:1], tmp_path, base_url=site.url)
    assert (record.origin, storage.read_origin(tmp_path / crawl.TABLE)) == ("public", "public")
    assert pq.read_schema(tmp_path / crawl.TABLE).metadata[b"deepicd.redistribution"] == b"not granted"
    assert "do not publish" in record.notes[0]


@pytest.mark.parametrize("other", [{"language": "en"}, {"base_url": "https://gesund.bund.de", "contact": "a@b.de"}])
def test_a_folder_keeps_to_one_site_and_language(harvested, site, other):
    with pytest.raises(DeepicdError, match="The folder holds pages of loopback in language de"):
        crawl.harvest(CODES, harvested, **({"base_url": site.url} | other))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(DeepicdError, match=r"holds files that no run\.json accounts for"):
        crawl.harvest(CODES, tmp_path, base_url="http://127.0.0.1:1")


def test_a_dry_run_asks_nobody_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "codes.txt").write_text("I50.21\nI50.22\n")
    main(["scrape", f"{tmp_path}/out", "--codes", f"{tmp_path}/codes.txt", "--dry-run", "--limit", "3"])
    assert capsys.readouterr().out == (
        "https://gesund.bund.de (de): 3 pages, 0 of them already here; "
        "3 to ask for, at most one every 1 s: 3 seconds or more.\n"
    )
    assert not (tmp_path / "out").exists()
