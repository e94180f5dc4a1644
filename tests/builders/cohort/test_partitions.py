"""A row depends on its own patient alone, once the splits are given: partitions of patients add up to the whole."""

from pathlib import Path

import pyarrow as pa
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from deepicd import storage
from deepicd.schema import COHORT_FILE, EXCLUDED, SPLITS

PATIENTS = range(10_000_001, 10_000_025)
CODES = ("I214", "J189", "R0789", "Z5111")


def write_stays(folder: Path, patients: list[int]) -> Path:
    """Write a copy with two stays of each patient, one in three of them coded in ICD-9."""
    diagnoses, notes = [], []
    for patient in patients:
        for hadm_id in (patient + 10_000_000, patient + 10_500_000):
            version = 9 if hadm_id % 3 == 0 else 10
            codes = stay(hadm_id, [(1, CODES[hadm_id % 4]), (2, "A419")], version)
            diagnoses += [row | {"subject_id": patient} for row in codes]
            text = note(complaint=f"Cough for {hadm_id % 97} days")
            ids = {"note_id": f"{patient}-DS-{hadm_id % 89}", "subject_id": patient}
            notes.append(discharge(hadm_id, text) | ids)
    write_copy(folder, diagnoses, notes)
    return folder


def test_partitions_of_patients_give_the_bytes_of_the_whole(tmp_path: Path) -> None:
    copy = write_stays(tmp_path / "copy", list(PATIENTS))
    split_file = tmp_path / "splits.csv"
    lines = [f"{patient},{('train', 'train', 'validation', 'test')[patient % 4]}" for patient in PATIENTS]
    split_file.write_text("\n".join(["subject_id,split", *lines]) + "\n")
    whole, parts = tmp_path / "whole", [tmp_path / "part0", tmp_path / "part1", tmp_path / "part2"]
    build(copy, copy, whole, split_file=split_file)
    for number, out in enumerate(parts):
        part = write_stays(tmp_path / f"copy{number}", [each for each in PATIENTS if each // 4 % 3 == number])
        build(part, part, out, split_file=split_file)
    for name, schema in (*((f"{split}.parquet", COHORT_FILE) for split in SPLITS), ("excluded.parquet", EXCLUDED)):
        rows = pa.concat_tables([storage.read_table(out / name, schema) for out in parts]).sort_by("note_id")
        assert storage.write_parquet(tmp_path / name, rows, schema, storage.read_origin(whole / name)) > 3
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
