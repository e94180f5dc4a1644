"""Files: atomic, and honest about where their rows come from."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepicd import storage
from deepicd.errors import DeepicdError

SCHEMA = pa.schema([("note_id", pa.string()), ("words", pa.int64())])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), storage.atomic_write(path) as tmp:
        tmp.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_carries_its_origin_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [{"note_id": "a", "words": 1}, {"note_id": "b", "words": None}]
    for name in ("one.parquet", "two.parquet"):
        assert storage.write_parquet(tmp_path / name, rows, SCHEMA, "synthetic") == 2
    assert storage.read_origin(tmp_path / "one.parquet") == "synthetic"
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_rows_are_written_a_row_group_at_a_time_with_the_bytes_of_a_whole_table(tmp_path: Path) -> None:
    rows = [{"a": f"{number:x}", "b": number} for number in range(2 * storage.ROW_GROUP + 5)]
    schema = pa.schema([("a", pa.string()), ("b", pa.int64())])
    assert storage.write_parquet(tmp_path / "rows.parquet", iter(rows), schema, "public") == len(rows)
    storage.write_parquet(tmp_path / "table.parquet", pa.Table.from_pylist(rows, schema), schema, "public")
    assert (tmp_path / "rows.parquet").read_bytes() == (tmp_path / "table.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 3
    assert storage.write_parquet(tmp_path / "none.parquet", [], schema, "public") == 0
    assert storage.read_table(tmp_path / "none.parquet", schema).num_rows == 0


def test_a_file_that_does_not_say_counts_as_credentialed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    assert storage.read_origin(tmp_path / "foreign.parquet") == "mimic"


def test_one_credentialed_source_makes_all_of_it_credentialed() -> None:
    assert storage.combine_origins(["public", "synthetic", "mimic"]) == "mimic"
    assert storage.combine_origins(["public", "synthetic"]) == "synthetic"
    assert storage.combine_origins(["public"]) == "public"


def test_a_table_of_another_kind_is_refused_by_column(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"note_id": ["a"], "words": ["many"]}), path)
    with pytest.raises(DeepicdError, match=r"words \(int64 expected, string"):
        storage.open_parquet(path, SCHEMA)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DeepicdError, match="is not a parquet file, only part of one, or damaged"):
        storage.open_parquet(path, SCHEMA)


def test_a_folders_digest_sees_content_and_names_but_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    before = storage.digest_path(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".hidden").write_text("x")
    assert storage.digest_path(tmp_path) == before
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert storage.digest_path(tmp_path) != before


def test_a_digest_that_is_being_taken_is_waited_for(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.bin" for n in range(4)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * 5_000_000)
    with storage.digest_ahead(paths):
        digests = [storage.digest_path(path) for path in reversed(paths)]
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in reversed(paths)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("icd_code", ["I214", None]),
        ("extra_info", [{"note": "a"}, {"note": None}]),
        ("prompt", [[{"role": None}]]),
        ("codes", [[], None]),
    ],
)
def test_rows_that_lack_what_no_row_may_lack_are_refused_by_column(
    name: str, values: list[object], tmp_path: Path
) -> None:
    """A stage would otherwise end in a traceback, or write a row that says nothing."""
    path = tmp_path / "table.parquet"
    table = pa.table({name: values})
    pq.write_table(table, path)
    with pytest.raises(DeepicdError, match=f"has rows without {name}"):
        storage.read_table(path, table.schema)
    with pytest.raises(DeepicdError, match=f"has rows without {name}"):
        list(storage.open_parquet(path, table.schema).iter_batches())
    assert storage.open_parquet(path, table.schema, nullable=[name]).read().num_rows == len(values)


def test_columns_that_a_table_may_lack_have_their_type_where_it_has_them(tmp_path: Path) -> None:
    path, rollout = tmp_path / "table.parquet", pa.schema([("rollout", pa.int16())])
    pq.write_table(pa.table({"words": [1]}), path)
    assert storage.open_parquet(path, pa.schema([]), optional=rollout).read().num_rows == 1
    pq.write_table(pa.table({"rollout": ["1"]}), path)
    with pytest.raises(DeepicdError, match=r"rollout \(int16 expected, string"):
        storage.open_parquet(path, pa.schema([]), optional=rollout)


def test_a_folder_that_holds_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.parquet").touch()
    with pytest.raises(DeepicdError, match=r"a\\xff.parquet' is not UTF-8"):
        storage.digest_path(tmp_path)


def test_a_home_that_nobody_has_is_refused_and_an_own_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.expand_home("~/copy") == tmp_path / "copy"
    with pytest.raises(DeepicdError, match=r"~nobody-here/copy: no home folder is known for it\."):
        storage.expand_home("~nobody-here/copy")
