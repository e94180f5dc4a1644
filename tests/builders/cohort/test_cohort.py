"""The cohort: which stays are kept, with which code, and what is told of the others."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from copies import discharge, note, stay, write_copy, write_table

from builders.cohort.build import build
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import COHORT, SPLITS


def rows(out: Path) -> dict[int, dict[str, Any]]:
    """hadm_id → row, over all splits."""
    every = [row for split in SPLITS for row in pq.read_table(out / f"{split}.parquet").to_pylist()]
    return {row["hadm_id"]: row for row in every}


def funnel(out: Path) -> dict[str, int]:
    """Reason → rows lost."""
    steps = json.loads((out / "funnel.json").read_text())["steps"]
    return {reason: lost for step in steps for reason, lost in step["lost"].items()}


def test_the_first_diagnosis_is_the_smallest_seq_num(tmp_path: Path) -> None:
    diagnoses = [
        *stay(20000001, [(2, "I10"), (1, "I214")]),
        *stay(20000002, [(3, "E119"), (2, "J189")]),  # seq_num lacks 1
        *stay(20000003, [(10, "I10"), (9, "N179")]),  # 9 before 10, as numbers
        *stay(20000004, [(1, "K922"), (1, "K922"), (2, "I10")]),  # a row twice
        *stay(20000005, [(1, "Z3A08  "), (2, "I10")]),  # padded
    ]
    write_copy(tmp_path / "copy", diagnoses, [discharge(20000000 + n) for n in range(1, 6)])
    build(tmp_path / "copy", tmp_path / "copy", tmp_path / "out")
    codes = {hadm_id: row["icd_code"] for hadm_id, row in rows(tmp_path / "out").items()}
    assert codes == {20000001: "I214", 20000002: "J189", 20000003: "N179", 20000004: "K922", 20000005: "Z3A08"}


def test_a_row_says_what_the_schema_says(tmp_path: Path) -> None:
    write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001, note("Chest pain"))])
    build(tmp_path / "copy", tmp_path / "copy", tmp_path / "out")
    [row] = rows(tmp_path / "out").values()
    text = row.pop("admission_note")
    assert {name: row[name] for name in COHORT.names if name != "admission_note"} == {
        "note_id": "10000001-DS-1",
        "subject_id": 10000001,
        "hadm_id": 20000001,
        "icd_code": "I214",
        "icd_title": "NSTEMI",
        "category": "I21",
        "chapter": 9,
        "seq_num": 1,
        "flags": [],
    }
    assert "Chief Complaint:\nChest pain" in text
    assert "Medications on Admission:\n1. Lisinopril 10 mg PO DAILY" in text
    assert "LEAK" not in text
    assert "HR 70" not in text


def test_every_lost_note_is_counted_under_its_reason(tmp_path: Path) -> None:
    diagnoses = [
        *stay(20000001, [(1, "I214")]),
        *stay(20000002, [(1, "4019"), (2, "0389")], version=9),
        *stay(20000003, [(1, "I214")]),
        *stay(20000003, [(2, "4019")], version=9),
        *stay(20000005, [(1, "I214")]),
        *stay(20000006, [(1, "NODX")]),
        *stay(20000007, [(1, "")]),
    ]
    notes = [
        discharge(20000001),
        discharge(20000001, seq=2),
        *(discharge(hadm_id) for hadm_id in (20000002, 20000003, 20000004, 20000006, 20000007, 20000009)),
        discharge(20000005, "Brief Hospital Course:\nOnly this.\n"),
    ]
    write_copy(tmp_path / "copy", diagnoses, notes, admitted=[20000000 + n for n in range(1, 8)])
    record = build(tmp_path / "copy", tmp_path / "copy", tmp_path / "out")
    assert funnel(tmp_path / "out") == {
        "no admission": 1,
        "no diagnosis": 2,
        "two ICD versions": 1,
        "not ICD-10": 1,
        "no ICD-10-CM code": 1,
        "no admission section": 1,
        "second note of a stay": 1,
    }
    assert list(rows(tmp_path / "out")) == [20000001]
    assert [step.rows for step in record.counts.funnel.steps] == [9, 8, 4, 3, 2, 2, 1]


def test_two_builds_write_the_same_bytes_and_a_repeated_one_does_nothing(tmp_path: Path) -> None:
    diagnoses = [row for n in range(300) for row in stay(20000000 + n, [(1, f"I{10 + n % 7}")])]
    copy = write_copy(tmp_path / "copy", diagnoses, [discharge(20000000 + n) for n in range(300)])
    first, second = (build(copy, copy, tmp_path / name) for name in ("one", "two"))
    assert {name: entry.sha256 for name, entry in first.outputs.items()} == {
        name: entry.sha256 for name, entry in second.outputs.items()
    }
    written = (tmp_path / "one" / "run.json").stat().st_mtime_ns
    assert build(copy, copy, tmp_path / "one") == first
    assert (tmp_path / "one" / "run.json").stat().st_mtime_ns == written


def test_a_copy_that_does_not_prove_otherwise_is_credentialed(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    (copy / "SYNTHETIC.json").write_text('{"statement": "made up, honestly", "files": {}}')
    build(copy, copy, tmp_path / "out")
    assert storage.read_origin(tmp_path / "out" / "train.parquet") == "mimic"


def test_titles_come_from_the_release_where_there_is_no_dictionary(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    (copy / "hosp" / "d_icd_diagnoses.csv.gz").unlink()
    record = build(copy, copy, tmp_path / "out")
    [row] = rows(tmp_path / "out").values()
    assert row["icd_title"] == "Non-ST elevation (NSTEMI) myocardial infarction"
    assert "titles come from the ICD-10-CM release tables" in record.notes[-1]


def test_unzipped_tables_and_the_columns_of_2_0_are_read(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    for path in [*copy.rglob("*.csv.gz")]:
        text = gzip.decompress(path.read_bytes()).decode()
        if path.name.startswith("admissions"):
            text = text.replace("admit_provider_id,", "").replace("20000001,,", "20000001,")
        path.with_suffix("").write_text(text, newline="")
        path.unlink()
    build(copy, copy, tmp_path / "out")
    assert list(rows(tmp_path / "out")) == [20000001]


def test_a_long_note_survives_and_the_notes_around_it_are_read_once(tmp_path: Path) -> None:
    illness = 'She said "cough, then fever".\n' + "word " * 1_000_000
    stays = range(20000001, 20001201)  # some batches of notes, the long one among the last
    texts = dict.fromkeys(stays, note("Cough", "A cough. " * 1000)) | {20001100: note("Cough", illness)}
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "I214")])]
    copy = write_copy(tmp_path / "copy", diagnoses, [discharge(hadm_id, text) for hadm_id, text in texts.items()])
    assert sum(build(copy, copy, tmp_path / "out").counts.rows.values()) == len(stays)
    found = rows(tmp_path / "out")
    assert sorted(found) == list(stays)
    assert 'She said "cough, then fever".\nword word' in found[20001100]["admission_note"]
    assert len(found[20001100]["admission_note"]) > 5_000_000


def damaged(tmp_path: Path, kind: str) -> Path:
    """A copy of five ICD-10 stays with one thing wrong."""
    diagnoses = [row for n in range(1, 6) for row in stay(20000000 + n, [(1, "I214")])]
    copy = write_copy(tmp_path / "copy", diagnoses, [discharge(20000000 + n) for n in range(1, 6)])
    notes = copy / "note" / "discharge.csv.gz"
    if kind == "no folder":
        shutil.rmtree(copy / "hosp")
    elif kind == "no table":
        (copy / "hosp" / "diagnoses_icd.csv.gz").unlink()
    elif kind == "no column":
        write_table(copy, "hosp/diagnoses_icd", diagnoses).unlink()
        (copy / "hosp" / "diagnoses_icd.csv").write_text("subject_id,hadm_id,seq_num,code\n1,2,3,I10\n")
    elif kind == "truncated":
        notes.write_bytes(notes.read_bytes()[:-20])
    elif kind == "wrong checksum":
        notes.write_bytes(notes.read_bytes()[:-8] + b"\0\0\0\0" + notes.read_bytes()[-4:])
    elif kind == "endless row":
        with gzip.open(notes, "at") as file:
            file.write('10000007-DS-1,10000007,20000007,DS,1,,,"SECRET' + "x" * 33 * 2**20 + '"\n')
    elif kind == "no gzip":
        notes.write_bytes(b"<html>404</html>")
    elif kind == "numbers":
        write_table(copy, "hosp/diagnoses_icd", [*diagnoses, *stay(20000009, [(1, "42")], version=9)])
    elif kind == "ragged":
        with gzip.open(notes, "at") as file:
            file.write("10000007-DS-1,SECRET,x,y,z\n")
    elif kind == "decimals":
        write_table(copy, "hosp/diagnoses_icd", [*diagnoses, *stay(20000009, [(1, "5723.0")], version=9)])
    elif kind == "no header":
        path = write_table(copy, "hosp/diagnoses_icd", stay(29999999, [(1, "I214")]), gzipped=False)
        (copy / "hosp" / "diagnoses_icd.csv.gz").unlink()
        path.write_text(path.read_text().split("\n", 1)[1])
    elif kind == "column twice":
        notes.write_bytes(gzip.compress(gzip.decompress(notes.read_bytes()).replace(b"note_type", b"note_id", 1)))
    elif kind == "cut in a note":
        text = gzip.decompress(notes.read_bytes())
        notes.unlink()
        notes.with_suffix("").write_bytes(text[:-30] + b"\n")
    elif kind == "latin-1":
        notes.write_bytes(gzip.compress(gzip.decompress(notes.read_bytes()).replace(b"Father", b"F\xe4ther")))
    elif kind == "no number":
        notes.write_bytes(gzip.compress(gzip.decompress(notes.read_bytes()).replace(b",20000003,", b",SECRET,")))
    elif kind == "empty":
        notes.write_bytes(gzip.compress(b""))
    elif kind == "no note":
        write_table(copy, "note/discharge", [])
    elif kind == "no ICD-10 stay":
        write_table(copy, "hosp/diagnoses_icd", stay(20000001, [(1, "0389")], version=9))
    return copy


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no folder", "holds no hosp/ folder"),
        ("no table", "holds neither diagnoses_icd.csv.gz nor diagnoses_icd.csv"),
        ("no column", "has no column icd_code, icd_version; its header names subject_id"),
        ("truncated", "cannot be read to its end: the gzip ends early"),
        ("no gzip", "discharge.csv.gz is a web page, not a gzip file"),
        ("wrong checksum", "cannot be read to its end: its gzip is damaged"),
        ("endless row", "cannot be read to its end: row 6 is longer than 16 MiB"),
        ("numbers", "has lost the leading zeros of its ICD-9 codes"),
        ("ragged", "row 6 has 5 values, its header names 8 columns"),
        ("decimals", "1 are written as decimal numbers"),
        ("no header", "has no column subject_id, hadm_id, seq_num, icd_code, icd_version; its header names no column"),
        ("column twice", "names a column twice in its header"),
        ("cut in a note", "it ends in the middle of a row"),
        ("latin-1", "row 1 holds bytes that are not UTF-8"),
        ("no number", "discharge.csv.gz, row 3, column hadm_id: it is not a whole number"),
        ("empty", "its header names no column"),
        ("no note", "The copy holds no note"),
        ("no ICD-10 stay", "None of 5 notes is left: 4 no diagnosis, 1 not ICD-10"),
    ],
)
def test_a_damaged_copy_is_an_error_that_shows_no_row_and_leaves_nothing(
    tmp_path: Path, kind: str, message: str
) -> None:
    copy = damaged(tmp_path, kind)
    with pytest.raises(DeepicdError) as error:
        build(copy, copy, tmp_path / "out")
    assert message in str(error.value)
    assert "SECRET" not in str(error.value)
    assert "29999999" not in str(error.value)
    assert error.value.advice
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_lost_zeros_are_told_before_a_missing_table(tmp_path: Path) -> None:
    copy = damaged(tmp_path, "numbers")
    (copy / "hosp" / "admissions.csv.gz").unlink()
    with pytest.raises(DeepicdError, match="has lost the leading zeros"):
        build(copy, copy, tmp_path / "out")


def test_lost_zeros_are_detected_in_the_real_demo(tmp_path: Path, real_data: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(real_data / "mimic-iv-demo" / "hosp", copy / "hosp")
    write_table(copy, "note/discharge", [discharge(20000001)])
    with pytest.raises(DeepicdError, match="notes is left"):  # its codes are whole; only the notes are foreign
        build(copy, copy, tmp_path / "out")
    (copy / "hosp" / "diagnoses_icd.csv").chmod(0o644)
    shutil.copyfile(real_data / "mimic-iv-demo-damaged/hosp/diagnoses_icd.csv", copy / "hosp" / "diagnoses_icd.csv")
    with pytest.raises(DeepicdError, match="has lost the leading zeros"):
        build(copy, copy, tmp_path / "out")
