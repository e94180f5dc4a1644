"""A guideline as offices hand it on gives the same files or is refused, and never other files."""

from pathlib import Path

import pytest

from benchmarks.guideline_distortions import DISTORTIONS, compare, distort, read_json
from guidelines import parse

SAMPLE = {
    "scaled to 85 %": "identical",
    "scaled to 115 %": "identical",
    "on A4, to fit": "identical",
    "each page as a form, 85 %": "identical",
    "stamp above": "identical",
    "stamp aside": "identical",
    "watermark over the text": "identical",
    "overprint of two pages": "identical",
    "without bookmarks": "identical",
    "trailing bytes": "identical",
    "note on page 9": "has text that was added to the document, on page 9",
    "two pages recognised": "pages 8–9 of the file are a picture with text recognised on it",
    "two pages on a sheet": "not",
    "letters shifted": "its first page lacks the title",
    "without font names": "has lost its name",
}


@pytest.mark.parametrize(("name", "expected"), SAMPLE.items())
def test_the_sample_is_the_same_or_refused(sample_pdf: Path, sample_folder: Path, tmp_path: Path, name, expected):
    result = compare(sample_pdf, name, read_json(sample_folder), tmp_path)
    assert expected in result
    assert not result.startswith("WRONG")


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_real_document_is_the_same_or_refused(real_pdf: Path, real_folder: Path, tmp_path: Path, name):
    result = compare(real_pdf, name, read_json(real_folder), tmp_path)
    assert result == "identical" or result.startswith("refused: ")


def test_what_was_taken_out_is_named_and_counted(sample_pdf: Path, tmp_path: Path):
    record = parse.parse_pdf(distort(sample_pdf, "stamp above", tmp_path / "stamped.pdf"), tmp_path)
    assert record.counts.running_lines == {
        "Downloaded from example.org on #/#/# by user # for internal use only": 12,
        "FY #": 11,
        "ICD-#-CM Official Guidelines for Coding and Reporting": 11,
        "Page # of #": 11,
    }
