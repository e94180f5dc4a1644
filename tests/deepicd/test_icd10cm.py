"""ICD-10-CM: what is a code, and where it belongs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platformdirs import user_cache_path

from deepicd import icd10cm
from deepicd.errors import BadCode
from deepicd.icd10cm import CHAPTERS, Code, find_chapter, load_release


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I50.21", "I5021"),  # with its dot
        ("I5021", "I5021"),  # as MIMIC stores it
        ("i50.21", "I5021"),  # lower case
        ("  I5021   ", "I5021"),  # padded as CHAR(7)
        ("I10", "I10"),  # a category that is a leaf
        ("C7A.8", "C7A8"),  # third character a letter
        ("z3a.08", "Z3A08"),
        ("M1A.0110", "M1A0110"),
        ("T38.3X6A", "T383X6A"),  # placeholder and encounter
        ("E11.A", "E11A"),  # fourth character a letter, new in FY2025
        ("QA0.0101", "QA00101"),  # FY2026's second-character letter
    ],
)
def test_every_way_to_write_a_code_is_read(text: str, value: str) -> None:
    assert Code.parse(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I5",  # too short
        "I50.",  # a dot and nothing after it
        "I5.021",  # dot in the wrong place
        "I50.21.1",
        "I5021ABCD",  # eight characters and more
        "4019",  # ICD-9
        "E11.-",  # a category in the guidelines' notation
        "ı10",  # dotless i, which upper-cases to an ASCII I
        "І10",  # a Cyrillic letter
        "I１0",  # a full-width digit
        "I 10",
        "CAB",
    ],
)
def test_what_is_no_code_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(BadCode, match="is not an ICD-10-CM code"):
        Code.parse(text)
    assert Code.find(text) is None


def test_an_icd9_v_code_has_the_shape_but_is_not_in_the_release() -> None:
    assert not Code.parse("V4581").in_release  # only icd_version tells the two apart


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(BadCode) as error:
        Code.parse("a note that somebody passed by mistake " * 100)
    assert len(str(error.value)) < 250


@given(st.text(max_size=12))
def test_parsing_never_fails_otherwise_and_printing_comes_back(text: str) -> None:
    if code := Code.find(text):
        assert Code.parse(str(code)) == code


def test_each_category_of_the_release_lies_in_the_chapter_that_the_tables_put_it_in() -> None:
    for chapter in CHAPTERS:
        [(first, last)] = chapter.ranges
        categories = {value for value in load_release().titles if len(value) == 3 and find_chapter(value) is chapter}
        assert first <= min(categories)
        assert max(categories) <= last
    assert {find_chapter(value[:3]).number for value in load_release().titles} == set(range(1, 23))


def test_the_letters_that_two_chapters_share_are_divided() -> None:
    expected = {"D49": 2, "D3A": 2, "D50": 3, "H59": 7, "H60": 8, "O9A": 15, "T88": 19, "U07": 22, "V00": 20, "Z99": 21}
    assert {category: find_chapter(category).number for category in expected} == expected


def test_the_release_holds_the_codes_of_fy2025() -> None:
    assert len(load_release().billable) == 74_260
    assert Code.parse("I21.4").title == "Non-ST elevation (NSTEMI) myocardial infarction"
    assert all(title == " ".join(title.split()) for title in load_release().titles.values())
    assert Code.parse("E11.9").is_billable
    assert Code.parse("E11").in_release
    assert not Code.parse("E11").is_billable
    assert Code.parse("I99.7").title is None


def test_the_shape_admits_every_code_of_the_release() -> None:
    assert all(Code.parse(value).value == value for value in load_release().titles)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache file, in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    icd10cm.load_release.cache_clear()
    return user_cache_path("deepicd") / icd10cm.CACHE_NAME


def test_the_cached_tables_are_those_of_the_xml(cache: Path) -> None:
    release = icd10cm.load_release()
    assert cache.is_file()
    icd10cm.load_release.cache_clear()
    assert icd10cm.load_release() == release
    assert len(release.billable) == 74_260
    assert list(release.titles)[:2] == ["A00", "A000"]
    assert release.inclusion_terms["A000"] == ("Classical cholera",)


@pytest.mark.parametrize("content", ["", "{", '{"year": 2025}', "[]"])
def test_a_damaged_cache_is_written_again(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert len(icd10cm.load_release().billable) == 74_260
    assert cache.stat().st_size > 1_000_000


def test_a_cache_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    cache.parent.parent.joinpath(cache.parent.name).write_text("a file stands where the folder should be")
    assert len(icd10cm.load_release().titles) > 90_000
