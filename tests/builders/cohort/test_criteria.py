"""What a build may be asked for: presets, filters, flags, and the files beside the splits."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Deepicd
from copies import discharge, note, stay, write_copy

from builders.cohort import batch, parallel
from builders.cohort.build import build
from builders.cohort.criteria import DEFAULT, PRESETS
from builders.cohort.sections import extract_admission_sections
from builders.cohort.stays import join_notes, read_stays
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.mimic import local_copy
from deepicd.schema import SPLITS
from distill.tiny_teacher import WEIGHTS


def cohort(out: Path) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in pq.read_table(out / f"{split}.parquet").to_pylist()]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Six stays of three patients, one of them ICD-9."""
    diagnoses = [
        *stay(20000001, [(1, "I214")]),
        *stay(20000002, [(1, "T8149XA"), (2, "T8144XA")]),
        *stay(20000003, [(1, "R0789")]),
        *stay(20000004, [(2, "Z3A08")]),
        *stay(20000005, [(1, "I214X")]),
        *stay(20000006, [(1, "4019")], version=9),
    ]
    return write_copy(tmp_path / "copy", diagnoses, [discharge(20000000 + n) for n in range(1, 7)])


def test_rows_are_flagged_where_the_first_code_may_mislead(copy: Path, tmp_path: Path) -> None:
    record = build(copy, copy, tmp_path / "out")
    assert {row["icd_code"]: row["flags"] for row in cohort(tmp_path / "out")} == {
        "I214": [],
        "T8149XA": ["sepsis second"],
        "R0789": ["symptom first"],
        "Z3A08": ["Z code first", "letter-third category", "seq_num above 1"],
        "I214X": ["never existed"],
    }
    assert record.counts.flags["sepsis second"] == 1


def test_headers_retired_codes_and_codes_that_never_existed_are_told_apart(tmp_path: Path, deepicd: Deepicd) -> None:
    codes = ["I214", "I48", "I6020", "I6020", "I214X", "I214X"]
    diagnoses = [row for n, code in enumerate(codes) for row in stay(20000001 + n, [(1, code)])]
    notes = [discharge(20000001 + n) for n in range(len(codes))]
    titles = {"I214": "NSTEMI", "I48": "Atrial fibrillation and flutter", "I6020": "Subarachnoid hemorrhage"}
    copy = write_copy(tmp_path / "copy", diagnoses, notes, titles)
    done = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "out")
    assert {row["icd_code"]: row["flags"] for row in cohort(tmp_path / "out")} == {
        "I214": [], "I48": ["not billable"], "I6020": ["retired"], "I214X": ["never existed"],
    }  # fmt: skip
    assert "2 with one that never existed, 1 with one that is a header of FY2025 (not billable), 2 with" in done.out
    (copy / "hosp" / "d_icd_diagnoses.csv.gz").unlink()
    done = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "without")
    assert "4 with one that is retired or never existed (the copy has no d_icd_diagnoses)" in done.out


def test_stays_of_one_patient_are_flagged(tmp_path: Path) -> None:
    diagnoses = [*stay(20000001, [(1, "I214")]), *stay(20000002, [(1, "J189")])]
    notes = [discharge(20000001), discharge(20000002)]
    for row in [*diagnoses, *notes]:
        row["subject_id"] = 10000001
    notes[1]["note_id"] = "10000001-DS-2"
    copy = write_copy(tmp_path / "copy", diagnoses, notes)
    admissions = [{"subject_id": 10000001, "hadm_id": hadm_id} for hadm_id in (20000001, 20000002)]
    from copies import write_table

    write_table(copy, "hosp/admissions", admissions)
    build(copy, copy, tmp_path / "out")
    assert [row["flags"] for row in cohort(tmp_path / "out")] == [["patient has several stays"]] * 2


def test_every_note_is_in_the_cohort_or_excluded_with_its_reason(copy: Path, tmp_path: Path) -> None:
    build(copy, copy, tmp_path / "out")
    excluded = pq.read_table(tmp_path / "out" / "excluded.parquet")
    assert excluded.to_pylist() == [
        {"note_id": "10000006-DS-1", "subject_id": 10000006, "hadm_id": 20000006, "reason": "not ICD-10"}
    ]
    assert storage.read_origin(tmp_path / "out" / "excluded.parquet") == "mimic"


def test_splits_can_be_shared_as_a_list_of_ids(copy: Path, tmp_path: Path) -> None:
    build(copy, copy, tmp_path / "out")
    with (tmp_path / "out" / "splits.csv").open(newline="") as file:
        listed = {row["note_id"]: row["split"] for row in csv.DictReader(file)}
    for split in SPLITS:
        ids = pq.read_table(tmp_path / "out" / f"{split}.parquet")["note_id"].to_pylist()
        assert ids == sorted(note_id for note_id, where in listed.items() if where == split)


