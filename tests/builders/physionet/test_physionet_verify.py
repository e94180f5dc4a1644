"""Copies with the row counts of real releases, every row made up: recognised, and doubted where they should be."""

import shutil
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest
from conftest import Deepicd
from copies import discharge, stay, write_copy

from builders.physionet.copy_parts import find_parts
from builders.physionet.releases import CHECKSUMS, RELEASES, read_checksums
from builders.physionet.verify import Check, check_parts
from deepicd.errors import DeepicdError
from deepicd.synthetic_proof import write_mark

ROWS = {
    table: rows[0] for release in RELEASES if str(release) == "MIMIC-IV 3.1" for table, rows in release.rows.items()
}
COLUMNS = {
    "patients": "i as subject_id, 'F' as gender, 50 as anchor_age, 2150 as anchor_year",
    "admissions": "i as subject_id, 20_000_000 + i as hadm_id, null as admittime, '' as admission_type, '' as race",
    "diagnoses_icd": "i as subject_id, i as hadm_id, 1 as seq_num, 'I10' as icd_code, 10 as icd_version",
    "d_icd_diagnoses": "'I10' as icd_code, 10 as icd_version, 'Hypertension' as long_title",
    "discharge": "'n' as note_id, i as subject_id, 20_000_000 + i as hadm_id, 1 as note_seq, '' as text",
}


def write(root: Path, table: str, rows: int, columns: str | None = None) -> None:
    """A table of so many rows, numbered i."""
    path = root / ("note" if table == "discharge" else "hosp") / f"{table}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"copy (select {columns or COLUMNS[table]} from range({rows}) r(i)) to '{path}' (format parquet)")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with the counts of 3.1 and 2.2."""
    root = tmp_path_factory.mktemp("whole")
    for table, rows in ROWS.items():
        write(root / "mimiciv" / "3.1", table, rows)
    lost = COLUMNS["discharge"].replace("20_000_000", "case when i < 61 then 90_000_000 else 20_000_000 end")
    write(root / "mimic-iv-note" / "2.2", "discharge", 331_793, lost)
    return root


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be changed, without the table that takes long to read."""
    return Path(shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns("diagnoses_icd*")))


def found(*paths: Path) -> dict[str, Check]:
    """The findings by what they are about; the last one of a name."""
    return {check.what: check for section in check_parts(find_parts(paths)) for check in section.checks}


def statuses(*paths: Path) -> dict[str, str]:
    return {what: check.status for what, check in found(*paths).items()}


def test_the_usual_pair_is_recognised(whole):
    checks = found(whole)
    assert checks["pair"].finding == "MIMIC-IV 3.1 with MIMIC-IV-Note 2.2, the usual pair"
    assert checks["orphans"].finding == "61 of 331,793 notes have no admission, as expected"
    assert checks["diagnoses_icd"].finding == "6,364,488 rows, as in 3.1"
    assert {check.status for what, check in checks.items() if what != "checksums"} == {"good"}


def test_a_filtered_table_is_named_and_so_is_what_is_missing(copy):
    write(copy / "mimiciv" / "3.1", "admissions", ROWS["admissions"] - 28)
    checks = found(copy)
    assert checks["release"].status == "good"  # of the notes
    assert checks["admissions"].status == "bad"
    assert checks["admissions"].finding == "546,000 rows, 3.1 has 546,028"
    assert checks["admissions"].meaning.startswith("Rows are missing")


def test_a_table_of_another_release_is_recognised_as_such(copy):
    write(copy / "mimiciv" / "3.1", "patients", 299_712)
    checks = found(copy / "mimiciv")
    assert checks["release"].finding == "MIMIC-IV 3.1 by 2 of 3 tables, but not by patients"
    assert checks["patients"].meaning == "As many as in 2.2: tables of two releases are mixed."


def test_another_number_of_orphans_differs(copy):
    write(copy / "mimic-iv-note" / "2.2", "discharge", 331_793)
    checks = found(copy)
    assert (checks["orphans"].status, checks["pair"].status) == ("bad", "good")
    assert "Expected 61" in checks["orphans"].meaning


def test_the_count_of_the_notes_page_will_do_as_well(copy):
    write(copy, "discharge", 331_794)
    assert found(copy / "note")["discharge"].status == "good"


def test_an_unusual_pair_is_unknown_and_not_wrong(copy):
    write(copy / "mimic-iv-note" / "2.2", "discharge", 357_289)
    assert (statuses(copy)["pair"], statuses(copy)["orphans"]) == ("unknown", "good")


def test_a_release_that_is_not_known_is_not_guessed(tmp_path):
    write(tmp_path, "admissions", 5_000)
    write(tmp_path, "diagnoses_icd", 60_000)
    checks = found(tmp_path)
    assert checks["release"].status == "unknown"
    assert "3.0" in checks["release"].meaning
    assert (checks["admissions"].status, checks["patients"].status) == ("unknown", "absent")


def test_one_dictionary_fits_several_releases(tmp_path):
    write(tmp_path, "d_icd_diagnoses", 109_775)
    checks = found(tmp_path)
    assert checks["release"].finding == "one of MIMIC-IV 2.0, MIMIC-IV 2.1, MIMIC-IV 2.2, MIMIC-IV demo 2.2"
    assert checks["admissions"].status == "bad"  # no cohort without it


def test_parts_that_share_no_stay_do_not_belong_together(tmp_path):
    copy = write_copy(tmp_path, stay(20000001, [(1, "I214")]), [discharge(20000002)])
    assert found(copy)["orphans"].status == "bad"


def test_several_notes_of_a_stay_differ(tmp_path):
    copy = write_copy(tmp_path, stay(20000001, [(1, "I214")]), [discharge(20000001), discharge(20000001, seq=2)])
    assert found(copy)["notes"].finding == "1 patients, 1 notes beyond one per stay"
    assert found(copy)["notes"].status == "bad"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A copy as downloaded: gzipped, with a list of checksums that names more files than are here."""
    write_copy(tmp_path, stay(20000001, [(1, "I214")]), [discharge(20000001)])
    tables = list(tmp_path.rglob("*.gz"))
    lines = [f"{sha256(path.read_bytes()).hexdigest()} {path.relative_to(tmp_path)}\n" for path in tables]
    (tmp_path / CHECKSUMS).write_text("".join([*lines, f"{'0' * 64} hosp/labevents.csv.gz\n"]))
    return tmp_path


