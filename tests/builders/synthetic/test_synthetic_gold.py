"""gold.parquet: what it says of each note, and what it must be to score an extraction against."""

import csv
import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builders.cohort.headers import KNOWN, ORDER
from builders.synthetic.discharge_note import GOLD, Part, build_gold_rows
from builders.synthetic.mimic_csv import get_table_path
from builders.synthetic.synthesize import synthesize, synthesize_notes
from deepicd.storage import read_origin
from deepicd.synthetic_proof import is_synthetic


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gold") / "mimic"
    synthesize(out, 500)
    return out


@pytest.fixture(scope="module")
def notes(copy: Path) -> dict[str, str]:
    """note_id → text, line ends as LF."""
    with gzip.open(get_table_path(copy, "note/discharge"), "rt", encoding="utf-8", newline="") as file:
        return {row["note_id"]: row["text"].replace("\r\n", "\n") for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def gold(copy: Path) -> list[dict[str, Any]]:
    return pq.read_table(copy / "gold.parquet").to_pylist()


def test_it_is_a_synthetic_table_that_the_mark_proves(copy):
    assert pq.read_schema(copy / "gold.parquet").remove_metadata() == GOLD
    assert read_origin(copy / "gold.parquet") == "synthetic"
    assert is_synthetic(copy, [copy / "gold.parquet"])


def test_every_note_has_its_parts_verbatim_and_in_order(notes, gold):
    end, before = 0, ("", -1)
    for row in gold:
        if row["note_id"] != before[0]:
            end, before = 0, (row["note_id"], -1)
        assert row["place"] > before[1]
        end = notes[row["note_id"]].index(row["text"], end) + len(row["text"])
        before = (row["note_id"], row["place"])
    assert {row["note_id"] for row in gold} == set(notes)


def test_the_notes_hold_little_else_than_headers(notes, gold):
    told = sum(len(row["text"]) for row in gold)
    assert 0.8 < told / sum(map(len, notes.values())) < 0.95


def test_sections_bear_the_names_of_the_template(gold):
    assert {row["section"] for row in gold} <= {*ORDER, "Addendum"}
    assert {row["section"] for row in gold if row["known_at_admission"]} == {
        *KNOWN,
        "Pertinent Results",  # where it is marked as of the admission
    } - {"Social History"}  # always ___


def test_known_text_holds_neither_a_discharge_exam_nor_a_hospital_course(gold):
    known = "\n".join(row["text"] for row in gold if row["known_at_admission"])
    assert "\nDISCHARGE" not in known
    assert "Hospital Course:" not in known
    assert "expired" not in known


def test_a_part_under_another_header_bears_its_own_name():
    parts = [
        Part("Name", "", False),
        Part("Physical Exam", "HR 110", True),
        Part("Physical Exam", "DISCHARGE EXAM:\nHR 70", False, is_of="Discharge Exam"),
        Part("Social History", "___", True),
        Part("Discharge Diagnosis", "Gout", False),
    ]
    assert build_gold_rows("1-DS-1", parts) == [
        ("1-DS-1", 1, "Physical Exam", "HR 110", True),
        ("1-DS-1", 2, "Discharge Exam", "DISCHARGE EXAM:\nHR 70", False),
        ("1-DS-1", 4, "Discharge", "Gout", False),
    ]


def test_notes_for_a_hosp_copy_have_gold_too(tmp_path):
    synthesize(tmp_path / "copy", 30)
    synthesize_notes(tmp_path / "out", tmp_path / "copy")
    assert len(pq.read_table(tmp_path / "out" / "gold.parquet").column("note_id").unique()) == 30
    assert is_synthetic(tmp_path / "out", [tmp_path / "out" / "gold.parquet"])
