"""Notes in other hospitals' style: what they look like, and what gold says of them."""

import csv
import gzip
import random
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.foreign import StyleScore, add_note, is_held
from builders.synthetic.clinical_case import Stay, build_case
from builders.synthetic.foreign_note import write_foreign_note
from builders.synthetic.foreign_style import Layout, load_lexicon
from builders.synthetic.generator_knowledge import Diagnosis
from builders.synthetic.mimic_csv import get_table_path
from builders.synthetic.synthesize import synthesize, synthesize_notes
from deepicd.errors import DeepicdError
from deepicd.icd10cm import load_release

STAYS = 600


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("foreign") / "mimic"
    synthesize(out, STAYS, 7, style="foreign", processes=1)
    return out


def read_notes(copy: Path) -> dict[str, str]:
    """note_id → text, as it stands in the file."""
    with gzip.open(get_table_path(copy, "note/discharge"), "rt", encoding="utf-8", newline="") as file:
        return {row["note_id"]: row["text"] for row in csv.DictReader(file)}


def normalize(text: str) -> str:
    return re.sub(r"\r*\n|\r", "\n", text)


@pytest.fixture(scope="module")
def notes(copy: Path) -> dict[str, str]:
    return read_notes(copy)


@pytest.fixture(scope="module")
def gold(copy: Path) -> list[dict[str, Any]]:
    return pq.read_table(copy / "gold.parquet").to_pylist()


def test_every_note_has_its_gold_verbatim_and_in_order(notes, gold):
    end, before = 0, ""
    for row in gold:
        text = normalize(notes[row["note_id"]])
        end = text.index(row["text"], end if row["note_id"] == before else 0) + len(row["text"])
        before = row["note_id"]
    assert {row["note_id"] for row in gold} == set(notes)


def test_what_was_known_at_admission_names_neither_the_diagnosis_nor_a_day_of_the_stay(gold):
    known = "\n".join(row["text"] for row in gold if row["known_at_admission"])
    assert "NAME" not in known
    assert not re.search(r"hospital day|at discharge|was discharged", known, re.IGNORECASE)


@pytest.mark.parametrize("code", random.Random(3).sample(sorted(load_release().billable), 40))
def test_any_code_has_a_note_that_holds_its_title_back_where_it_was_not_yet_known(code):
    for style in range(5):
        stay = Stay(10000001, 20000001 + style, "F", 40, "2150-03-01 14:05:00", "2150-03-05 10:00:00", 4, "HOME",
                    (Diagnosis(code, 10),))  # fmt: skip
        case = build_case(stay, {}, 1)
        _, parts = write_foreign_note(case, 4000)
        known = " ".join(" ".join(part.text for part in parts if part.known_at_admission).split())
        assert case.title.lower() not in known.lower()


def test_forms_of_headers_that_mimic_does_not_have_all_occur(notes):
    texts = "\n\n".join(map(normalize, notes.values()))
    forms = (
        r"\nHISTORY OF PRESENTING COMPLAINT: ",
        r"\nDrug History[ \n]*:?",
        r"\nPMH/PSH:",
        r"\nCC/HPI:",
        r"\nBRIEF HISTORY AND HOSPITAL COURSE",
        r"\n[A-Z]+ [A-Z]+\n[A-Z ]+:",
        r"\n-{15}\n",
        r"\n2\. [A-Z]",
        r"\nII\. ",
        r"\n\[[A-Z]",
        r"Patient states: ",
        r"\nTobacco: ",
        r"\nAs needed:\n",
        r"\nOn discharge:",
        r"incorporated by reference",
        r"(?i)\nTheatre List",
        r"(?i)\nPostpartum Course",
        r"(?i)\nNursery Course by System",
    )
    missing = [form for form in forms if not re.search(form, texts)]
    assert not missing
    assert any("\r\n" in text for text in notes.values())
    assert any("\r" in text and "\n" not in text for text in notes.values())


def test_the_order_of_sections_is_not_mimics(gold):
    first_of_note: dict[str, str] = {}
    for row in gold:
        first_of_note.setdefault(row["note_id"], row["section"])
    firsts = set(first_of_note.values())
    assert {"Discharge", "Chief Complaint", "Allergies", "Social History"} <= firsts


def test_unknown_headers_and_sentences_that_run_on_into_the_stay_are_of_the_stay(gold):
    assert {row["known_at_admission"] for row in gold if row["section"] in ("Unknown", "Later History")} == {False}
    sections = [row["section"] for row in gold]
    assert sections.count("Unknown") > 300 and sections.count("Later History") > 10


def test_unknown_headers_are_in_no_list_of_known_ones():
    lexicon = load_lexicon()
    known = {word.lower() for words in (*lexicon.admission.values(), *lexicon.stay.values()) for word in words}
    unknown = [entry.header.lower() for place in ("anywhere", "late") for entry in lexicon.unknown[place]]
    assert len(unknown) == len(set(unknown)) > 45
    assert known.isdisjoint(unknown)


