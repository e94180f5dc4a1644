"""Notes for a hosp copy that exists: made-up ones, and MIMIC-IV's open demo where it is at hand."""

import csv
import gzip
import os
import shutil
from pathlib import Path

import pytest

from builders.synthetic.mimic_csv import get_table_path
from builders.synthetic.synthesize import synthesize, synthesize_notes
from deepicd.errors import DeepicdError
from deepicd.synthetic_proof import MARK, is_synthetic

DEMO = Path(os.environ.get("DEEPICD_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "mimic-iv-demo"

ADMISSIONS = """\
subject_id,hadm_id,admittime,dischtime,discharge_location,hospital_expire_flag
10000001,20000001,2150-03-01 14:05:00,2150-03-05 11:00:00,HOME,0
10000001,20000002,2151-01-01 00:00:00,2151-01-02 00:00:00,,1
10000002,20000003,2149-12-31 23:00:00,2149-12-30 20:00:00,DIED,1
10000002,20000004,2148-12-31 23:00:00,2149-01-30 20:00:00,HOME,0
"""
PATIENTS = "subject_id,gender,anchor_age,anchor_year\n10000001,F,60,2150\n10000002,M,91,2148\n"
DIAGNOSES = """\
subject_id,hadm_id,seq_num,icd_code,icd_version
10000001,20000001,2,I10,10
10000001,20000001,1,J189,10
10000001,20000002,1,0389,9
10000002,20000003,3,Z9999,10
"""


@pytest.fixture
def hosp(tmp_path: Path) -> Path:
    """A copy of three stays with diagnoses and one without, not proven to be made up."""
    folder = tmp_path / "theirs" / "hosp"
    folder.mkdir(parents=True)
    for name, text in {"admissions": ADMISSIONS, "patients": PATIENTS, "diagnoses_icd": DIAGNOSES}.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def notes(out: Path) -> list[dict[str, str]]:
    with gzip.open(get_table_path(out, "note/discharge"), "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_stay_with_a_diagnosis_gets_a_note_that_names_it(hosp, tmp_path):
    record = synthesize_notes(tmp_path / "out", hosp)
    rows = notes(tmp_path / "out")
    assert [(row["note_id"], row["hadm_id"]) for row in rows] == [
        ("10000001-DS-1", "20000001"),
        ("10000001-DS-2", "20000002"),
        ("10000002-DS-1", "20000003"),
    ]
    assert "pneumonia" in rows[0]["text"].lower()
    assert "sepsis" in rows[1]["text"].lower()
    assert "Condition coded Z9999" in rows[2]["text"].replace("\n", " ")
    assert record.counts.dump() == {"notes": 3, "notes_icd10": 2, "notes_icd9": 1}


def test_another_copys_ids_keep_it_credentialed_and_unmarked(hosp, tmp_path):
    record = synthesize_notes(tmp_path / "out", hosp)
    assert record.origin == "mimic"
    assert not (tmp_path / "out" / MARK).exists()
    assert "does not prove itself synthetic" in " ".join(record.notes)


def test_notes_for_a_proven_copy_are_proven_too(tmp_path):
    synthesize(tmp_path / "ours", 40)
    record = synthesize_notes(tmp_path / "out", tmp_path / "ours")
    assert record.origin == "synthetic"
    assert is_synthetic(tmp_path / "out", [get_table_path(tmp_path / "out", "note/discharge")])
    assert record.counts.notes == 40


def test_root_or_hosp_folder_packed_or_not_make_the_same_notes(hosp, tmp_path):
    packed = tmp_path / "packed" / "hosp"
    packed.mkdir(parents=True)
    for file in hosp.iterdir():
        (packed / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    synthesize_notes(tmp_path / "a", hosp)
    synthesize_notes(tmp_path / "b", hosp.parent)
    synthesize_notes(tmp_path / "c", packed)
    written = [get_table_path(tmp_path / name, "note/discharge").read_bytes() for name in "abc"]
    assert written[0] == written[1] == written[2]


def test_titles_come_from_the_copys_own_dictionary(hosp, tmp_path):
    (hosp / "d_icd_diagnoses.csv").write_text("icd_code,icd_version,long_title\nZ9999,10,Their own words\n")
    record = synthesize_notes(tmp_path / "out", hosp)
    assert "their own words" in notes(tmp_path / "out")[2]["text"].replace("\n", " ").lower()
    assert not any("d_icd_diagnoses" in note for note in record.notes)


def test_running_twice_does_nothing_the_second_time(hosp, tmp_path):
    assert synthesize_notes(tmp_path / "out", hosp).started == synthesize_notes(tmp_path / "out", hosp).started


def test_a_missing_folder_table_or_column_is_named(hosp, tmp_path):
    with pytest.raises(DeepicdError, match="does not exist"):
        synthesize_notes(tmp_path / "out", tmp_path / "nowhere")
    (hosp / "patients.csv").write_text("subject_id,gender\n10000001,F\n")
    with pytest.raises(DeepicdError, match="no column anchor_age, anchor_year"):
        synthesize_notes(tmp_path / "out", hosp)
    (hosp / "patients.csv").unlink()
    with pytest.raises(DeepicdError, match=r"holds neither patients\.csv\.gz nor"):
        synthesize_notes(tmp_path / "out", hosp)
    assert not (tmp_path / "out").exists()


def test_a_table_cut_short_is_an_error_without_a_row_in_it(hosp, tmp_path):
    whole = gzip.compress((DIAGNOSES + "10000001,20000001,9,I10,10\n" * 200_000).encode())
    (hosp / "diagnoses_icd.csv").unlink()
    (hosp / "diagnoses_icd.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DeepicdError, match="cannot be read to its end: the gzip ends early") as caught:
        synthesize_notes(tmp_path / "out", hosp)
    assert "10000001" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]


def test_values_that_are_no_numbers_or_dates_are_an_error_without_a_row_in_it(hosp, tmp_path):
    (hosp / "admissions.csv").write_text(ADMISSIONS.replace("2150-03-01 14:05:00", "spring"))
    with pytest.raises(DeepicdError) as caught:
        synthesize_notes(tmp_path / "out", hosp)
    assert "spring" not in str(caught.value)


@pytest.mark.skipif(not DEMO.is_dir(), reason=f"no MIMIC-IV demo at {DEMO}")
def test_the_open_demo_gets_275_notes_with_titles_of_the_release(tmp_path):
    shutil.copytree(DEMO, tmp_path / "demo")
    record = synthesize_notes(tmp_path / "out", tmp_path / "demo")
    assert record.counts.notes == 275
    assert record.counts.notes_icd10 == 123
    assert record.origin == "mimic"
    assert "The copy has no d_icd_diagnoses" in record.notes[0]


def test_a_copy_whose_codes_lost_their_zeros_gets_no_notes(hosp, tmp_path):
    path = hosp / "diagnoses_icd.csv"
    path.write_text(DIAGNOSES.replace("0389", "42"))  # HIV is 042
    with pytest.raises(DeepicdError, match="has lost the leading zeros"):
        synthesize_notes(tmp_path / "out", hosp)
    assert not (tmp_path / "out").exists()
