"""Columns for analysis, stays in an ICU, and splits of others."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Deepicd
from copies import discharge, stay, write_copy, write_table
from pyarrow import feather

from builders.cohort.build import build
from builders.cohort.criteria import DEFAULT
from deepicd.errors import DeepicdError
from deepicd.schema import ANALYSIS, COHORT_FILE, DATASET, SPLITS

STAYS = range(20000001, 20000011)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Ten stays of ten patients; the first two had an ICU, one of them twice."""
    diagnoses = [
        *stay(20000001, [(3, "E119"), (1, "I214"), (2, "I10"), (4, "I10")]),
        *(row for hadm_id in STAYS[1:] for row in stay(hadm_id, [(1, "J189")])),
    ]
    write_copy(tmp_path / "copy", diagnoses, [discharge(hadm_id) for hadm_id in STAYS])
    write_table(tmp_path / "copy", "hosp/admissions", [
        {"subject_id": hadm_id - 10_000_000, "hadm_id": hadm_id, "admittime": "2153-04-01 10:00:00",
         "admission_type": "URGENT", "race": "ASIAN - CHINESE"}
        for hadm_id in STAYS
    ])  # fmt: skip
    ages = (14, 15, 26, 27, 86, 87, 91, 50, "")  # at 2150, three years before the stay; of the tenth nothing is known
    write_table(tmp_path / "copy", "hosp/patients", [
        {"subject_id": hadm_id - 10_000_000, "gender": "F", "anchor_age": age, "anchor_year": 2150}
        for hadm_id, age in zip(STAYS, ages, strict=False)
    ])  # fmt: skip
    write_table(tmp_path / "copy", "icu/icustays", [
        {"subject_id": hadm_id - 10_000_000, "hadm_id": hadm_id, "stay_id": 30000001 + number}
        for number, hadm_id in enumerate((20000001, 20000002, 20000002))
    ])  # fmt: skip
    return tmp_path / "copy"


def read(out: Path) -> list[dict[str, Any]]:
    rows = [row for split in SPLITS for row in pq.read_table(out / f"{split}.parquet").to_pylist()]
    return sorted(rows, key=lambda row: int(row["hadm_id"]))


def test_a_cohort_has_columns_for_analysis_that_no_dataset_has(copy: Path, tmp_path: Path) -> None:
    build(copy, copy, tmp_path / "out")
    first, *others = read(tmp_path / "out")
    assert list(first) == COHORT_FILE.names
    assert {name: first[name] for name in ANALYSIS.names} == {
        "sex": "F",
        "age_band": "under 18",
        "race": "ASIAN - CHINESE",
        "admission_type": "URGENT",
        "icd_codes": ["I214", "I10", "E119"],
        "icu": True,
    }
    bands = [row["age_band"] for row in others]
    assert bands == ["18-29", "18-29", "30-39", "80-89", "90+", "90+", "50-59", None, None]
    assert [row["icu"] for row in others] == [True, *[False] * 8]
    assert others[-1]["sex"] is None
    assert not any(set(ANALYSIS.names) & set(schema.names) for schema in DATASET.values())


@pytest.mark.parametrize("last", ["21.05.2145 04:29:00", "2153-04-01 10:00:00"])
def test_times_in_another_form_are_counted_and_refused_where_none_can_be_read(
    copy: Path, tmp_path: Path, last: str
) -> None:
    write_table(copy, "hosp/admissions", [
        {"subject_id": hadm_id - 10_000_000, "hadm_id": hadm_id, "race": "WHITE", "admission_type": "URGENT",
         "admittime": last if hadm_id == STAYS[-1] else "21.05.2145 04:29:00"}
        for hadm_id in STAYS
    ])  # fmt: skip
    if last.startswith("21."):
        with pytest.raises(DeepicdError, match=r"None of the 10 values of admittime .* is a time") as error:
            build(copy, copy, tmp_path / "out")
        assert "2145" not in str(error.value)
    else:
        notes = build(copy, copy, tmp_path / "out").notes
        assert "9 of 10 values of admittime in hosp/admissions are not times; their results are null." in notes


