"""The sealed outcome that `build` writes: what became of each stay, in the same bytes on any number of cores."""

import gzip
from pathlib import Path

import pytest
from copies import discharge, note, stay, write_copy, write_table

from builders.cohort import build as building
from builders.cohort.build import build
from builders.cohort.sections import divide_note
from builders.synthetic.synthesize import synthesize
from deepicd import storage
from deepicd.outcome import Outcome, read_outcomes
from deepicd.schema import COHORT, SPLITS


def outcomes(cohort: Path) -> list[Outcome]:
    return [outcome for split in SPLITS for outcome in read_outcomes(cohort, split, reader="verify")]


def test_an_outcome_says_what_became_of_a_stay(tmp_path: Path) -> None:
    copy = write_copy(
        tmp_path / "copy",
        stay(20000001, [(2, "i10"), (1, "I21.4"), (3, "I214"), (4, "NODX")]),
        [discharge(20000001, note("Chest pain").replace("Hospital Course:\nLEAK", "Hospital Course:\nStented."))],
    )
    admitted = {"admittime": "2180-01-01 06:00:00", "dischtime": "2180-01-04 18:00:00", "hospital_expire_flag": 1}
    write_table(copy, "hosp/admissions", [{"subject_id": 10000001, "hadm_id": 20000001, **admitted}])
    build(copy, copy, tmp_path / "out")
    [outcome] = outcomes(tmp_path / "out")
    assert (outcome.note_id, outcome.icd_codes) == ("10000001-DS-1", ("I214", "I10"))
    assert (outcome.days, outcome.died, outcome.icu) == (3.5, True, None)
    assert outcome.names == (
        "Major Surgical or Invasive Procedure", "Discharge Exam", "Pertinent Results", "Brief Hospital Course",
        "Discharge Medications", "Discharge Disposition", "Discharge Diagnosis", "Discharge Condition",
        "Discharge Instructions",
    )  # fmt: skip
    assert outcome.reveal("Brief Hospital Course", "Discharge Exam") == (
        "Discharge Exam:\nHR 70\n\nBrief Hospital Course:\nStented."
    )
    assert "Chest pain" not in outcome.reveal()


def test_what_is_cut_from_within_a_section_is_part_of_the_outcome() -> None:
    text = (
        "HPI:\nShe fell. During this hospitalization she was found to have a fracture.\n \n"
        "Hospital Course:\nPinned.\n \nDischarge Condition:\nMental Status: Clear.\n"
    )
    known, later = divide_note(text)
    assert known == {"History of Present Illness": "She fell."}
    assert later == [
        ("Brief Hospital Course", "Pinned."),
        ("Discharge Condition", "Clear."),
        ("Brief Hospital Course", "During this hospitalization she was found to have a fracture."),
    ]


def test_what_a_copy_does_not_tell_is_unknown_and_said(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    path = copy / "hosp" / "admissions.csv.gz"
    path.write_bytes(gzip.compress(b"subject_id,hadm_id,admittime,admission_type,race\n10000001,20000001,,,\n"))
    record = build(copy, copy, tmp_path / "out")
    [outcome] = outcomes(tmp_path / "out")
    assert (outcome.days, outcome.died) == (None, None)
    assert record.notes[-1:] == ["The sealed outcome has no length of stay and no death: admissions lacks the columns."]


def test_outcomes_are_the_cohorts_rows_in_the_same_bytes_on_any_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(tmp_path / "copy", 900, seed=9)
    digests = []
    for cores in (1, 2):
        monkeypatch.setattr(building, "choose_processes", lambda _, cores=cores: cores)
        record = build(tmp_path / "copy", tmp_path / "copy", tmp_path / f"on {cores}")
        digests.append({name: file.sha256 for name, file in record.outputs.items() if name.startswith("outcome/")})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3
    for split in SPLITS:
        rows = storage.read_table(tmp_path / "on 1" / f"{split}.parquet", COHORT).to_pylist()
        found = list(read_outcomes(tmp_path / "on 1", split, reader="verify"))
        assert [outcome.note_id for outcome in found] == [row["note_id"] for row in rows]
        assert all(outcome.icd_codes[0] == row["icd_code"] for outcome, row in zip(found, rows, strict=True))
        assert all(outcome.days is not None and outcome.died is not None for outcome in found)
