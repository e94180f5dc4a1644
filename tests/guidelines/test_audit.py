"""The audit finds what is wrong, and nothing where all is well."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepicd import storage
from deepicd.errors import DeepicdError
from guidelines.audit import Word, audit
from guidelines.commands import guidelines


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


def test_the_sample_is_word_for_word(sample_pdf, sample_folder):
    found = audit(sample_pdf, sample_folder)
    assert found.clean, list(found.lines())
    assert found.page_words == found.file_words > 1500
    assert (found.bookmarks, found.missing_bookmarks) == (91, [])


def test_a_lost_word_is_found_with_its_page(sample_pdf, spoiled):
    found = audit(sample_pdf, spoiled("serves the treatment", "serves treatment"))
    assert (found.lost, found.doubled, found.moved) == ([Word("the", "page 6")], [], [])


def test_a_doubled_word_is_found_with_its_section(sample_pdf, spoiled):
    found = audit(sample_pdf, spoiled("is treated, it", "is treated, treated, it"))
    assert (found.lost, found.doubled, found.moved) == ([], [Word("treated,", "I.C.2.b")], [])


def test_words_out_of_order_are_found(sample_pdf, spoiled):
    found = audit(sample_pdf, spoiled("primary tumor is still", "tumor primary is still"))
    assert (found.lost, found.doubled) == ([], [])
    assert found.moved


def test_a_section_that_lost_its_heading_is_found(sample_pdf, spoiled):
    found = audit(sample_pdf, spoiled('"title": "Treatment of a metastasis"', '"title": "Metastasis"'))
    assert [mark.title for mark in found.missing_bookmarks] == ["b. Treatment of a metastasis"]


def test_the_command_says_what_it_found(sample_pdf, sample_folder):
    result = CliRunner().invoke(guidelines, [str(sample_pdf), str(sample_folder.parent), "--audit"])
    assert "0 lost, 0 doubled, 0 out of order\n91 of 91 bookmarks are sections on their page" in result.stdout
    assert "nothing to do" in result.stderr


def test_the_command_fails_where_words_differ(sample_pdf, spoiled):
    folder = spoiled("only the metastasis", "only the metastases")  # as many bytes as its record says
    with pytest.raises(DeepicdError, match="not word for word"):
        CliRunner().invoke(guidelines, [str(sample_pdf), str(folder.parent), "--audit"], catch_exceptions=False)
