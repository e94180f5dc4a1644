"""Files that are whole or absent, and parquet that knows where its rows come from.

Nothing is ever written under its final name: `atomic` hands out a temporary neighbour and renames it when the block
ends well. Every parquet file of ours carries `deepicd.origin` in its footer; a file that does not is taken for
credentialed, the only safe guess.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from deepicd.errors import DeepicdError
from deepicd.log import RUN_LOG

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Origin = Literal["mimic", "synthetic", "public"]
"""mimic: descends from credentialed records, stays on the machine. synthetic: made up by us. public: neither."""

ORIGIN_KEY = b"deepicd.origin"
PIECE = 2**22  # bytes hashed at a time; after each a thread waits for its turn: 5 ms where another one imports
ROW_GROUP = 4096  # rows; a note is some 10 kB, so a group of the cohort is some 20 MB before compression


def combine_origins(origins: Iterable[Origin]) -> Origin:
    """The origin of what is made from several sources: one credentialed source makes all of it credentialed."""
    present = set(origins)
    return "mimic" if "mimic" in present else "synthetic" if "synthetic" in present else "public"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the name `path` when the block ends well, else it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield tmp
        with tmp.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with none of the bytes
        tmp.replace(path)
    finally:
        tmp.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Path, out: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock goes with the process, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeepicdError(
                f"Another process is writing to {out}.", "Wait for it to end, or choose another folder."
            ) from error
        yield
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as tmp:
        tmp.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises DeepicdError with the place where it stops being JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DeepicdError(f"{path} is not JSON: {error}.", "Make it again with the command that wrote it.") from error


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file that is appended to, a line each; torn lines are left out, and no file has none."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(json.JSONDecodeError):  # whoever wrote it was killed, or is still at it
            yield json.loads(line)


@contextmanager
def open_parquet_writer(path: Path, schema: "pa.Schema", origin: Origin) -> Iterator["pq.ParquetWriter"]:
    """A writer of `schema` whose file appears, whole, when the block ends. Same rows in the same calls, same bytes."""
    import pyarrow.parquet as pq

    with (
        atomic_write(path) as tmp,
        pq.ParquetWriter(tmp, add_origin(schema, origin), compression="zstd", store_schema=True) as writer,
    ):
        yield writer


def add_origin(schema: "pa.Schema", origin: Origin) -> "pa.Schema":
    return schema.with_metadata({**(schema.metadata or {}), ORIGIN_KEY: origin.encode()})


def write_parquet(
    path: Path, rows: "pa.Table | Iterable[Mapping[str, object]]", schema: "pa.Schema", origin: Origin
) -> int:
    """Write rows (mappings, or a table that has the schema's columns); how many there were."""
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows], schema)
    table = table.select(schema.names).cast(schema)
    with open_parquet_writer(path, schema, origin) as writer:
        writer.write_table(table.replace_schema_metadata(writer.schema.metadata), row_group_size=ROW_GROUP)
    return int(table.num_rows)


def read_table(path: Path, schema: "pa.Schema", columns: Sequence[str] | None = None) -> "pa.Table":
    """All rows of a parquet file that has the schema's columns, or these columns of them. Raises DeepicdError."""
    import pyarrow as pa

    file = open_parquet(path, schema)
    try:
        return file.read(list(columns or schema.names))
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path) from error


def open_parquet(path: Path, schema: "pa.Schema") -> "pq.ParquetFile":
    """An open parquet file that has at least the schema's columns, with its types. Raises DeepicdError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Check the path, or run the stage that writes it.")
    try:
        file = pq.ParquetFile(path)
    except PermissionError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path) from error
    has = file.schema_arrow
    off = [
        f"{field.name} ({field.type} expected, {has.field(field.name).type if field.name in has.names else 'absent'})"
        for field in schema
        if field.name not in has.names or has.field(field.name).type != field.type
    ]
    if off:
        raise DeepicdError(
            f"{path} is not the kind of table expected here; columns that differ: {', '.join(off)}.",
            "Point at the output of the stage before this one, made by this version.",
        )
    return file


def _damaged(path: Path) -> DeepicdError:
    return DeepicdError(
        f"{path} is not a parquet file, or only part of one.", "Make it again with the stage that writes it."
    )


def read_origin(path: Path) -> Origin:
    """What a parquet file or a ledger says of its rows; one that says nothing counts as credentialed."""
    if path.suffix == ".jsonl":
        with path.open("rb") as file, suppress(ValueError, AttributeError):
            return _known(json.loads(file.readline()).get("origin"))
        return "mimic"
    import pyarrow.parquet as pq

    return _known((pq.read_schema(path).metadata or {}).get(ORIGIN_KEY, b"mimic").decode())


def _known(value: object) -> Origin:
    return next((origin for origin in get_args(Origin) if origin == value), "mimic")


def digest_path(path: Path) -> str:
    """SHA-256 of a file; of a folder, over its files' names and digests, run records and hidden files left out."""
    if path.is_file():
        stat = path.stat()
        with _LOCKS.setdefault(path, threading.Lock()):  # who asks while it is being taken waits for it
            return _file_digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    total = hashlib.sha256()
    for file_path in list_files(path):
        total.update(f"{file_path.relative_to(path).as_posix()}\0{digest_path(file_path)}\n".encode())
    return total.hexdigest()


_LOCKS: dict[Path, threading.Lock] = {}


@contextmanager
def digest_ahead(paths: Iterable[Path]) -> Iterator[None]:
    """Let digests of files be taken in threads meanwhile; `digest` then has them, or waits for one under way."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for path in paths:
            pool.submit(digest_path, path)
        yield
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1024)
def _file_digest(path: Path, *_: int) -> str:
    """Of a file whose inode, size and time are these: the notes, a gigabyte, are asked for twice in a run."""
    total, piece = hashlib.sha256(), memoryview(bytearray(PIECE))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            total.update(piece[:size])
    return total.hexdigest()


def list_files(folder: Path) -> list[Path]:
    """The files of a folder that count as its content, sorted: no run.json, no run.log, nothing hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in ("run.json", RUN_LOG)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def digest_text(text: str) -> str:
    """SHA-256 of a text, as rows carry it to say which note, trace or description they speak of."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_json(value: object) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return digest_text(json.dumps(value, sort_keys=True, separators=(",", ":")))
