"""Pages whose charset is declared wrongly, twice, by the page itself or not at all, and damaged ones."""

import pytest

from deepicd.icd10cm import Code
from scrapers import crawl
from scrapers.decoding import decode_page, is_garbled
from scrapers.sample.site import Answer, serve

TEXT = "<p>Größe – „Entzündung“ 38 °C, Übelkeit: Spaß“ und α-Zellen</p>"
PLAIN = TEXT.replace("α", "a")
META = '<meta charset="{}">'


@pytest.mark.parametrize(
    ("sent_as", "header", "meta"),
    [
        ("utf-8", "utf-8", ""),
        ("utf-8", "iso-8859-1", ""),
        ("utf-8", "koi8-r", "windows-1252"),
        ("utf-8-sig", "windows-1252", ""),
        ("utf-16", "utf-16", ""),
        ("utf-16-le", "utf-16-le", ""),
        ("windows-1252", "windows-1252", ""),
        ("windows-1252", "iso-8859-1", ""),
        ("windows-1252", "us-ascii", ""),
        ("windows-1252", "utf-8", "windows-1252"),
        ("windows-1252", "utf-8", "iso-8859-1"),
        ("windows-1252", "utf-16", "windows-1252"),
        ("windows-1252", "koi8-r", "windows-1252"),
        ("windows-1252", "iso-8859-2", "windows-1252"),
        ("windows-1252", "cp850", "windows-1252"),
        ("windows-1252", "no-such-charset", "windows-1252"),
        ("windows-1252", "", "windows-1252"),
    ],
)
def test_a_text_comes_out_whatever_is_declared_if_one_of_the_declarations_is_right(sent_as, header, meta):
    html = (META.format(meta) if meta else "") + (TEXT if sent_as.startswith("utf") else PLAIN)
    text = decode_page(html.encode(sent_as), header)
    assert text == html
    assert not is_garbled(text)


def test_a_few_bad_bytes_leave_utf_8_what_it_is():
    body = TEXT.encode() + b"<!-- \xff\xfe -->"
    assert decode_page(body, "windows-1252").startswith(TEXT)


@pytest.mark.parametrize(
    "text",
    ["GrÃ¶ÃŸe", "Gr\ufffd\ufffde", "â€žEntzÃ¼ndungâ€œ", "38 Â°C", "Î±-Zellen", "\x84Entz", "Grцe", "Gr÷ße"],
)
def test_a_wrongly_decoded_text_is_recognized(text):
    assert is_garbled(text)


@pytest.mark.parametrize(
    "text",
    ["Größe", "„Spaß“", "„Ä“", "Ménière-Krankheit", "Sjögren", "38 °C", "5 Å", "α-Zellen, β‑Blocker", "µg", "½", "±",
     "Crohn’s – “so”", "naïve", "Guillain-Barré", "Üb\xadung", "10\xa0mg", "Señor Muñoz", "château"],
)  # fmt: skip
def test_a_right_text_is_not_taken_for_a_wrong_one(text):
    assert not is_garbled(text)


def test_a_page_whose_charset_cannot_be_made_out_is_not_described(tmp_path, rows):
    def respond(path: str) -> Answer:
        if path == "/robots.txt":
            return Answer(404, "")
        code = path.rpartition("/")[2].upper()
        meta = META.format("windows-1252") if code == "K21" else ""
        page = f'<title>ICD-10-Code: {code}</title>{meta}<div data-text-key="{code}">{PLAIN}</div></html>'
        return Answer(200, page.encode("windows-1252"), {"Content-Type": "text/html; charset=utf-8"})

    with serve(respond) as site:
        crawl.scrape([Code("K20"), Code("K21")], tmp_path, base_url=site.url)
    table = rows(tmp_path)
    assert (table["K20"]["outcome"], table["K20"]["text"]) == ("garbled text", None)
    assert (table["K21"]["outcome"], table["K21"]["text"]) == ("described", PLAIN[3:-4])
