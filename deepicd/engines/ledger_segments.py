"""Segments: what sessions have written to a ledger, compressed, sorted by key, and never changed again.

    OUT/ledger/00000-5f2c…-9b1e….arrow     digests of its keys and of its bytes

One row per key: `completion` and `findings` are the ledger's own lines, each a zstd frame; a key may have findings
alone, of a completion in another segment. Arrow rather than parquet: a ledger is read row by row in the cohort's order,
which is not that of the keys, and parquet would decompress a page of rows for each. A file is mapped into memory and
searched in place, so that opening it reads its keys and no text, and the system may drop them again.

A segment names the sessions that it replaces (`deepicd.sessions`). Those are removed once it is on disk, and
disregarded if a killed process did not come to that.
"""

import hashlib
import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import merge as merge_sorted
from itertools import accumulate, chain, groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deepicd import storage
from deepicd.engines.ledger_lines import Session, is_whole
from deepicd.errors import DeepicdError
from deepicd.parsing import MAX_BYTES, parse_json
from deepicd.storage import Origin

PATTERN = "*.arrow"
SESSIONS_KEY = b"deepicd.sessions"
BATCH = 16_384  # rows that are written at once, some 20 MB
KEY_BYTES = 16
NUMBERS = {pa.uint64(): "Q", pa.int32(): "i"}  # Arrow's type → that of Python's `array`
COLUMNS = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("head", pa.uint64(), nullable=False),  # its first half as a number, which is searched
        pa.field("completion", pa.binary()),
        pa.field("completion_bytes", pa.int32(), nullable=False),  # decompressed; 0 for none
        pa.field("findings", pa.binary()),
        pa.field("findings_bytes", pa.int32(), nullable=False),
    ]
)

Row = tuple[bytes, int, bytes | None, int, bytes | None, int]
"""A row of a segment: values compressed, with the bytes of each once decompressed."""

_CODEC = pa.Codec("zstd", 3)


class Segment:
    damaged = 0  # lines in it that fail their checksum are met on reading

    def __init__(self, path: Path) -> None:
        """Open a segment; check its keys, and where its texts lie. Raises DeepicdError for one that is not whole."""
        self.path = path
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            if not reader.schema.equals(COLUMNS):
                raise _describe_damage(path)
            self._batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
            for batch in self._batches:
                batch.validate(full=True)  # an offset beyond the file would end the process
            self.sessions = frozenset(parse_json(reader.schema.metadata[SESSIONS_KEY]))
            self._keys = [_view(batch, "key") for batch in self._batches]
            self._heads = [_view(batch, "head") for batch in self._batches]
        except (pa.ArrowException, OSError, TypeError, KeyError, ValueError) as error:
            raise _describe_damage(path) from error
        if _digest_keys(chain(*zip(self._keys, self._heads, strict=True))) != path.name.split("-")[1]:
            raise _describe_damage(path)
        self.rows = sum(batch.num_rows for batch in self._batches)
        self.completions = sum(batch.num_rows - batch.column("completion").null_count for batch in self._batches)
        self._heads = [heads.cast("Q") for heads in self._heads]
        self._firsts = [heads[0] for heads in self._heads]

    @property
    def number(self) -> int:
        """The number of its first session."""
        return int(self.path.name.split("-")[0])

    @property
    def last_number(self) -> int:
        """The number of its last session; no other may have it again."""
        return max(int(Path(name).stem) for name in self.sessions)

    def __contains__(self, key: bytes) -> bool:
        place = self._find(key)
        return place is not None and self._batches[place[0]].column("completion_bytes")[place[1]].as_py() > 0

    def read_completion(self, key: bytes) -> bytes | None:
        """Return the line of a completion; None where the segment has none."""
        return self._read(key, "completion")

    def read_findings(self, key: bytes) -> bytes | None:
        """Return the line of the latest findings; None where the segment has none."""
        return self._read(key, "findings")

    def read_rows(self) -> Iterator[Row]:
        """Yield all rows in the order of their keys."""
        for batch in self._batches:
            for start in range(0, batch.num_rows, 256):
                yield from zip(*(column.to_pylist() for column in batch.slice(start, 256).columns), strict=True)

    def close(self) -> None:
        self._batches, self._keys = [], []

    def _find(self, key: bytes) -> tuple[int, int] | None:
        """Return the batch and the row of a key."""
        head = _read_head(key)
        for number in range(max(0, bisect_left(self._firsts, head) - 1), len(self._firsts)):
            heads, keys = self._heads[number], self._keys[number]
            for row in range(bisect_left(heads, head), len(heads)):
                if heads[row] != head:
                    return None
                if keys[row * KEY_BYTES : (row + 1) * KEY_BYTES] == key:
                    return number, row
        return None

    def _read(self, key: bytes, column: str) -> bytes | None:
        if (place := self._find(key)) is None:
            return None
        batch, row = self._batches[place[0]], place[1]
        value = batch.column(column)[row].as_buffer()
        return None if value is None else _decompress(value, batch.column(f"{column}_bytes")[row].as_py())