def test_a_partial_download_is_normal(small):
    check = found(small)["checksums"]
    assert (check.status, check.finding) == (
        "good",
        "right for 4 of the release's 5 files; a partial download is normal",
    )


def test_an_unpacked_table_has_no_checksum(small):
    packed = small / "hosp" / "admissions.csv.gz"
    duckdb.execute(f"copy (from read_csv('{packed}', all_varchar = true)) to '{small}/hosp/admissions.csv' (header)")
    packed.unlink()
    check = found(small / "hosp")["checksums"]
    assert (check.status, check.finding) == ("unknown", "none for admissions.csv")


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda data: data[:-20], "cannot be read to its end: the gzip ends early"),
        (lambda data: b"no gzip", "is plain text, not a gzip file"),
    ],
    ids=["cut short", "other"],
)
def test_a_damaged_file_is_named_by_both_witnesses(damage, finding, small):
    path = small / "hosp" / "diagnoses_icd.csv.gz"
    path.write_bytes(damage(path.read_bytes()))
    checks = {
        (check.what, check.status): check for section in check_parts(find_parts([small])) for check in section.checks
    }
    assert checks["checksums", "bad"].finding == "1 of 4 files differ: hosp/diagnoses_icd.csv.gz"
    assert finding in checks["diagnoses_icd", "bad"].finding


def test_codes_read_as_numbers_differ(small):
    rows = [row for hadm in range(400) for row in stay(20000000 + hadm, [(1, "4019")], version=9)]
    write_copy(small, rows, [discharge(20000001)])
    assert "lost the leading zeros" in found(small)["diagnoses_icd"].finding


@pytest.mark.parametrize(
    "text", ["<html>Log in</html>", "", "0123 hosp/admissions.csv.gz", f"{'0' * 64}", "\xff"], ids=str.__len__
)
def test_what_is_no_list_of_checksums_differs(text, small):
    (small / CHECKSUMS).write_text(text, encoding="latin-1")
    assert found(small)["checksums"].finding.endswith("expected lines of a SHA-256 and a file's path.")


def test_a_list_of_checksums_may_be_in_the_forms_of_sha256sum(tmp_path):
    (tmp_path / "list").write_text(f"{'A' * 64}  ./a b.csv\r\n\n{'b' * 64} *c.csv\n")
    assert read_checksums(tmp_path / "list") == {"a b.csv": "a" * 64, "c.csv": "b" * 64}


def made_up(root: Path) -> Path:
    copy = write_copy(root, stay(20000001, [(1, "I214")]), [discharge(20000001)])
    write_mark(copy, copy.rglob("*.gz"), generator="1", seed=1)
    return copy


def test_a_made_up_copy_is_recognised_and_its_counts_are_not_compared(tmp_path):
    checks = found(made_up(tmp_path))
    assert checks["release"].finding == "none: every record is made up, as SYNTHETIC.json proves file by file"
    assert checks["pair"].finding == "both made up"
    assert checks["admissions"] == Check("good", "admissions", "1 rows")


def test_one_changed_table_makes_a_made_up_copy_like_any_other(tmp_path):
    write_copy(made_up(tmp_path), stay(20000002, [(1, "I214")]), [discharge(20000001)])
    assert found(tmp_path / "hosp")["release"].status == "unknown"


def test_made_up_notes_and_a_hosp_copy_that_is_not_are_no_pair(tmp_path):
    hosp = write_copy(tmp_path / "hosp_copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    notes = made_up(tmp_path / "made_up")
    assert found(hosp / "hosp", notes / "note")["pair"].status == "bad"


def test_the_open_demo_is_recognised(real_data):
    checks = found(real_data / "mimic-iv-demo")
    assert checks["release"].finding == "MIMIC-IV demo 2.2, by its row counts"
    assert checks["diagnoses_icd"].finding == "4,506 rows, as in 2.2"


def test_several_copies_are_told_apart_and_not_paired(small, copy):
    assert found(small, copy)["pair"].finding == "2 copies of hosp/ and 2 of note/"


def test_a_copy_named_twice_is_examined_once(small):
    assert len(find_parts([small, small / "hosp", small / "note"])) == 2


def test_verify_prints_lines_and_exits_with_1_where_something_differs(small, deepicd: Deepicd):
    assert deepicd("physionet", "verify", small).code == 0
    (small / "hosp" / "admissions.csv.gz").unlink()
    outcome = deepicd("physionet", "verify", small)
    assert outcome.code == 1
    assert "  bad      admissions       is not here\n" in outcome.out
    assert outcome.err.startswith("Error: These checks failed: admissions.")
    assert "20000001" not in outcome.out + outcome.err


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_where_there_is_no_copy_the_message_says_where_to_point(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeepicdError, match=r"version folder|Fetch a copy first"):
        find_parts([tmp_path / name])