def test_stays_in_an_icu_are_left_out_on_request_and_counted_either_way(
    copy: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    command = ["build", "--mimic", copy, "--notes", copy]
    done = deepicd(*command, tmp_path / "all")
    both = "10              93,142  with ICU stays (the default)\n         8              93,142  without ICU stays"
    assert both in done.out
    done = deepicd(*command, tmp_path / "out", "--without-icu")
    assert "8    80.0%             of a stay without ICU  −2 ICU stay\n" in done.out
    assert both in done.out
    assert [row["hadm_id"] for row in read(tmp_path / "out")] == list(STAYS[2:])
    excluded = pq.read_table(tmp_path / "out" / "excluded.parquet").to_pylist()
    assert [(row["hadm_id"], row["reason"]) for row in excluded] == [(20000001, "ICU stay"), (20000002, "ICU stay")]


def test_without_its_table_it_is_unknown_whether_a_stay_had_an_icu(copy: Path, tmp_path: Path) -> None:
    (copy / "icu" / "icustays.csv.gz").unlink()
    (copy / "hosp" / "patients.csv.gz").unlink()
    record = build(copy, copy, tmp_path / "out")
    assert record.counts.funnel.icu == {}
    assert record.notes[:2] == [
        "The copy has no patients: sex and age_band are null.",
        "The copy has no icu/icustays: whether a stay had an ICU is unknown (icu is null).",
    ]
    assert {(row["icu"], row["sex"], row["age_band"]) for row in read(tmp_path / "out")} == {(None, None, None)}
    with pytest.raises(DeepicdError, match="has no icu/icustays, or none of its rows"):
        build(copy, copy, tmp_path / "other", DEFAULT.replace(without_icu=True))


def test_icu_stays_of_another_release_are_refused(copy: Path, tmp_path: Path) -> None:
    write_table(copy, "icu/icustays", [{"subject_id": 10000001, "hadm_id": 29999999, "stay_id": 30000001}])
    with pytest.raises(DeepicdError, match="None of the 1 ICU stays of icu/icustays belongs to an admission"):
        build(copy, copy, tmp_path / "out")


def test_the_split_that_a_cohort_shares_is_read_back(copy: Path, tmp_path: Path) -> None:
    build(copy, copy, tmp_path / "one", DEFAULT.replace(seed=7))
    record = build(copy, copy, tmp_path / "two", split_file=tmp_path / "one" / "splits.csv")
    for name in ("train.parquet", "validation.parquet", "test.parquet", "splits.csv", "excluded.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert record.options["split"] == "file"
    assert record.notes[-1] == (
        "The splits are those of a file, by note_id. It covers 10 of the cohort's 10 notes; 0 others in it are not in"
        " the cohort."
    )


COLUMNS: dict[str, list[object]] = {
    "note_id": [f"{hadm_id - 10_000_000}-DS-1" for hadm_id in STAYS],
    "hadm_id": [float(hadm_id) for hadm_id in STAYS],
    "subject_id": [hadm_id - 10_000_000 for hadm_id in STAYS],
}


@pytest.mark.parametrize("level", list(COLUMNS))
@pytest.mark.parametrize("column", ["", "_id"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".feather"])
def test_a_split_of_others_is_by_note_stay_or_patient(
    copy: Path, tmp_path: Path, level: str, column: str, ending: str
) -> None:
    table = pa.table({column or level: COLUMNS[level], "Split": ["Train", "val", *["test"] * 8]})
    path = tmp_path / f"splits{ending}"
    if ending == ".feather":
        feather.write_feather(table, path)
    elif ending == ".parquet":
        pq.write_table(table, path)
    else:
        duckdb.from_arrow(table).write_csv(str(path))
    record = build(copy, copy, tmp_path / "out", split_file=path)
    assert record.counts.rows == {"train": 1, "validation": 1, "test": 8}


def write_split(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("note_id,split", *lines)) + "\n")
    return path


def test_what_a_file_of_splits_does_not_cover_is_excluded_and_counted(copy: Path, tmp_path: Path) -> None:
    path = write_split(tmp_path / "splits.csv", "10000001-DS-1,train", "10000002-DS-1,test", "19999999-DS-1,test")
    record = build(copy, copy, tmp_path / "out", split_file=path)
    assert record.counts.rows == {"train": 1, "validation": 0, "test": 1}
    step = record.counts.funnel.steps[-1]
    assert (step.step, step.rows, step.lost) == ("in the file of splits", 2, {"not in the file of splits": 8})
    assert "It covers 2 of the cohort's 10 notes; 1 others in it are not in the cohort." in record.notes[-1]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["10000001-DS-1,train", "10000001-DS-1,test"], "1 notes are in more than one split"),
        (["10000001-DS-1,train", "10000002-DS-1,SECRET"], "1 entries are in none of the splits train, validation"),
        (["10000001-DS-1,train", "10000002-DS-1,"], "1 rows lack an id or a split"),
        ([], "it has no rows"),
    ],
)
def test_a_split_that_contradicts_itself_is_refused(copy: Path, tmp_path: Path, lines: list[str], why: str) -> None:
    with pytest.raises(DeepicdError) as error:
        build(copy, copy, tmp_path / "out", split_file=write_split(tmp_path / "splits.csv", *lines))
    assert why in str(error.value)
    assert "SECRET" not in str(error.value)
    assert "10000001" not in str(error.value)


def test_a_file_that_holds_no_split_is_refused(copy: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    command = ["build", "--mimic", copy, "--notes", copy, tmp_path / "out", "--splits"]
    assert "There is no file" in deepicd(*command, tmp_path / "none.csv").err
    (tmp_path / "a.csv").write_text("name,split\nSECRET,train\n")
    assert "it lacks a column split, or one of note_id" in deepicd(*command, tmp_path / "a.csv").err
    (tmp_path / "b.parquet").write_bytes(b"SECRET")
    assert "it cannot be read (" in deepicd(*command, tmp_path / "b.parquet").err
    (tmp_path / "c.txt").write_text("hadm_id,split\n")
    assert "its name does not end in .csv, .csv.gz" in deepicd(*command, tmp_path / "c.txt").err
    (tmp_path / "d.csv").write_text("id,split\n7,train\n")
    assert "its column id are not MIMIC's ids" in deepicd(*command, tmp_path / "d.csv").err
    both = deepicd(*command, write_split(tmp_path / "e.csv", "10000001-DS-1,train"), "--seed", 3)
    assert "--splits FILE leaves nothing to --split and --seed" in both.err
    assert not (tmp_path / "out").exists()


def test_columns_that_a_copy_lacks_are_null_and_named(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    (copy / "hosp" / "admissions.csv.gz").unlink()
    (copy / "hosp" / "admissions.csv").write_text("subject_id,hadm_id\n10000001,20000001\n")
    record = build(copy, copy, tmp_path / "out")
    assert "The copy's admissions has no admittime, admission_type, race: what the cohort takes from it is null." in (
        record.notes
    )
    table = pq.read_table(tmp_path / "out" / "train.parquet")
    assert table.select(["race", "admission_type", "age_band"]).to_pylist() == [
        {"race": None, "admission_type": None, "age_band": None}
    ]
