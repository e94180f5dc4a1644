"""Good and bad code files and dictionaries, and the codes to request."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts import write_cohort

from deepicd.cli import main
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl_plan


def values(read: list[Code]) -> list[str]:
    return [code.value for code in read]


def test_a_file_may_hold_dots_marks_comments_blank_lines_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text(
        "\ufeffI50.21\r\n\n# a comment\n  e11.65  # padded\nG01*\nB95.0!\nE10.-\nI25.1-\n", encoding="utf-8"
    )
    assert values(crawl_plan.read_codes(file)) == ["I5021", "E1165", "G01", "B950", "E10", "I251"]


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("I5O.21", 3),  # the letter O for a nought
        ("  I5O.21", 5),
        ("I1", 3),  # too short: wrong where it ends
        ("250.00", 1),  # ICD-9
        ("I10 I20", 4),  # two on a line
        ("I50.21234", 9),  # eight characters
        ("ı10", 1),  # a dotless i
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path, line, column):
    file = tmp_path / "codes.txt"
    file.write_text(f"I10\n{line}\n", encoding="utf-8")
    with pytest.raises(DeepicdError, match=rf"codes\.txt, line 2, column {column}: "):
        crawl_plan.read_codes(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "names no code"), (b"# nothing\n", "names no code"), (b"I10\n\xff\xfe", "not UTF-8 text")],
)
def test_a_file_without_codes_is_refused(tmp_path, content, message):
    (tmp_path / "codes.txt").write_bytes(content)
    with pytest.raises(DeepicdError, match=message):
        crawl_plan.read_codes(tmp_path / "codes.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DeepicdError, match="There is no file"):
        crawl_plan.read_codes(tmp_path / "codes.txt")


def test_each_code_brings_its_parents_once_and_none_is_longer_than_five_characters():
    codes = crawl_plan.add_parents([Code("T383X6A"), Code("T383X1A"), Code("I10")])
    assert values(codes) == ["I10", "T38", "T383", "T383X"]


DICTIONARY = (
    "icd_version,long_title,icd_code\n"
    '9,"Cholera, one",0010\n'
    '10,"Fracture of neck, right",S72001A\n'
    "10,Essential hypertension,I10\n"
    "10,No code at all,NOCODE99\n"
)


@pytest.mark.parametrize(
    "place",
    ["hosp/d_icd_diagnoses.csv", "hosp/d_icd_diagnoses.csv.gz", "d_icd_diagnoses.csv", "3.1/hosp/d_icd_diagnoses.csv"],
)
def test_the_icd_10_codes_of_a_copys_dictionary_are_read_by_the_names_of_its_columns(tmp_path, place):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(DICTIONARY.encode()) if file.suffix == ".gz" else DICTIONARY.encode())
    assert values(crawl_plan.read_dictionary(tmp_path)) == ["S72001A", "I10"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.csv", b"", r"holds no hosp/ folder"),
        ("d_icd_diagnoses.csv", b"icd_code,long_title\nI10,x\n", "has no column icd_version"),
        ("d_icd_diagnoses.csv", b"", r"d_icd_diagnoses\.csv is empty"),
        ("d_icd_diagnoses.csv", b"icd_code,icd_version\n0010,9\n", "names no ICD-10 code"),
        ("d_icd_diagnoses.csv.gz", gzip.compress(DICTIONARY.encode())[:-20], "cannot be read to its end"),
        ("d_icd_diagnoses.csv.gz", b"no gzip", "is plain text, not a gzip file"),
    ],
)
def test_a_copy_without_a_usable_dictionary_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DeepicdError, match=message):
        crawl_plan.read_dictionary(tmp_path)


def test_a_cohort_gives_its_distinct_codes(tmp_path):
    cohort = write_cohort(tmp_path, rows=120, codes=("I214", "E1165", "C7A8", "I10"))
    assert values(crawl_plan.read_cohort(cohort)) == ["C7A8", "E1165", "I10", "I214"]


def test_the_codes_of_a_cohort_are_requested_with_their_parents_only(tmp_path, capsys):
    cohort = write_cohort(tmp_path / "cohort", rows=120, codes=("I214", "E1165"))
    main(["scrape", f"{tmp_path}/out", "--cohort", f"{cohort}", "--dry-run"])
    assert "(de): 5 pages, 0 of them stored; 5 to request" in capsys.readouterr().out  # E11 E11.6 E11.65 I21 I21.4


def test_a_folder_that_is_no_cohort_is_refused(tmp_path):
    with pytest.raises(DeepicdError, match=r"train\.parquet"):
        crawl_plan.read_cohort(tmp_path)


def test_a_dictionary_may_be_parquet_behind_a_link_or_begin_with_a_byte_order_mark(tmp_path):
    table = pa.table({"icd_code": ["I214", "0010"], "icd_version": ["10", "9"]})
    parquet, marked = tmp_path / "parquet" / "hosp", tmp_path / "marked" / "hosp"
    for folder in (parquet, marked, tmp_path / "linked"):
        folder.mkdir(parents=True)
    pq.write_table(table, parquet / "d_icd_diagnoses.parquet")
    (tmp_path / "linked" / "hosp").symlink_to(parquet)
    (marked / "d_icd_diagnoses.csv").write_text("\ufefficd_code,icd_version,long_title\nI214,10,x\n", encoding="utf-8")
    for copy in ("parquet", "linked", "marked"):
        assert values(crawl_plan.read_dictionary(tmp_path / copy)) == ["I214"]
