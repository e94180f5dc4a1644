"""Excerpts over all codes of the release: no section that has nothing to do with the code."""

from pathlib import Path

import pytest

from deepicd.icd10cm import Code, load_release
from deepicd.knowledge.guideline_sections import SectionText, choose_passages, read_sections


@pytest.fixture(params=["sample_folder", pytest.param("real_folder", marks=pytest.mark.slow)])
def year(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def applies_to(section: SectionText, code: Code) -> bool:
    """Return whether a section is of the code's chapter or names the code, its category or a range over it."""
    return section.chapter == code.chapter.number or any(
        code.value.startswith(reference["first"])
        if reference["first"] == reference["last"]
        else reference["first"] <= code.value[: len(reference["first"])]
        and code.value[: len(reference["last"])] <= reference["last"]
        for reference in section.codes
    )


def test_every_section_of_every_excerpt_applies_to_the_code_or_contains_one_that_does(year):
    index = read_sections(year / "sections.parquet")
    below = {
        key: [section for other, section in index.sections.items() if other.startswith(f"{key}.")]
        for key in index.sections
    }
    codes = [Code(value) for value in load_release().billable]
    assert len(codes) == 74_260
    foreign = {
        (passage.section.id, code.category)
        for code in codes
        for passage in choose_passages(index, code, max_tokens=1024)
        if not any(applies_to(section, code) for section in (passage.section, *below[passage.section.id]))
    }
    assert foreign == set()
