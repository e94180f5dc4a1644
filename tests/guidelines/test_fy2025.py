"""The real document, where it is at hand: complete, word for word, and the same without its bookmarks."""

from pathlib import Path

import pikepdf
import pytest

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import Section
from guidelines import parse
from guidelines.audit import audit

# Characters by chapter as another extractor counts them, line ends included.
CHARACTERS = {
    1: 27_359, 2: 16_332, 3: 169, 4: 6_522, 5: 6_030, 6: 6_679, 7: 2_960, 8: 107, 9: 13_798, 10: 5_924, 11: 102,
    12: 4_720, 13: 4_078, 14: 1_744, 15: 20_680, 16: 7_332, 17: 1_613, 18: 5_547, 19: 22_529, 20: 12_006, 21: 35_492,
    22: 274,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(real_folder: Path) -> Path:
    return real_folder


@pytest.fixture(scope="module")
def sections(folder: Path) -> dict[str, Section]:
    return {section["id"]: section for section in parse.read_year(folder).walk()}


@pytest.mark.slow
def test_every_word_is_in_one_place_and_every_bookmark_is_a_section(real_pdf, folder):
    result = audit(real_pdf, list(parse.read_year(folder).walk()))
    assert result.is_clean, list(result.format_lines())
    assert (result.page_words, result.bookmarks) == (41_617, 487)


@pytest.mark.parametrize(("number", "expected"), CHARACTERS.items())
def test_chapters_are_as_long_as_another_extractor_finds_them(folder, number, expected):
    first, _ = CHAPTERS[number - 1].ranges[0]
    text = Knowledge(folder).find_guidelines(Code.parse(first))
    assert len(text) == pytest.approx(expected, rel=0.03, abs=30)  # it counts line ends and blanks before them


def test_the_record_counts_sections_and_headings(folder):
    record = records.read(folder)
    assert (record.origin, record.options, record.notes) == ("public", {"fiscal_year": 2025}, [])
    counts = record.counts
    assert counts.audited_words == 41_617
    assert counts.running_lines == {
        "FY #": 119,
        "ICD-#-CM Official Guidelines for Coding and Reporting": 119,
        "Page # of #": 119,
    }
    assert (counts.sections, counts.headings_from_bookmarks, counts.headings_from_fonts) == (488, 487, 1)


@pytest.mark.parametrize(
    ("number", "ranges"),
    [
        (1, [["A00", "B99"], ["U07.1", "U07.1"], ["U09.9", "U09.9"]]),
        (5, [["F01", "F99"]]),
        (10, [["J00", "J99"], ["U07.0", "U07.0"]]),
        (15, [["O00", "O9A"]]),
    ],
)
def test_odd_ranges_are_read(folder, number, ranges):
    assert storage.read_json(folder / f"chapter_{number:02}.json")["ranges"] == ranges


def test_reserved_chapters_are_3_8_and_11(folder):
    files = sorted(folder.glob("chapter_*.json"))
    assert [chapter["number"] for chapter in map(storage.read_json, files) if chapter["reserved"]] == [3, 8, 11]


@pytest.mark.slow
def test_without_its_bookmarks_the_same_sections_come_out(real_pdf, sections, tmp_path):
    with pikepdf.open(real_pdf) as pdf:
        del pdf.Root["/Outlines"]
        pdf.save(tmp_path / "bare.pdf")
    record = parse.parse_pdf(tmp_path / "bare.pdf", tmp_path)
    assert (record.counts.bookmarks, record.counts.headings_from_fonts) == (0, 488)
    bare = {section["id"]: section for section in parse.read_year(tmp_path / "fy2025").walk()}
    assert bare == sections


@pytest.mark.slow
def test_missing_pages_are_named_with_bookmarks_and_without(real_pdf, tmp_path):
    with pikepdf.open(real_pdf) as pdf:
        del pdf.pages[62:66]
        pdf.save(tmp_path / "cut.pdf")
        del pdf.Root["/Outlines"]
        pdf.save(tmp_path / "bare.pdf")
    for name in ("cut.pdf", "bare.pdf"):
        with pytest.raises(DeepicdError, match="missing: pages 63–66 of 120"):
            parse.parse_pdf(tmp_path / name, tmp_path / "out")


def test_references_between_sections_lead_somewhere(sections):
    pointed = {target for section in sections.values() for target in section["see"]}
    assert len(pointed) > 50
    assert pointed <= sections.keys()
    assert sections["I.C.1.d.7"]["see"] == ["I.C.15.j"]


def test_line_end_hyphens_bullets_and_marks(sections):
    hurricane = sections["I.B.19.b"]["blocks"][0]["text"]
    assert "man-made structure" in hurricane
    assert "Code X36.0.-, Collapse" in hurricane
    assert [block["kind"] for block in sections["I.C.16.a.6"]["blocks"]].count("item") == 6
    (presymptomatic,) = sections["I.C.4.a.1.a"]["blocks"]
    whole = len(presymptomatic["text"]) - 1  # its full stop is not bold
    assert presymptomatic["marks"] == [{"start": 0, "end": whole, "style": "bold"}]
    assert sections["IV.B"]["title_marks"] == [{"start": 41, "end": 48, "style": "italics"}]


def test_a_paragraph_over_a_page_end_is_one(sections):
    texts = [block["text"] for block in sections["I.C.4.a"]["blocks"]]
    assert len(texts) == 1
    assert "They should be sequenced based on" in texts[0]
