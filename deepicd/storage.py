"""Files that are complete or absent, and parquet files that know the origin of their rows.

Nothing is written under its final name: `atomic_write` yields a temporary path beside it and renames that when the
block succeeds. Every parquet file that we write has `deepicd.origin` in its footer; a file without it counts as
credentialed, the only safe assumption.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from deepicd.errors import DeepicdError
from deepicd.log import RUN_LOG
from deepicd.parsing import MAX_BYTES, ParseError, parse_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Origin = Literal["mimic", "synthetic", "public"]
"""mimic: derived from credentialed records, stays on the machine. synthetic: made up by deepicd. public: neither."""

ORIGIN_KEY = b"deepicd.origin"
SEAL_KEY = b"deepicd.sealed"
"""In the footer of files that only `deepicd.outcome` may open."""
CHUNK_BYTES = 2**22  # hashed at a time; small chunks make a thread wait too often for the interpreter lock
ROW_GROUP = 4096  # rows; a note is some 10 kB, so a group of the cohort is some 20 MB before compression


def combine_origins(origins: Iterable[Origin]) -> Origin:
    """Return the origin of what is made from several sources: one credentialed source makes all of it credentialed."""
    present = set(origins)
    return "mimic" if "mimic" in present else "synthetic" if "synthetic" in present else "public"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` when the block succeeds, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield tmp
        with tmp.open("rb") as file:
            os.fsync(file.fileno())  # otherwise a power cut may leave the new name without the bytes
        tmp.replace(path)
    finally:
        tmp.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as tmp:
        tmp.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file. Raises DeepicdError with the position of a syntax error."""
    try:
        return parse_json(read_bounded(path))
    except ParseError as error:
        raise DeepicdError(
            f"{path} is not valid JSON: {error}.", "Write it again with the command that made it."
        ) from error


