"""From a PDF to files, on the demonstration PDF."""

import json
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import SECTIONS
from guidelines import parse
from guidelines.sample import document


def chapter(folder: Path, number: int) -> dict:
    return storage.read_json(folder / f"chapter_{number:02}.json")


def test_the_sample_is_drawn_the_same_each_time(sample_pdf, tmp_path):
    assert document.write_sample(tmp_path / "again.pdf").read_bytes() == sample_pdf.read_bytes()


def test_there_is_a_file_for_every_chapter_and_part(sample_folder):
    parts = ["I", "II", "III", "IV", "I_A", "I_B", "I_C"]
    expected = {f"chapter_{number:02}.json" for number in range(1, 23)} | {f"section_{part}.json" for part in parts}
    expected |= {"appendix_I.json", "front.json", "sections.parquet", "run.json"}
    assert {path.name for path in sample_folder.iterdir()} == expected


def test_a_chapter_says_what_it_covers_and_when(sample_folder):
    first = chapter(sample_folder, 1)
    assert {key: first[key] for key in ("id", "number", "roman", "title", "ranges", "fiscal_year", "effective")} == {
        "id": "I.C.1",
        "number": 1,
        "roman": "I",
        "title": "Certain Infectious and Parasitic Diseases",
        "ranges": [["A00", "B99"], ["U07.1", "U07.1"], ["U09.9", "U09.9"]],
        "fiscal_year": 2025,
        "effective": ["2024-10-01", "2025-09-30"],
    }


def test_sections_nest_as_they_are_numbered(sample_folder):
    sepsis = chapter(sample_folder, 1)["sections"][0]
    severe = sepsis["children"][1]["children"][0]
    assert (severe["id"], severe["label"], severe["title"]) == ("I.C.1.a.2.a", "(a)", "Severe sepsis")
    assert [reference["text"] for reference in severe["codes"]] == ["R65.2"]


def test_chapters_that_share_a_page_are_split_at_the_heading(sample_folder):
    second, third = chapter(sample_folder, 2), chapter(sample_folder, 3)
    assert second["pages"][1] == third["pages"][0]
    assert "Reserved" not in json.dumps(second)


@pytest.mark.parametrize("number", [3, 8, 11])
def test_reserved_chapters_say_so(sample_folder, number):
    assert chapter(sample_folder, number)["reserved"]
    assert not chapter(sample_folder, 22)["reserved"]


def test_a_hyphen_at_a_line_end_stays_a_hyphen(sample_folder):
    (text,) = [block["text"] for block in chapter(sample_folder, 9)["sections"][0]["blocks"]]
    assert "be it right-sided, left-sided or of both sides" in text


def test_bullets_are_items(sample_folder):
    blocks = chapter(sample_folder, 5)["sections"][0]["blocks"]
    assert [(block["kind"], block["text"]) for block in blocks[1:]] == [
        ("item", "use and abuse: abuse"),
        ("item", "abuse and dependence: dependence"),
    ]


def test_marks_of_change_are_kept(sample_folder):
    (block,) = chapter(sample_folder, 4)["sections"][0]["blocks"]
    (mark,) = block["marks"]
    assert block["text"][mark["start"] : mark["end"]] == "starting with the one that led to the stay."
    (moved,) = chapter(sample_folder, 20)["blocks"][0]["marks"]
    assert moved == {"start": 0, "end": 29, "style": "underline"}
    assert chapter(sample_folder, 19)["sections"][1]["title_marks"] == [{"start": 0, "end": 19, "style": "italics"}]


def test_footers_and_contents_are_in_no_file(sample_folder):
    everything = "".join(path.read_text() for path in sample_folder.glob("*.json") if path.name != "run.json")
    assert ". . ." not in everything
    assert "Page 6" not in everything


