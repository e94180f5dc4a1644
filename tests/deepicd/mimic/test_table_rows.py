"""What other programs make of a table reads as PhysioNet's; what cannot be read is told by cause, row and column."""

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.mimic.table_rows import read_rows
from deepicd.mimic.tables import Table
from deepicd.mimic.values import convert

DIAGNOSES = "subject_id,hadm_id,seq_num,icd_code,icd_version\n10000019,20000019,1,I214,10\n10000020,20000020,2,0389,9\n"
DIAGNOSES_TABLE = Table("diagnoses_icd", Path("x.csv"), ())
ROWS = [
    {"subject_id": 10000019, "hadm_id": 20000019, "seq_num": 1, "icd_code": "I214", "icd_version": 10},
    {"subject_id": 10000020, "hadm_id": 20000020, "seq_num": 2, "icd_code": "0389", "icd_version": 9},
]
NOTES = 'note_id,subject_id,hadm_id,note_seq,text\nN1,1,2,1,"First\n"\nN2,3,4,1,"SECRET ""quoted"" text\n"\n'


def read(path: Path, name: str = "") -> list[dict[str, object]]:
    table = Table.at(path, name or path.name.split(".")[0])
    return [row for batch in read_rows(table) for row in batch.to_pylist()]


def write(path: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


OTHER_FORMS = {
    "Windows": DIAGNOSES.replace("\n", "\r\n"),
    "converted twice": DIAGNOSES.replace("\n", "\r\r\n"),
    "old Mac": DIAGNOSES.replace("\n", "\r"),
    "byte order mark": "\ufeff" + DIAGNOSES,
    "capitals": DIAGNOSES.replace("subject_id,hadm_id,seq_num,icd_code", "SUBJECT_ID,Hadm_Id, SEQ_NUM,ICD_CODE"),
    "floats": DIAGNOSES.replace("20000019", "20000019.0").replace(",10\n", ",10.0\n").replace(",9\n", ",9.00\n"),
    "all quoted": "\n".join(",".join(f'"{v}"' for v in line.split(",")) for line in DIAGNOSES.splitlines()),
    "an index": "\n".join(f"{n},{line}" for n, line in enumerate(DIAGNOSES.splitlines())).replace("0,", ",", 1),
    "padded": DIAGNOSES.replace("I214", "\tI21.4\u00a0").replace("20000020,", " 20000020 ,").replace("0389", "0389  "),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_table_reads_the_same_however_a_program_wrote_it(form: str, ending: str, tmp_path: Path) -> None:
    assert read(write(tmp_path / f"diagnoses_icd{ending}", OTHER_FORMS[form])) == ROWS


def test_parquet_with_doubles_dictionaries_and_capitals_reads_the_same(tmp_path: Path) -> None:
    columns = pa.table({name.upper(): [row[name] for row in ROWS] for name in ROWS[0]})
    columns = columns.set_column(1, "HADM_ID", columns["HADM_ID"].cast(pa.float64()))
    columns = columns.set_column(3, "ICD_CODE", columns["ICD_CODE"].dictionary_encode())
    pq.write_table(columns, tmp_path / "diagnoses_icd.parquet")
    assert read(tmp_path / "diagnoses_icd.parquet") == ROWS


@given(st.lists(st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"]), min_size=3, max_size=3), st.booleans())
def test_any_line_ends_give_the_same_text(ends: list[str], has_mark: bool) -> None:
    text = "\ufeff" * has_mark + "".join(f"{line}{end}" for line, end in zip("abc", ends, strict=True))
    batch = pa.RecordBatch.from_pydict({"text": [text, None, "x"]})
    unified = convert(batch, Table("discharge", Path("x.csv"), ()), ["text"], 0)
    assert unified["text"].to_pylist() == [
        "a\nb\nc\n",
        None,
        "x",
    ]


SPACE = st.text(" \t\u00a0\u2003\n", max_size=3)


@given(st.from_regex(r"[A-Z][0-9][0-9AB][0-9A-Z]{0,4}", fullmatch=True), SPACE, SPACE, st.booleans(), st.booleans())
def test_any_spelling_of_a_code_is_the_code(value: str, before: str, after: str, has_dot: bool, is_lower: bool) -> None:
    spelling = str(Code(value)) if has_dot else value
    spelling = before + (spelling.lower() if is_lower else spelling) + after
    batch = pa.RecordBatch.from_pydict({"icd_code": [spelling, "I10", spelling], "icd_version": [10, 10, 9]})
    icd10, other, icd9 = convert(batch, DIAGNOSES_TABLE, batch.schema.names, 0)["icd_code"].to_pylist()
    assert (icd10, other, icd9) == (value, "I10", spelling.strip())


def test_optional_columns_that_a_table_lacks_are_null(tmp_path: Path) -> None:
    path = write(tmp_path / "admissions.csv", "hadm_id,SUBJECT_ID,Race\n20000019,10000019,WHITE\n")
    names = ("admittime", "dischtime", "admission_type", "discharge_location", "hospital_expire_flag")
    absent = dict.fromkeys(names)
    assert read(path) == [{"subject_id": 10000019, "hadm_id": 20000019, "race": "WHITE", **absent}]


def test_without_a_header_line_no_value_of_the_first_row_is_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "admissions.csv", "10000019,20000019,URGENT,SECRET\n")
    with pytest.raises(DeepicdError, match="has no column subject_id, hadm_id; its header names no column") as error:
        read(path)
    assert "secret" not in str(error.value).casefold()


BAD_VALUES = {
    "a fraction": (DIAGNOSES.replace("20000020", "20000020.5"), "row 2, column hadm_id: it is not a whole number"),
    "an exponent": (DIAGNOSES.replace("20000020", "2.0e7"), "row 2, column hadm_id: it is not a whole number"),
    "words": (DIAGNOSES.replace("10000019", "SECRET"), "row 1, column subject_id: it is not a whole number"),
    "another version": (DIAGNOSES.replace(",10\n", ",11\n"), "row 1, column icd_version: it is neither 9 nor 10"),
    "no version": (DIAGNOSES.replace(",9\n", ",\n"), "row 2, column icd_version: it is neither 9 nor 10"),
    "a column more": (DIAGNOSES.replace("0389,9", "0389,9,SECRET"), "row 2 has 6 values, its header names 5 columns"),
    "a column twice": (DIAGNOSES.replace("seq_num", "HADM_ID"), "names a column twice"),
    "Latin-1": (DIAGNOSES.encode().replace(b"0389", b"\xe9"), "row 2 holds bytes that are not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
def test_what_cannot_be_read_is_named_by_row_and_column_and_not_shown(kind: str, tmp_path: Path) -> None:
    text, message = BAD_VALUES[kind]
    with pytest.raises(DeepicdError) as error:
        read(write(tmp_path / "diagnoses_icd.csv.gz", text))
    assert message in error.value.what
    assert "SECRET" not in str(error.value)


def test_a_fraction_in_parquet_is_refused_and_not_rounded(tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]} | {"hadm_id": [20000019.0, 20000020.5]}
    pq.write_table(pa.table(columns), tmp_path / "diagnoses_icd.parquet")
    with pytest.raises(DeepicdError, match="row 2, column hadm_id: it is not a whole number"):
        read(tmp_path / "diagnoses_icd.parquet")


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_file_that_ends_within_a_quoted_note_is_refused_wherever_it_was_cut(ending: str, tmp_path: Path) -> None:
    whole = write(tmp_path / f"discharge{ending}", NOTES)
    assert [row["text"] for row in read(whole)] == ["First\n", 'SECRET "quoted" text\n']
    start = NOTES.index('"SECRET')
    for place in range(start + 1, NOTES.rindex('"')):
        is_closed = NOTES[:place].count('"') % 2 == 0  # cut between two quotes of one: nothing tells
        write(whole, NOTES[:place])
        if is_closed:
            continue
        with pytest.raises(DeepicdError, match="it ends in the middle of a row"):
            read(whole)


NOT_WHOLE = {
    "a page behind it": (gzip.compress(DIAGNOSES.encode()) + b"<html>Log in</html>", "a web page follows the end"),
    "bytes behind it": (gzip.compress(DIAGNOSES.encode()) + b"other bytes", "other data follows the end"),
    "cut": (gzip.compress(DIAGNOSES.encode())[:-9], "the gzip ends early"),
    "a wrong checksum": (gzip.compress(DIAGNOSES.encode())[:-8] + bytes(8), "its gzip is damaged"),
    "a login page": (b"<!DOCTYPE html><title>Log in</title>", "is a web page, not a gzip file"),
    "a page, gzipped": (gzip.compress(b"\n<html>Log in</html>"), "is a gzip of a web page, not of plain text"),
    "gzipped twice": (gzip.compress(gzip.compress(DIAGNOSES.encode())), "is a gzip of a gzip file, not of plain text"),
    "unpacked": (DIAGNOSES.encode(), "is plain text, not a gzip file"),
    "an archive": (b"PK\x03\x04" + bytes(30), "is a ZIP archive, not a gzip file"),
    "set aside": (bytes(4096), "is filled with zeros"),
    "empty": (b"", "is empty"),
    "zlib": (zlib.compress(b"x" * 99), "is data of an unknown kind, not a gzip file"),
}


@pytest.mark.parametrize("kind", NOT_WHOLE)
def test_a_file_that_is_not_what_its_name_says_is_told_as_what_it_is(kind: str, tmp_path: Path) -> None:
    data, message = NOT_WHOLE[kind]
    (tmp_path / "diagnoses_icd.csv.gz").write_bytes(data)
    with pytest.raises(DeepicdError, match=message) as error:
        read(tmp_path / "diagnoses_icd.csv.gz")
    assert error.value.advice


def test_zeros_behind_a_gzip_are_padding_and_two_gzips_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "diagnoses_icd.csv.gz"
    head, body = DIAGNOSES.encode().split(b"\n", 1)
    path.write_bytes(gzip.compress(head + b"\n") + gzip.compress(body) + bytes(64))
    assert read(path) == ROWS


def test_the_advice_names_the_right_name(tmp_path: Path) -> None:
    write(tmp_path / "diagnoses_icd.csv", gzip.compress(DIAGNOSES.encode()))
    with pytest.raises(DeepicdError, match=r"is a gzip file, not plain text.\nRename it to diagnoses_icd\.csv\.gz"):
        read(tmp_path / "diagnoses_icd.csv")


def test_a_program_that_stops_reading_early_exits_as_it_should(tmp_path: Path) -> None:
    """Arrow reads ahead in threads of its own, which must not hold Python's bytes when the interpreter exits."""
    path = tmp_path / "discharge.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("note_id,subject_id,hadm_id,note_seq,text\n")
        file.writelines(f'N{n},{n},{n},1,"{"a line of a note " * 200_000}"\n' for n in range(30))
    script = f"""
from pathlib import Path
from deepicd.mimic.table_rows import read_rows
from deepicd.mimic.tables import Table
rows = read_rows(Table.at(Path({str(path)!r}), "discharge"))
next(rows)
raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