def read_bounded(path: Path) -> bytes:
    """Return the content of a file, or as much of it as shows a parser that it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file with one per line. Skips incomplete lines; yields nothing without a file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            with suppress(ParseError):  # the writer was killed, or is still writing
                if isinstance(value := parse_json(line), dict):
                    yield value


@contextmanager
def open_parquet_writer(
    path: Path, schema: "pa.Schema", origin: Origin, *, is_sealed: bool = False
) -> Iterator["pq.ParquetWriter"]:
    """Yield a writer whose file appears, complete, when the block succeeds. Same rows in the same calls, same bytes."""
    import pyarrow.parquet as pq

    schema = add_origin(schema, origin)
    if is_sealed:
        schema = schema.with_metadata({**schema.metadata, SEAL_KEY: b"outcome"})
    with (
        atomic_write(path) as tmp,
        pq.ParquetWriter(tmp, schema, compression="zstd", store_schema=True, write_page_checksum=True) as writer,
    ):
        yield writer


def add_origin(schema: "pa.Schema", origin: Origin) -> "pa.Schema":
    return schema.with_metadata({**(schema.metadata or {}), ORIGIN_KEY: origin.encode()})


def write_parquet(
    path: Path, rows: "pa.Table | Iterable[Mapping[str, object]]", schema: "pa.Schema", origin: Origin
) -> int:
    """Write rows (mappings as they come, or a table that has the schema's columns) and return their number."""
    import pyarrow as pa

    number = 0
    with open_parquet_writer(path, schema, origin) as writer:
        for table in [rows] if isinstance(rows, pa.Table) else _build_row_groups(rows, schema):
            table = table.select(schema.names).cast(schema).replace_schema_metadata(writer.schema.metadata)
            writer.write_table(table, row_group_size=ROW_GROUP)
            number += table.num_rows
    return number


def _build_row_groups(rows: Iterable[Mapping[str, object]], schema: "pa.Schema") -> Iterator["pa.Table"]:
    """Yield tables of a row group each; an empty one where there are no rows."""
    import pyarrow as pa

    remaining, is_first = iter(rows), True
    while (group := [dict(row) for row in islice(remaining, ROW_GROUP)]) or is_first:
        yield pa.Table.from_pylist(group, schema)
        is_first = False


def read_table(path: Path, schema: "pa.Schema", columns: Sequence[str] | None = None) -> "pa.Table":
    """Return all rows of a parquet file that has the schema's columns, or only some columns. Raises DeepicdError."""
    return open_parquet(path, schema).read(list(columns or schema.names))


def open_parquet(
    path: Path,
    schema: "pa.Schema",
    *,
    optional: "pa.Schema | None" = None,
    nullable: Collection[str] = (),
    is_sealed: bool = False,
) -> "pq.ParquetFile":
    """Open a parquet file that has at least the columns of the schema, with their types. Raises DeepicdError.

    `optional`: columns that have these types where they are present; `nullable`: those that rows of this table may
    lack. A sealed file is opened for `deepicd.outcome` alone.
    """
    from deepicd.parquet_file import CheckedParquetFile
    from deepicd.schema import NEVER_NULL

    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Check the path, or run the stage that writes it.")
    file = CheckedParquetFile(path, NEVER_NULL.difference(nullable))
    if (SEAL_KEY in (file.schema_arrow.metadata or {})) != is_sealed:
        raise DeepicdError(
            f"{path} is {'not sealed' if is_sealed else 'sealed'}.",
            "Outcomes of stays are sealed, for `deepicd verify` alone; no other stage reads or writes such files.",
        )
    types = {field.name: field.type for field in file.schema_arrow}
    mismatches = [
        f"{field.name} ({field.type} expected, {types.get(field.name, 'absent')})"
        for field in (*schema, *(field for field in optional or () if field.name in types))
        if types.get(field.name) != field.type
    ]
    if mismatches:
        raise DeepicdError(
            f"{path} does not have the expected columns; these differ: {', '.join(mismatches)}.",
            "Point at the output of the stage before this one, written by this version.",
        )
    return file


def read_origin(path: Path) -> Origin:
    """Return the origin of the rows in a parquet file or a ledger; 'mimic' if the file does not state it.

    Raises DeepicdError for a damaged parquet file.
    """
    if path.suffix == ".jsonl":
        with path.open("rb") as file, suppress(ParseError, AttributeError):
            return _parse_origin(parse_json(file.readline(MAX_BYTES)).get("origin"))
        return "mimic"
    import pyarrow as pa
    import pyarrow.parquet as pq

    from deepicd.parquet_file import name_damage

    with name_damage(path):
        schema = pa.ipc.open_file(str(path)).schema if path.suffix == ".arrow" else pq.read_schema(path)
    return _parse_origin((schema.metadata or {}).get(ORIGIN_KEY, b"mimic").decode(errors="replace"))


def _parse_origin(value: object) -> Origin:
    return next((origin for origin in get_args(Origin) if origin == value), "mimic")


def digest_path(path: Path) -> str:
    """Return the SHA-256 of a file; for a folder, that of the names and digests of its files (see `list_files`)."""
    if path.is_file():
        stat = path.stat()
        with _LOCKS.setdefault(path, threading.Lock()):  # a second caller waits for the first one's result
            return _digest_file(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    total = hashlib.sha256()
    for file_path in list_files(path):
        total.update(f"{file_path.relative_to(path).as_posix()}\0{digest_path(file_path)}\n".encode())
    return total.hexdigest()


_LOCKS: dict[Path, threading.Lock] = {}


@contextmanager
def digest_ahead(paths: Iterable[Path]) -> Iterator[None]:
    """Compute digests of files in threads while the block runs; `digest_path` then returns or awaits them."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for path in paths:
            pool.submit(digest_path, path)
        yield
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1024)
def _digest_file(path: Path, _inode: int, size: int, _time: int) -> str:
    """Hash a file, once per inode, size and time: a run needs the digest of the notes, a gigabyte, twice."""
    total, chunk = hashlib.sha256(), memoryview(bytearray(min(CHUNK_BYTES, max(size, 1))))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(chunk):
            total.update(chunk[:count])
    return total.hexdigest()


def list_files(folder: Path) -> list[Path]:
    """Return the files that are the content of a folder, sorted: not run.json, run.log or hidden files.

    Raises DeepicdError for a name that is not UTF-8.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in ("run.json", RUN_LOG)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    for path in files:
        require_utf8(path)
    return files


def expand_home(path: Path | str) -> Path:
    """Return a path with `~` and `~user` replaced by a home folder. Raises DeepicdError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DeepicdError(f"{path}: no home folder is known for it.", "Write the whole path.") from error


def require_utf8(path: Path) -> None:
    """Raise DeepicdError for a path with a name that is not UTF-8, which neither JSON nor Arrow nor DuckDB can hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DeepicdError(
            f"The name of {os.fsencode(path)!r} is not UTF-8.", "Rename the file or folder, then rerun the command."
        ) from error


def find_only_folder(folder: Path, marker: str, contents: str, advice: str = "Point at one of them.") -> Path | None:
    """Return `folder` if it holds `marker`, else the only folder directly below it that does; None where none does.

    `marker`: a name or a pattern; hidden folders do not count. Raises DeepicdError where several folders hold it;
    `contents` says what these are.
    """
    if any(folder.glob(marker)):
        return folder
    names = sorted({path.relative_to(folder).parts[0] for path in folder.glob(f"*/{marker}")})
    names = [name for name in names if not name.startswith(".")]
    if len(names) > 1:
        raise DeepicdError(f"{folder} holds {len(names)} {contents}: {', '.join(names)}.", advice)
    return folder / names[0] if names else None


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text; rows identify notes, traces and descriptions by it."""
    return digest_bytes(text.encode())


def digest_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_json(value: object) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return digest_text(json.dumps(value, sort_keys=True, separators=(",", ":")))