def test_what_only_some_diseases_bring_about_stands_in_their_notes_only(copy, notes):
    with gzip.open(get_table_path(copy, "hosp/diagnoses_icd"), "rt", encoding="utf-8", newline="") as file:
        first = {}
        for row in sorted(csv.DictReader(file), key=lambda row: int(row["seq_num"])):
            first.setdefault(row["hadm_id"], row)
    with gzip.open(get_table_path(copy, "note/discharge"), "rt", encoding="utf-8", newline="") as file:
        stays = {row["note_id"]: row["hadm_id"] for row in csv.DictReader(file)}
    cardiac = [note_id for note_id, text in notes.items() if "CATH REPORT" in text.upper()]
    codes = [first[stays[note_id]] for note_id in cardiac if stays[note_id] in first]
    assert codes
    assert all(row["icd_code"].startswith("I") for row in codes if row["icd_version"] == "10")


def test_a_wording_belongs_to_one_section_only():
    lexicon = load_lexicon()
    wordings = [word.lower() for words in (*lexicon.admission.values(), *lexicon.stay.values()) for word in words]
    assert len(wordings) == len(set(wordings))


def test_tables_and_codes_are_those_of_the_mimic_style_and_only_notes_differ(copy, tmp_path):
    synthesize(tmp_path / "mimic", STAYS, 7, processes=1)
    for table in ("hosp/patients", "hosp/admissions", "hosp/diagnoses_icd", "hosp/d_icd_diagnoses"):
        assert get_table_path(copy, table).read_bytes() == get_table_path(tmp_path / "mimic", table).read_bytes()
    assert read_notes(copy).keys() == read_notes(tmp_path / "mimic").keys()
    assert not {*read_notes(copy).values()} & {*read_notes(tmp_path / "mimic").values()}


def test_half_of_the_notes_of_a_mixed_copy_are_foreign(copy, tmp_path):
    synthesize(tmp_path / "mixed", STAYS, 7, style="mixed")
    mixed, foreign = read_notes(tmp_path / "mixed"), read_notes(copy)
    same = sum(mixed[note_id] == text for note_id, text in foreign.items())
    assert 0.4 < same / len(foreign) < 0.6


def test_the_number_of_processes_changes_no_byte(tmp_path):
    options: dict[str, Any] = {"seed": 3, "style": "mixed"}
    apart = synthesize(tmp_path / "a", 2100, processes=2, **options).outputs
    assert apart == synthesize(tmp_path / "b", 2100, processes=1, **options).outputs


def test_notes_for_a_hosp_copy_have_the_style_too(copy, tmp_path):
    synthesize_notes(tmp_path / "notes", copy, 7, style="foreign")
    written, first = {*read_notes(tmp_path / "notes").values()}, {*read_notes(copy).values()}
    assert len(written & first) > 0.95 * len(first)  # the one without an admission has none here


def test_another_style_in_the_same_folder_is_refused(copy):
    with pytest.raises(DeepicdError, match="style"):
        synthesize(copy, STAYS, 7, style="mixed")


def test_headers_are_broken_numbered_and_marked_as_the_layout_says():
    layout = Layout(case="caps", mark=":", numbering="I.", separator="\n\n", line_end="\n", is_inline=True,
                    is_wrapped=False, is_prose=False, hospital=0)  # fmt: skip
    plain = random.Random()
    plain.random = lambda: 0.999  # type: ignore[method-assign]  # no departure
    assert layout.format_header("Review of Systems", 4, plain) == "IV. REVIEW OF SYSTEMS: "
    plain.random = iter([0.9, 0.0]).__next__  # type: ignore[method-assign]  # broken over two lines
    assert layout.format_header("Review of Systems", 4, plain) == "IV. REVIEW\nOF SYSTEMS: "


def test_a_line_counts_as_extracted_where_it_stands_after_a_header_on_the_same_line():
    assert is_held("Home", ["DISPOSITION: Home"])
    assert not is_held("Home", ["Home oxygen at night"])
    assert is_held("he was taken to surgery", ["Then he was taken to surgery on day 3."])


def test_lines_are_scored_as_kept_leaked_and_run_on():
    score = StyleScore()
    gold = [
        {"section": "Chief Complaint", "text": "Cough", "known_at_admission": True},
        {"section": "History of Present Illness", "text": "Two days of cough.", "known_at_admission": True},
        {"section": "Later History", "text": "Extubated on day 3.", "known_at_admission": False},
        {"section": "Unknown", "text": "Bed to chair on day 2.\nCough", "known_at_admission": False},
        {"section": "Discharge", "text": "Home", "known_at_admission": False},
    ]
    parts = {"History of Present Illness": "Cough\nExtubated on day 3.\nBed to chair on day 2."}
    add_note(score, parts, gold)
    assert (score.known, score.kept, score.right) == (2, 1, 0)
    assert (score.stay, score.leaked, score.run_on, score.run_on_left) == (2, 1, 1, 1)
    assert score.leaks == ["Unknown: Bed to chair on day 2."]