def test_limits_of_length_drop_and_count(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="5 too long"):
        build(copy, copy, tmp_path / "out", DEFAULT.replace(max_words=5))
    with pytest.raises(DeepicdError, match="5 too short"):
        build(copy, copy, tmp_path / "out", DEFAULT.replace(min_words=500))


def test_a_limit_in_tokens_is_counted_by_the_tokenizer_that_is_named(copy: Path, tmp_path: Path) -> None:
    limited = DEFAULT.replace(max_tokens=20, tokenizer=str(WEIGHTS))
    with pytest.raises(DeepicdError, match="5 too many tokens"):
        build(copy, copy, tmp_path / "out", limited)
    build(copy, copy, tmp_path / "out", limited.replace(max_tokens=2000))
    assert len(cohort(tmp_path / "out")) == 5


def test_tokens_of_no_tokenizer_and_a_tokenizer_that_is_not_there_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="needs both --max-tokens and --tokenizer"):
        DEFAULT.replace(max_tokens=20)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DeepicdError, match="is not on this machine and could not be fetched"):
        build(copy, copy, tmp_path / "out", DEFAULT.replace(max_tokens=20, tokenizer=str(tmp_path)))


def test_strict_criteria_remove_the_sentences_that_give_the_diagnosis_away(tmp_path: Path) -> None:
    illness = "She was pale. Troponin suggests NSTEMI. She expired later."
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001, note("Cough", illness))])
    build(copy, copy, tmp_path / "out", DEFAULT.replace(strict=True))
    [row] = cohort(tmp_path / "out")
    assert "She was pale." in row["admission_note"]
    assert "NSTEMI" not in row["admission_note"]
    assert "expired" not in row["admission_note"]


def test_the_papers_preset_takes_the_whole_exam_and_no_sex() -> None:
    found = extract_admission_sections(note(), PRESETS["paper"])
    assert "HR 70" in found["Physical Exam"]
    assert "Sex" not in found
    assert "HR 70" not in str(extract_admission_sections(note()))


def test_admission_labs_are_taken_on_demand_and_no_other_results() -> None:
    results = "ADMISSION LABS:\nWBC 9\nHgb 12\n\nMICRO:\nLEAK\n\nDISCHARGE LABS:\nLEAK"
    text = note().replace("WBC 9", results)
    assert "WBC" not in str(extract_admission_sections(text))
    asked = DEFAULT.replace(admission_labs=True)
    assert extract_admission_sections(text, asked)["Pertinent Results"] == "ADMISSION LABS:\nWBC 9\nHgb 12"


def test_a_copy_in_parquet_or_duckdb_gives_the_same_cohort(copy: Path, tmp_path: Path) -> None:
    expected = build(copy, copy, tmp_path / "csv").outputs
    with duckdb.connect(str(tmp_path / "mimic.duckdb")) as db:
        db.execute("create schema mimiciv")
        for name, table in local_copy.find_copy(copy, copy).tables.items():
            db.execute(f"create table mimiciv.{name} as from read_csv('{table.path}', all_varchar = true)")
            folder = tmp_path / "parquet" / local_copy.FOLDER[name]
            folder.mkdir(parents=True, exist_ok=True)
            db.execute(f"copy mimiciv.{name} to '{folder / name}.parquet'")
    database, parquet = tmp_path / "mimic.duckdb", tmp_path / "parquet"
    assert build(database, database, tmp_path / "from_duckdb").outputs == expected
    assert build(parquet, parquet, tmp_path / "from_parquet").outputs == expected


def test_a_parquet_copy_whose_codes_are_numbers_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "hosp" / "diagnoses_icd.csv.gz").unlink()
    columns = {"subject_id": [1], "hadm_id": [2], "seq_num": [1], "icd_code": [389], "icd_version": [9]}
    pq.write_table(pa.table(columns), copy / "hosp" / "diagnoses_icd.parquet")
    with pytest.raises(DeepicdError, match="holds codes as int64: their leading zeros are lost"):
        build(copy, copy, tmp_path / "out")


def test_several_processes_extract_what_one_does(copy: Path) -> None:
    located = local_copy.find_copy(copy, copy)
    outputs = []
    for processes in (1, 2):
        with parallel.open_workers(processes) as map_in_order, local_copy.open_copy(located) as db:
            read_stays(db, located)
            [notes] = join_notes(db, located)
            batches = [notes.candidates.slice(start, 2) for start in (0, 2, 4)]
            work = partial(batch.extract_batch, criteria=DEFAULT, terms={})
            outputs.append(list(map_in_order(work, batches)))
    assert outputs[0] == outputs[1]
    assert sum(part.rows.num_rows for part in outputs[0]) == 5
    assert len(outputs[0]) == 3


def test_the_record_tells_of_the_split(copy: Path, tmp_path: Path) -> None:
    record = build(copy, copy, tmp_path / "out", DEFAULT.replace(split="stratified"))
    assert record.options["split"] == "stratified"
    assert record.counts.split.patients == 5
    assert sum(record.counts.rows.values()) == 5
