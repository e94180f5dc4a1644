"""The release tables: read from the XML once, from the user's cache afterwards."""

from pathlib import Path

import pytest

from deepicd import icd10cm_release


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; the file that will be in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    icd10cm_release.load_release.cache_clear()
    return icd10cm_release._cache_file()


def test_the_cached_tables_are_those_of_the_xml(cache: Path) -> None:
    made = icd10cm_release.load_release()
    assert cache.is_file()
    icd10cm_release.load_release.cache_clear()
    assert icd10cm_release.load_release() == made
    assert len(made.billable) == 74_260
    assert list(made.titles)[:2] == ["A00", "A000"]
    assert made.inclusion_terms["A000"] == ("Classical cholera",)


@pytest.mark.parametrize("content", ["", "{", '{"year": 2025}', "[]"])
def test_a_damaged_cache_is_made_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert len(icd10cm_release.load_release().billable) == 74_260
    assert cache.stat().st_size > 1_000_000


def test_a_cache_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    cache.parent.parent.joinpath(cache.parent.name).write_text("a file stands where the folder should be")
    assert len(icd10cm_release.load_release().titles) > 90_000
