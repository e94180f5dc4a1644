"""The made-up site: for any code an answer, in the stated shares, that says that it is made up."""

from urllib.request import urlopen

import pytest

from deepicd.icd10cm import CHAPTERS, Code
from scrapers.sample import site
from scrapers.sample.site import ANOTHER_CODE, NO_TEXT, UNKNOWN, answer_path, find_text_owner, is_unknown, sample_site

GM_LIKE = [Code(f"{letter}{number:04}") for letter in "AEIJMST" for number in range(0, 10_000, 17)]


def test_shares_are_as_stated_within_two_points():
    known = [code for code in GM_LIKE if not is_unknown(code)]
    owners = {code: find_text_owner(code) for code in known}
    shares = {
        UNKNOWN: len(GM_LIKE) - len(known),
        NO_TEXT: sum(owner is None for owner in owners.values()),
        ANOTHER_CODE: sum(owner is not None and owner != code for code, owner in owners.items()),
    }
    assert [100 * count / len(GM_LIKE) for count in shares.values()] == pytest.approx(list(shares), abs=2)


@pytest.mark.parametrize("code", ["C7A", "C7A.8", "T38.3X", "S72.001A", "Z3A.08"])
def test_a_code_that_only_cm_can_have_is_unknown(code):
    assert is_unknown(Code.parse(code))


@pytest.mark.parametrize(("language", "note"), [("de", "Erfundener Beispieltext"), ("en", "Made-up example text")])
def test_every_chapters_text_has_60_to_200_words_and_says_that_it_is_made_up(language, note):
    for chapter in CHAPTERS:
        for code in (Code(chapter.ranges[0][0]), Code(f"{chapter.ranges[0][0]}1")):
            paragraphs = site.compose_text(code, language)
            assert 60 <= len(" ".join(paragraphs).split()) <= 200
            assert paragraphs[-1].startswith(note)


def test_a_text_explains_a_word_of_its_title():
    assert "Akut bedeutet" in " ".join(site.compose_text(Code.parse("I50.21"), "de"))


def test_an_address_that_is_no_codes_is_not_found():
    assert [answer_path(path).status for path in ("/", "/icd-code-suche/", "/icd-code-suche/x", "/robots.txt")] == [
        404,
        404,
        404,
        200,
    ]


def test_the_served_site_is_there_while_the_block_runs():
    with sample_site() as base_url, urlopen(f"{base_url}/icd-code-suche/i50-1") as response:
        assert response.headers["X-Made-Up"] == "yes"
        assert "ICD-Code I50.1:" in response.read().decode()
