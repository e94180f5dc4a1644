"""Code files good and bad, and what is asked for."""

import pytest

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import codes


def values(read: list[Code]) -> list[str]:
    return [code.value for code in read]


def test_a_file_may_hold_dots_marks_comments_blank_lines_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text(
        "\ufeffI50.21\r\n\n# a comment\n  e11.65  # padded\nG01*\nB95.0!\nE10.-\nI25.1-\n", encoding="utf-8"
    )
    assert values(codes.read(file)) == ["I5021", "E1165", "G01", "B950", "E10", "I251"]


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("I5O.21", 3),  # the letter O for a nought
        ("  I5O.21", 5),
        ("I1", 3),  # too short: wrong where it ends
        ("250.00", 1),  # ICD-9
        ("I10 I20", 4),  # two on a line
        ("I50.21234", 9),  # eight characters
        ("ı10", 1),  # a dotless i
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path, line, column):
    file = tmp_path / "codes.txt"
    file.write_text(f"I10\n{line}\n", encoding="utf-8")
    with pytest.raises(DeepicdError, match=rf"codes\.txt, line 2, column {column}: "):
        codes.read(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "names no code"), (b"# nothing\n", "names no code"), (b"I10\n\xff\xfe", "not UTF-8 text")],
)
def test_a_file_without_codes_is_refused(tmp_path, content, message):
    (tmp_path / "codes.txt").write_bytes(content)
    with pytest.raises(DeepicdError, match=message):
        codes.read(tmp_path / "codes.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DeepicdError, match="There is no file"):
        codes.read(tmp_path / "codes.txt")


def test_each_code_brings_its_parents_once_and_none_is_longer_than_five():
    asked = codes.with_parents([Code("T383X6A"), Code("T383X1A"), Code("I10")])
    assert values(asked) == ["I10", "T38", "T383", "T383X"]
