"""The release tables: read from the XML once, from the user's cache afterwards."""

from pathlib import Path

import pytest

from deepicd import release


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; the file that will be in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    release.fy2025.cache_clear()
    return release._cache_file()


def test_the_cached_tables_are_those_of_the_xml(cache: Path) -> None:
    made = release.fy2025()
    assert cache.is_file()
    release.fy2025.cache_clear()
    assert release.fy2025() == made
    assert len(made.billable) == 74_260
    assert list(made.titles)[:2] == ["A00", "A000"]
    assert made.inclusion_terms["A000"] == ("Classical cholera",)


@pytest.mark.parametrize("content", ["", "{", '{"year": 2025}', "[]"])
def test_a_damaged_cache_is_made_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert len(release.fy2025().billable) == 74_260
    assert cache.stat().st_size > 1_000_000


def test_a_cache_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    cache.parent.parent.joinpath(cache.parent.name).write_text("a file stands where the folder should be")
    assert len(release.fy2025().titles) > 90_000
