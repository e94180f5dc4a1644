"""Make bad inputs out of good ones: by bytes, by the values in a JSON document, by the rows of a parquet file.

rng = random.Random(7)
mutate(rng, seed)            # a few bytes flipped, cut, repeated, or a hostile token put in
mutate_json(rng, seed)       # another value in one place of the document, a key less, or all of it 200 levels deep
mutate_parquet(rng, seed)    # nulls, empty texts and huge numbers in the columns, written anew
"""

import copy
import io
import json
import random
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

TOKENS = (
    b"[" * 5_000, b'{"a":' * 2_000, b"- " * 3_000, b"<div>" * 2_000, b"(" * 500, b"9" * 5_000, b"1e999", b"NaN",
    b"-Infinity", b"null", b"true", b'""', b"{}", b"[]", b"\\ud800", b"\\u0000", b"\x00", b"\xff\xfe", b"\xed\xa0\x80",
    "\N{SUPERSCRIPT TWO}".encode(), "\N{ARABIC-INDIC DIGIT THREE}".encode(), "\N{LINE SEPARATOR}".encode(),
    "\N{ZERO WIDTH NO-BREAK SPACE}".encode(), "I\N{COMBINING DOT ABOVE}\N{LATIN SMALL LETTER SHARP S}".encode(),
    b"\r", b"\n", b'"', b"'", b",", b";", b":", b"#", b"&a [*a]", b"!!int x", b"!!python/none", b"<<: {a: 1}",
    b"2024-13-45", b"-1", b"0", b"1/0", b"../..", b"%s", b"a" * 20_000, b"<think>", b"</think>", b"<diagnosis>",
    b"___", b"\x1f\x8b", b"PAR1", b"%PDF-", b"%%EOF",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63 - 1, 2**70, 1e300, float("nan"), float("inf"), "", "x", "9" * 30, "²", "\0", "\ud800",
    [], {}, [None], [[1]], {"": None}, "a" * 10_000, 3.5, "mimic", ["x", 1],
)  # fmt: skip


def mutate(rng: random.Random, seed: bytes) -> bytes:
    """Return the seed with one to four changes of its bytes."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 8, 64, 1024)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        elif kind == 4:
            data[at:at] = rng.choice(TOKENS)
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def mutate_json(rng: random.Random, seed: bytes) -> bytes:
    """Return a JSON document with an odd value in some place, a key or an entry less, nested deep, or bytes changed."""
    if rng.random() < 0.2:
        return mutate(rng, seed)
    value: Any = json.loads(seed)
    for _ in range(rng.randint(1, 3)):
        value = _change(rng, value)
    return json.dumps(value).encode()


def _change(rng: random.Random, value: Any) -> Any:
    """Return a JSON value with one change, at any depth."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.12:
        if rng.random() < 0.05:
            for _ in range(rng.choice((50, 200))):
                value = [value] if rng.random() < 0.5 else {"a": value}
            return value
        return copy.deepcopy(rng.choice(ODD))
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    kind = rng.random()
    if kind < 0.15:
        del value[key]
    elif kind < 0.2 and isinstance(value, dict):
        value[rng.choice(("x", "", "9" * 30))] = copy.deepcopy(rng.choice(ODD))
    else:
        value[key] = _change(rng, value[key])
    return value


def mutate_parquet(rng: random.Random, seed: bytes) -> bytes:
    """Return a parquet file with odd values in some columns, a column less, or bytes changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rng.random() < 0.5:
        return mutate(rng, seed)
    table = pq.read_table(io.BytesIO(seed)).slice(0, 20)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(table.num_columns)
        column = table.column(place).to_pylist()
        for row in range(len(column)):
            if rng.random() < 0.3:
                column[row] = rng.choice((None, None, *ODD))
        try:
            table = table.set_column(place, table.schema.field(place), pa.array(column, table.schema.field(place).type))
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            table = table.remove_column(place) if rng.random() < 0.2 and table.num_columns > 1 else table
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()
