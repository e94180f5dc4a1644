"""Tell what a file is by its first bytes, and refuse one that is not what its name says.

    >>> name_kind(b"<!DOCTYPE html><title>Log in"), name_kind(b"subject_id,hadm_id"), name_kind(b"PK\\x03\\x04")
    ('a web page', 'plain text', 'a ZIP archive')

Typical causes: a login page saved in place of a download, a file that a browser unpacked and did not rename, an archive
that was never unpacked, a download whose space was set aside and never filled.
"""

import re
from pathlib import Path

from deepicd.errors import DeepicdError

GZIP, PARQUET, DUCKDB, TEXT = "a gzip file", "a parquet file", "a DuckDB file", "plain text"
WEB_PAGE, EMPTY, ZEROS = "a web page", "empty", "filled with zeros"
KIND_OF_SUFFIX = {".gz": GZIP, ".csv": TEXT, ".parquet": PARQUET, ".duckdb": DUCKDB, ".db": DUCKDB}
HEAD = 1024  # bytes that tell a kind

_MAGIC = (
    (b"\x1f\x8b", GZIP),
    (b"PAR1", PARQUET),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PGDMP", "a dump of PostgreSQL"),
    (b"%PDF", "a PDF"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel file"),
    (b"version https://git-lfs", "a pointer of Git LFS"),
)
_CONTROL = re.compile(rb"[^\t\n\f\r -\xff]")
_WEB_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")
_FETCH = "Fetch the file again; what is right is kept: deepicd physionet fetch --user NAME DIR"
_ADVICE = {
    WEB_PAGE: f"A server answered the download with a page, such as PhysioNet's login. {_FETCH}",
    ZEROS: f"Its download was not finished. {_FETCH}",
    EMPTY: f"Its download was not finished. {_FETCH}",
    "a ZIP archive": "Unpack it, and point at what it holds.",
    "text in UTF-16": "Save it as UTF-8, or use the file as PhysioNet ships it.",
}


def name_kind(head: bytes) -> str:
    """Return what a file that begins with these bytes is, such as 'a web page'."""
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return ZEROS
    if head[8:12] == b"DUCK":
        return DUCKDB
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_WEB_PAGES):
        return WEB_PAGE
    return "data of an unknown kind" if _CONTROL.search(head) else TEXT


def check_kind(path: Path) -> None:
    """Raise DeepicdError if a file's first bytes are not those that its name promises."""
    expected = KIND_OF_SUFFIX[path.suffix]
    with path.open("rb") as file:
        kind = name_kind(file.read(HEAD))
    if kind != expected:
        raise wrong_kind_error(path, kind)


def wrong_kind_error(path: Path, kind: str, expected: str = "") -> DeepicdError:
    """Return the error for a file that is of another kind than expected, by default than its name says."""
    advice = next((advice for known, advice in _ADVICE.items() if kind.endswith(known)), None)
    if kind == TEXT and path.suffix == ".gz":
        advice = f"If it was unpacked already, rename it to {path.stem}"
    elif kind == GZIP and path.suffix == ".csv":
        advice = f"Rename it to {path.name}.gz"
    instead = "" if kind in (EMPTY, ZEROS) else f", not {expected or KIND_OF_SUFFIX[path.suffix]}"
    return DeepicdError(
        f"{path} is {kind}{instead}.",
        advice or f"Point at the tables of MIMIC-IV as PhysioNet ships them, or as {PARQUET} or {DUCKDB}.",
    )