def test_the_table_holds_every_section_once(sample_folder):
    table = pq.read_table(sample_folder / "sections.parquet")
    assert table.schema.names == SECTIONS.names
    rows = {row["id"]: row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == 91
    assert rows["I.B.4"]["text"].splitlines()[1] == "- body mass index"
    assert (rows["I.C.9.a"]["parent"], rows["I.C.9.a"]["level"], rows["I.C.9.a"]["chapter"]) == ("I.C.9", 3, 9)
    assert rows["I.B.3"]["see"] == ["I.C.18.a"]
    mark = rows["I.B.2"]["marks"][0]
    assert rows["I.B.2"]["text"][mark["start"] : mark["end"]].startswith("A three-character code")


def test_a_made_up_year_says_so(sample_folder):
    record = records.read(sample_folder)
    assert record.origin == storage.read_origin(sample_folder / "sections.parquet") == "synthetic"
    assert record.notes == ["Made up for demonstration: these are not the official guidelines."]


def test_knowledge_finds_the_chapter_of_a_code(sample_folder):
    text = Knowledge(sample_folder).find_guidelines(Code.parse("I11.0"))
    assert text.startswith("9. Chapter 9: Diseases of the Circulatory System (I00-I99)\na. Hypertension\n")


@pytest.mark.parametrize(("code", "chapters"), [("U07.1", [1, 22]), ("U09.9", [1, 22]), ("U07.0", [10, 22])])
def test_a_code_that_another_chapter_covers_gets_that_chapter_and_its_own(sample_folder, code, chapters):
    lines = Knowledge(sample_folder).find_guidelines(Code.parse(code)).splitlines()
    assert [line for line in lines if ". Chapter " in line] == [heading(sample_folder, number) for number in chapters]


def test_other_special_codes_get_chapter_22_alone(sample_folder):
    assert Knowledge(sample_folder).find_guidelines(Code.parse("U80")).startswith(heading(sample_folder, 22))


def heading(folder: Path, number: int) -> str:
    return chapter(folder, number)["heading"]


@pytest.mark.parametrize(
    "content", ["{}", "[]", '"text"', '{"number": 1, "heading": "1. Chapter 1", "ranges": [["A00"]]}']
)
def test_a_chapter_file_of_another_shape_is_refused(sample_folder, tmp_path, content):
    folder = shutil.copytree(sample_folder, tmp_path / "fy2025")
    storage.write_text(folder / "chapter_04.json", content)
    with pytest.raises(DeepicdError, match=r"chapter_04.json is not a chapter file of this version.\nWrite it again"):
        Knowledge(folder).read()
    with pytest.raises(DeepicdError, match=r"chapter_04.json is not a file of parsed guidelines"):
        parse.read_year(folder)


def test_a_second_run_does_nothing(sample_pdf, sample_folder, deepicd):
    before = {path.name: path.stat().st_mtime_ns for path in sample_folder.iterdir()}
    assert "nothing to do" in deepicd("guidelines", sample_pdf, sample_folder.parent).err
    assert {path.name: path.stat().st_mtime_ns for path in sample_folder.iterdir()} == before


def test_the_same_pdf_makes_the_same_bytes_and_the_record_counts_the_time(sample_pdf, sample_folder, tmp_path):
    start = time.monotonic()
    record = parse.parse_pdf(sample_pdf, tmp_path)
    assert record.seconds > 0.5 * (time.monotonic() - start)
    assert storage.digest_path(tmp_path / "fy2025") == storage.digest_path(sample_folder)


def test_another_pdf_of_the_year_is_refused_without_overwrite(sample_pdf, sample_folder, tmp_path):
    shutil.copytree(sample_folder, tmp_path / "fy2025")
    (changed := tmp_path / "changed.pdf").write_bytes(sample_pdf.read_bytes() + b"\n")
    with pytest.raises(DeepicdError, match="input pdf differs"):
        parse.parse_pdf(changed, tmp_path)
    assert parse.parse_pdf(changed, tmp_path, overwrite=True).inputs["pdf"].digest == storage.digest_path(changed)
