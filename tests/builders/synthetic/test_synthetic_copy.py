"""The copy as files: layout, bytes, codes, shares and bad input of `synthesize`."""

import csv
import gzip
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from builders.synthetic.mimic_csv import get_table_path
from builders.synthetic.synthesize import synthesize
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code

STAYS = 2100  # two batches

# As PhysioNet documents MIMIC-IV 3.1 and MIMIC-IV-Note 2.2
HEADERS = {
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "note/discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
}

Rows = dict[str, list[dict[str, str]]]


def read(root: Path, table: str) -> list[dict[str, str]]:
    with gzip.open(get_table_path(root, table), "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("copy") / "mimic"
    synthesize(out, STAYS, processes=1)
    return out


@pytest.fixture(scope="module")
def rows(copy: Path) -> Rows:
    return {table: read(copy, table) for table in HEADERS}


@pytest.fixture(scope="module")
def first(rows: Rows) -> dict[str, dict[str, str]]:
    """hadm_id → the row with the smallest seq_num."""
    found: dict[str, dict[str, str]] = {}
    for row in rows["hosp/diagnoses_icd"]:
        if row["hadm_id"] not in found or int(row["seq_num"]) < int(found[row["hadm_id"]]["seq_num"]):
            found[row["hadm_id"]] = row
    return found


@pytest.mark.parametrize("table", HEADERS)
def test_columns_stand_in_the_order_of_physionet(copy, table):
    with gzip.open(get_table_path(copy, table), "rb") as file:
        assert file.readline().decode() == HEADERS[table] + "\n"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    outputs = [synthesize(tmp_path / name, 60, seed).outputs for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert outputs[0] == outputs[1]
    assert outputs[0]["note/discharge.csv.gz"] != outputs[2]["note/discharge.csv.gz"]


def test_the_number_of_processes_changes_no_byte(copy, tmp_path):
    apart = synthesize(tmp_path / "copy", STAYS, processes=2).outputs  # two batches, one each
    together = synthesize(copy, STAYS).outputs
    assert apart == together
    assert {"note/discharge.csv.gz", "gold.parquet", "hosp/diagnoses_icd.csv.gz"} <= set(together)


def test_a_table_is_one_gzip_member_as_physionets(copy):
    unpacker = zlib.decompressobj(wbits=31)
    unpacker.decompress(get_table_path(copy, "note/discharge").read_bytes())
    assert unpacker.eof
    assert unpacker.unused_data == b""


def test_the_gzip_header_holds_neither_time_nor_name(copy):
    assert get_table_path(copy, "note/discharge").read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def test_running_twice_changes_nothing_and_another_seed_is_refused(copy):
    before = get_table_path(copy, "hosp/patients").stat().st_mtime_ns
    assert synthesize(copy, STAYS).counts.admissions == STAYS
    assert get_table_path(copy, "hosp/patients").stat().st_mtime_ns == before
    with pytest.raises(DeepicdError, match="option seed was 42, now 43"):
        synthesize(copy, STAYS, 43)


def test_ids_and_dates_have_the_form_of_mimic(rows):
    stays = rows["hosp/admissions"]
    assert len({row["hadm_id"] for row in stays}) == STAYS
    assert all(10_000_000 <= int(row["subject_id"]) < 20_000_000 for row in rows["hosp/patients"])
    assert all(20_000_000 <= int(row["hadm_id"]) < 30_000_000 for row in stays)
    assert all("2110" <= row["admittime"] < "2211" for row in stays)
    subjects = [int(row["subject_id"]) for row in rows["hosp/patients"]]
    assert subjects == sorted(set(subjects))


def test_stays_of_a_patient_never_overlap_and_nobody_returns_from_death(rows):
    by_patient: dict[str, dict[str, dict[str, str]]] = {}
    for row in sorted(rows["hosp/admissions"], key=lambda row: row["admittime"]):
        by_patient.setdefault(row["subject_id"], {})[row["hadm_id"]] = row
    assert max(map(len, by_patient.values())) >= 4
    for stays in by_patient.values():
        in_order = list(stays.values())
        assert all(a["dischtime"] < b["admittime"] for a, b in pairwise(in_order))
        assert not any(row["deathtime"] for row in in_order[:-1])


def test_deaths_agree_in_all_columns(rows):
    died = [row for row in rows["hosp/admissions"] if row["hospital_expire_flag"] == "1"]
    dod = {row["subject_id"]: row["dod"] for row in rows["hosp/patients"]}
    assert 20 < len(died) < 120
    assert all(row["deathtime"] == row["dischtime"] and row["discharge_location"] == "DIED" for row in died)
    assert all(dod[row["subject_id"]] == row["deathtime"][:10] for row in died)


def test_ages_above_89_are_written_as_91(rows):
    ages = Counter(int(row["anchor_age"]) for row in rows["hosp/patients"])
    assert max(ages) == 91
    assert ages[90] == 0


def test_shares_are_those_stated(rows, first):
    noted = [row for row in rows["note/discharge"] if row["hadm_id"] in first]
    icd9 = [row for row in first.values() if row["icd_version"] == "9"]
    assert 0.58 < len(noted) / STAYS < 0.64
    assert 0.42 < len(icd9) / STAYS < 0.48
    assert 1 <= len(rows["note/discharge"]) - len(noted) < 10  # notes whose admission is in no table


def test_each_stay_has_one_version_and_at_most_57_codes_about_10_in_the_middle(rows):
    versions, codes = Counter(), Counter()
    for hadm_id, version in {(row["hadm_id"], row["icd_version"]) for row in rows["hosp/diagnoses_icd"]}:
        versions[hadm_id] += 1
        assert version in ("9", "10")
    for row in rows["hosp/diagnoses_icd"]:
        codes[row["hadm_id"]] += 1
    assert set(versions.values()) == {1}
    assert max(codes.values()) <= 58  # 57, and one of them twice
    assert sorted(codes.values())[STAYS // 2] in (9, 10, 11)


def test_seq_num_has_the_gaps_doubles_and_late_starts_of_the_table(rows):
    numbers: dict[str, list[int]] = {}
    seen = Counter((row["hadm_id"], row["icd_code"]) for row in rows["hosp/diagnoses_icd"])
    for row in rows["hosp/diagnoses_icd"]:
        numbers.setdefault(row["hadm_id"], []).append(int(row["seq_num"]))
    assert any(found[0] == 2 for found in numbers.values())
    assert any(max(found) - min(found) >= len(found) for found in numbers.values())
    assert any(len(set(found)) < len(found) for found in numbers.values())
    assert max(seen.values()) == 2
    assert all(found.count(min(found)) == 1 for found in numbers.values())  # the first diagnosis is never in doubt


def test_icd9_codes_keep_leading_zeros_and_letters(first):
    codes = {row["icd_code"] for row in first.values() if row["icd_version"] == "9"}
    assert {"0389", "042", "V5811"} <= codes


def test_all_22_chapters_occur_and_two_hold_a_third(rows, first):
    noted = {row["hadm_id"] for row in rows["note/discharge"]}
    chapters = Counter(
        Code(row["icd_code"]).chapter.number
        for row in first.values()
        if row["icd_version"] == "10" and row["hadm_id"] in noted
    )
    (one, _), (other, _) = chapters.most_common(2)
    assert sorted(chapters) == list(range(1, 23))
    assert {one, other} == {9, 11}
    assert (chapters[9] + chapters[11]) / chapters.total() == pytest.approx(1 / 3, abs=0.01)


def test_a_small_copy_has_all_22_chapters_too(tmp_path):
    assert list(synthesize(tmp_path / "small", 600).counts.icd10_notes_by_chapter) == [str(n) for n in range(1, 23)]


def test_the_share_of_icd9_stays_is_a_matter_of_choice(tmp_path):
    made = synthesize(tmp_path / "copy", 600, icd9_share=0.1).counts
    assert sum(made.icd10_notes_by_chapter.values()) / made.notes == pytest.approx(0.9, abs=0.04)


def test_the_dictionary_names_every_code_and_no_code_is_padded(rows):
    titles = {(row["icd_code"], row["icd_version"]): row["long_title"] for row in rows["hosp/d_icd_diagnoses"]}
    used = {(row["icd_code"], row["icd_version"]) for row in rows["hosp/diagnoses_icd"]}
    assert used <= set(titles)
    assert all(titles.values())
    assert all(code == code.strip() and "." not in code for code, _ in used)


def test_some_codes_are_retired_since(rows):
    codes = {row["icd_code"] for row in rows["hosp/diagnoses_icd"] if row["icd_version"] == "10"}
    retired = {code for code in codes if not Code(code).is_billable}
    assert retired
    assert retired <= {"G20", "I481", "I482", "K352", "K353", "M5136", "N183"}


def test_note_ids_number_the_notes_of_a_patient_in_order_of_time(rows):
    last: dict[str, tuple[int, str]] = {}
    for row in rows["note/discharge"]:
        seq, time = int(row["note_seq"]), row["charttime"]
        assert row["note_id"] == f"{row['subject_id']}-DS-{seq}"
        assert row["note_type"] == "DS"
        assert last.get(row["subject_id"], (0, "")) < (seq, time)
        last[row["subject_id"]] = (seq, time)
    assert any(row["storetime"] == "" for row in rows["note/discharge"])
    assert all(row["charttime"].endswith(" 00:00:00") for row in rows["note/discharge"])


@pytest.mark.parametrize(
    ("admissions", "seed", "message"),
    [
        (0, 42, "0 admissions cannot be made up"),
        (-5, 42, "-5 admissions cannot be made up"),
        (9_000_000, 42, "9,000,000 admissions cannot be made up"),
        (10, -1, "The seed -1 is negative"),
    ],
)
def test_impossible_sizes_are_refused_and_leave_nothing(tmp_path, admissions, seed, message):
    with pytest.raises(DeepicdError, match=message):
        synthesize(tmp_path / "out", admissions, seed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"length": 300}, {"length": 50_000}, {"processes": 0}])
def test_impossible_options_are_refused(tmp_path, options):
    with pytest.raises(DeepicdError):
        synthesize(tmp_path / "out", 10, **options)
    assert list(tmp_path.iterdir()) == []
