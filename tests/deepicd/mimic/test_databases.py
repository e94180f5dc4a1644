"""Every way in which a DuckDB file cannot be read is told by its cause."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from deepicd.errors import DeepicdError
from deepicd.mimic.table_rows import read_rows
from deepicd.mimic.tables import Table

TABLE = """
create table Icustays as
select 10000000 + i as SUBJECT_ID, (20000000 + i)::double as hadm_id, repeat('x', i % 90) as filler
from range(20000) t(i)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "mimic.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute(TABLE)
    return path


def read(path: Path) -> list[dict[str, int]]:
    return [row for batch in read_rows(Table.at(path, "icustays")) for row in batch.to_pylist()]


def change(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute(statement)


def test_tables_and_columns_are_found_in_any_case_and_doubles_read_as_whole_numbers(database: Path) -> None:
    rows = read(database)
    assert len(rows) == 20_000
    assert rows[19] == {"subject_id": 10000019, "hadm_id": 20000019}


def test_a_file_that_another_program_has_open_is_told_with_its_process(database: Path) -> None:
    script = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(DeepicdError) as error:
                read(database)
        finally:
            other.kill()
    assert f"is open in another program (process {other.pid})" in error.value.what
    assert error.value.advice == "Close it there, then rerun the command."


def test_a_bad_row_is_named_by_its_number(database: Path) -> None:
    change(database, "update icustays set hadm_id = 20000777.5 where subject_id = 10000777")
    with pytest.raises(DeepicdError, match="row 778, column hadm_id: it is not a whole number"):
        read(database)


def test_text_in_a_column_of_numbers_is_named_by_its_row(database: Path) -> None:
    change(database, "alter table icustays alter hadm_id type varchar")
    assert read(database)[19] == {"subject_id": 10000019, "hadm_id": 20000019}
    change(database, "update icustays set hadm_id = 'SECRET' where subject_id = 10000002")
    with pytest.raises(DeepicdError, match="row 3, column hadm_id") as error:
        read(database)
    assert "SECRET" not in str(error.value)


def test_two_tables_of_a_name_are_an_error_that_names_their_schemas(database: Path) -> None:
    change(database, "create schema hosp; create table hosp.icustays as from icustays")
    with pytest.raises(DeepicdError) as error:
        read(database)
    assert 'holds 2 tables icustays: "hosp"."icustays", "main"."Icustays"' in error.value.what


def test_a_view_of_files_that_are_gone_is_told_as_that(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "icustays.csv"
    file.write_text("subject_id,hadm_id\n1,2\n")
    change(database, f"drop table icustays; create view icustays as from read_csv('{file}')")
    assert read(database) == [{"subject_id": 1, "hadm_id": 2}]
    file.unlink()
    with pytest.raises(DeepicdError, match="holds a view of files that are not there"):
        read(database)


def test_what_is_no_duckdb_file_is_told_as_what_it_is_and_nothing_is_downloaded(tmp_path: Path) -> None:
    path = tmp_path / "mimic.db"
    with sqlite3.connect(path) as db:
        db.execute("create table icustays (subject_id int, hadm_id int)")
    with pytest.raises(DeepicdError, match="is an SQLite database, not a DuckDB file"):
        read(path)
    path.write_text("<html>Log in</html>")
    with pytest.raises(DeepicdError, match="is a web page, not a DuckDB file"):
        read(path)


def test_a_file_that_is_cut_or_damaged_is_told_as_that(database: Path, tmp_path: Path) -> None:
    data = bytearray(database.read_bytes())
    cut, changed = tmp_path / "cut.duckdb", tmp_path / "changed.duckdb"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(DeepicdError, match="ends early: part of it is missing"):
        read(cut)
    shutil.copy(database, changed)
    data[8192] ^= 255  # within the file's second header
    data[4096] ^= 255
    changed.write_bytes(data)
    with pytest.raises(DeepicdError, match="is damaged: a checksum in it is wrong"):
        read(changed)