def open_segments(folder: Path) -> tuple[list[Segment], list[Path]]:
    """Open the segments of a ledger, oldest first; return also the paths of those that a larger one has replaced."""
    opened = [Segment(path) for path in sorted(folder.glob(PATTERN))]
    replaced = [one for one in opened if any(one.sessions < other.sessions for other in opened)]
    return [segment for segment in opened if segment not in replaced], [segment.path for segment in replaced]


def write_sessions(folder: Path, sessions: Sequence[Session], origin: Origin) -> Segment:
    """Write a segment of everything in some sessions, which are older before newer."""
    keys = sorted({key for session in sessions for key in session.list_keys()})
    return _write(folder, (_compress_row(key, sessions) for key in keys), {s.path.name for s in sessions}, origin)


def merge_segments(folder: Path, older: Segment, newer: Segment, origin: Origin) -> Segment:
    """Write a segment of everything in two."""
    rows = merge_sorted(older.read_rows(), newer.read_rows(), key=lambda row: row[0])  # equal keys: the older first
    merged = (_join_rows(list(group)) for _, group in groupby(rows, key=lambda row: row[0]))
    return _write(folder, merged, older.sessions | newer.sessions, origin)


def _write(folder: Path, rows: Iterable[Row], sessions: Iterable[str], origin: Origin) -> Segment:
    names = sorted(sessions)
    schema = storage.add_origin(COLUMNS.with_metadata({SESSIONS_KEY: json.dumps(names).encode()}), origin)
    part = folder / f".{names[0]}.{os.getpid()}.partial"
    keys = hashlib.sha256()
    try:
        with pa.ipc.new_file(str(part), schema) as writer:
            for batch in _batch(rows, schema):
                keys.update(_view(batch, "key"))
                keys.update(_view(batch, "head"))
                writer.write_batch(batch)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
            content = hashlib.file_digest(file, "sha256").hexdigest()
        path = folder / f"{Path(names[0]).stem}-{keys.hexdigest()[:16]}-{content[:16]}.arrow"
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(folder)
    return Segment(path)


def _batch(rows: Iterable[Row], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for _, group in groupby(enumerate(rows), key=lambda numbered: numbered[0] // BATCH):
        columns = zip(*(row for _, row in group), strict=True)
        yield pa.record_batch([_build_array(*column) for column in zip(columns, schema, strict=True)], schema=schema)


def _build_array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Return values as an array; pa.array would do so too, and import pandas (50 MiB)."""
    if pa.types.is_integer(field.type):
        numbers = array(NUMBERS[field.type], values)
        return pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(numbers)])
    content = pa.py_buffer(b"".join(value or b"" for value in values))
    if pa.types.is_fixed_size_binary(field.type):
        return pa.Array.from_buffers(field.type, len(values), [None, content])
    lengths = array("i", (len(value or b"") for value in values))
    ends = pa.py_buffer(array("i", accumulate(lengths, initial=0)))
    is_there = pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(lengths)]).cast(pa.bool_())
    filled = pa.Array.from_buffers(field.type, len(values), [None, ends, content])
    return pc.if_else(is_there, filled, pa.nulls(len(values), field.type))


def _compress_row(key: bytes, sessions: Sequence[Session]) -> Row:
    completion = next(filter(None, (session.read_completion(key) for session in sessions)), None)
    findings = next(filter(None, (session.read_findings(key) for session in reversed(sessions))), None)
    return (key, _read_head(key), *_compress(completion), *_compress(findings))


def _join_rows(rows: Sequence[Row]) -> Row:
    """Return the row of a key that one or two segments have: the first completion, the last findings."""
    if len(rows) == 1:
        return rows[0]
    with_completion = [row for row in rows if row[2] is not None]
    whole = [row for row in with_completion if is_whole(_decompress(row[2], row[3]))]
    completion = next(chain(whole, with_completion), rows[0])
    findings = next((row for row in reversed(rows) if row[4] is not None), rows[0])
    return (*completion[:4], *findings[4:])


def _compress(line: bytes | None) -> tuple[bytes | None, int]:
    return (None, 0) if line is None else (_CODEC.compress(line, asbytes=True), len(line))


def _decompress(value: "pa.Buffer | bytes | None", size: int) -> bytes:
    """Return a line; b'' for a value that is damaged, which no checksum accepts."""
    if not 0 < size <= MAX_BYTES:
        return b""
    try:
        return bytes(_CODEC.decompress(value, size, asbytes=True))
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return b""


def _read_head(key: bytes) -> int:
    return int.from_bytes(key[: KEY_BYTES // 2], "big")


def _view(batch: pa.RecordBatch, column: str) -> memoryview:
    width = COLUMNS.field(column).type.bit_width // 8
    return memoryview(batch.column(column).buffers()[1]).cast("B")[: batch.num_rows * width]


def _digest_keys(keys: Iterable[memoryview]) -> str:
    total = hashlib.sha256()
    for view in keys:
        total.update(view)
    return total.hexdigest()[:16]


def _sync_folder(folder: Path) -> None:
    """Save a new name in a folder from a power cut, before what it replaces is removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems sync no folders
            os.fsync(handle)
    finally:
        os.close(handle)


def _describe_damage(path: Path) -> DeepicdError:
    return DeepicdError(
        f"The segment {path} of the ledger is damaged.",
        "Restore it from a copy. Without it, its completions would be requested again: move it away to do so.",
    )
