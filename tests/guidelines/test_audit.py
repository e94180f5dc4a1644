"""The audit finds every difference, and none in a good year."""

import shutil
from pathlib import Path

import pytest

from deepicd import storage
from guidelines.audit import Audit, Word, audit
from guidelines.parse import read_year


@pytest.fixture
def spoiled(sample_folder: Path, tmp_path: Path):
    """A copy of the parsed sample in which a text of chapter 2 is replaced."""

    def replaced(old: str, new: str) -> Path:
        folder = shutil.copytree(sample_folder, tmp_path / "fy2025")
        file = folder / "chapter_02.json"
        text = file.read_text(encoding="utf-8")
        assert old in text
        storage.write_text(file, text.replace(old, new, 1))
        return folder

    return replaced


def compare(pdf: Path, folder: Path) -> Audit:
    return audit(pdf, list(read_year(folder).walk()))


def test_the_sample_is_word_for_word(sample_pdf, sample_folder):
    result = compare(sample_pdf, sample_folder)
    assert result.is_clean, list(result.format_lines())
    assert result.page_words == result.file_words > 1500
    assert (result.bookmarks, result.missing_bookmarks) == (91, [])


def test_a_lost_word_is_found_with_its_page(sample_pdf, spoiled):
    result = compare(sample_pdf, spoiled("serves the treatment", "serves treatment"))
    assert (result.lost, result.doubled, result.moved) == ([Word("the", "page 6")], [], [])


def test_a_doubled_word_is_found_with_its_section(sample_pdf, spoiled):
    result = compare(sample_pdf, spoiled("is treated, it", "is treated, treated, it"))
    assert (result.lost, result.doubled, result.moved) == ([], [Word("treated,", "I.C.2.b")], [])


def test_words_out_of_order_are_found(sample_pdf, spoiled):
    result = compare(sample_pdf, spoiled("primary tumor is still", "tumor primary is still"))
    assert (result.lost, result.doubled) == ([], [])
    assert result.moved


def test_a_section_without_its_heading_is_found(sample_pdf, spoiled):
    result = compare(sample_pdf, spoiled('"title": "Treatment of a metastasis"', '"title": "Metastasis"'))
    assert [mark.title for mark in result.missing_bookmarks] == ["b. Treatment of a metastasis"]


def test_the_command_prints_its_findings(sample_pdf, sample_folder, deepicd):
    result = deepicd("guidelines", sample_pdf, sample_folder.parent, "--audit")
    assert "0 lost, 0 doubled, 0 out of order\n91 of 91 bookmarks are sections on their page" in result.out
    assert "nothing to do" in result.err


def test_the_command_fails_where_words_differ(sample_pdf, spoiled, deepicd):
    folder = spoiled("only the metastasis", "only the metastases")  # as many bytes as its record says
    result = deepicd("guidelines", sample_pdf, folder.parent, "--audit")
    assert (result.code, "word for word" in result.err) == (1, True)
