"""Missing parts are noticed: pages by their numbers, sections by their labels."""

from pathlib import Path

import pikepdf
import pytest

from deepicd import storage
from deepicd.errors import DeepicdError
from guidelines import parse
from guidelines.completeness import find_label_faults, find_page_faults
from guidelines.lines import Line, StyledText
from guidelines.running_lines import PageNumber
from guidelines.sample import document


def numbers(text: str, of: int) -> list[PageNumber | None]:
    return [None if word == "-" else PageNumber(int(word), of) for word in text.split()]


@pytest.mark.parametrize(
    ("printed", "of", "faults"),
    [
        ("- 2 3 4", 4, []),
        ("1 2 3 4", 4, []),
        ("- 1 2 3", 3, []),  # the front page is not counted
        ("- 2 - 4", 4, []),  # one footer left out
        ("- - - -", 4, []),  # a document without page numbers
        ("- 2 4", 4, ["missing: page 3 of 4"]),
        ("- 2 3", 5, ["missing: pages 4–5 of 5"]),
        ("3 4", 4, ["missing: pages 1–2 of 4"]),
        ("- 2 2 3", 3, ["repeated: page 2"]),
        ("- 3 2 4", 4, ["out of order: page 2"]),
        ("- 2 3 -", 3, ["not of these 3 pages: page 4"]),
    ],
)
def test_page_numbers(printed, of, faults):
    assert list(find_page_faults(numbers(printed, of))) == faults


def test_a_page_of_another_document_is_a_fault():
    assert list(find_page_faults([*numbers("- 2", 4), PageNumber(3, 9), PageNumber(4, 4)])) == [
        "not of these 4 pages: page 3"
    ]


def section(section_id: str, *labels: str) -> dict:
    label = section_id.rpartition(".")[2]
    below = [section(f"{section_id}.{own.strip('().')}") | {"label": own} for own in labels]
    return {"id": section_id, "label": f"{label}.", "title": "Title", "children": below}


@pytest.mark.parametrize(
    ("labels", "gap"),
    [
        (["1.", "2.", "3."], None),
        (["(h)", "(i)"], "from nothing to (h)"),
        (["(i)", "(ii)", "(iii)", "(iv)", "(v)"], None),
        ([*(f"({letter})" for letter in "abcdefghij")], None),
        (["1.", "2.", "4."], "from 2. to 4."),
        (["b."], "from nothing to b."),
        (["1)", "2)", "2)"], "from 2) to 2)"),
        (["(i)", "(iii)"], "from (i) to (iii)"),
    ],
)
def test_labels_have_no_gap(labels, gap):
    expected = [f"below I.A the numbering goes {gap}"] if gap else []
    assert list(find_label_faults([section("I.A", *labels)], [])) == expected


def entry(text: str) -> Line:
    return Line(2, 100, 500, 100, 12, StyledText(f"{text} ........ 7"), first_word=20)


def test_a_gap_that_the_contents_have_too_is_the_documents_own():
    tree = [section("I.A", "1.", "3.")]
    tree[0]["children"][0]["title"], tree[0]["children"][1]["title"] = "Format", "Characters"
    own = [entry("1. Format"), entry("a. Second level"), entry("3. Characters")]
    assert list(find_label_faults(tree, own)) == []
    assert list(find_label_faults(tree, [own[0], entry("2. Punctuation"), own[2]])) != []


@pytest.fixture
def without_b(tmp_path: Path) -> Path:
    """The sample without section I.C.1.b, which its contents do not list either."""
    text = document.read_sample_text()
    start = text.index("#### b. Intestinal infections")
    return document.write_sample(tmp_path / "cut.pdf", text[:start] + text[text.index("#### c. ", start) :])


@pytest.mark.parametrize("bookmarks", [True, False])
def test_a_document_that_skips_a_label_in_its_contents_too_is_complete(without_b, tmp_path, bookmarks):
    with pikepdf.open(without_b, allow_overwriting_input=True) as pdf:
        if not bookmarks:
            del pdf.Root["/Outlines"]
        pdf.save(without_b)
    parse.parse_pdf(without_b, tmp_path)
    sections = storage.read_json(tmp_path / "fy2025" / "chapter_01.json")["sections"]
    assert [section["id"] for section in sections] == ["I.C.1.a", "I.C.1.c"]


def test_a_skipped_label_is_a_fault_without_contents(without_b, tmp_path):
    with pikepdf.open(without_b, allow_overwriting_input=True) as pdf:
        del pdf.pages[1:3]
        pdf.save(without_b)
    with pytest.raises(DeepicdError, match=r"below I\.C\.1 the numbering goes from a\. to c\."):
        parse.parse_pdf(without_b, tmp_path)
