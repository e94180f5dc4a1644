"""Find MIMIC ids, blanked spans and filled-in prompts in a text without splitting it into words.

What counts as an id: eight digits on their own that begin with 1 (subject_id, 10,000,000 to 19,999,999) or 2 (hadm_id,
20,000,000 to 29,999,999); `p10000032`, as MIMIC names folders; `10000032.0`, as pandas writes a column with gaps; and
note ids, `10000032-DS-21`. What does not count, so that harmless files pass:

  digests, UUIDs     a letter touches the digits, or they begin a UUID
  decimals           0.12345678, 12345678.25
  sizes and counts   the preceding key ends in bytes, size, tokens, …, or such a unit follows
  references         PMID, DOI, arXiv
  dates              YYYYMMDD from 1990 to 2049, unless a word for an id precedes; one hadm_id in 450 looks like a date,
                     but a file that leaks ids leaks more than one

`___`, exactly three underscores, is MIMIC's mark for removed words. Alone on a line of Markdown it is a rule.
"""

import re
from collections.abc import Iterator
from datetime import date

import numpy as np
import numpy.typing as npt

SUBJECT = "a number in MIMIC's range of subject_id"
STAY = "a number in MIMIC's range of hadm_id"
NOTE = "a note id as MIMIC writes them"
BLANK = "`___`, MIMIC's mark for removed words"
PROMPT = "a prompt with an admission note"

_NOTE_ID = re.compile(rb"-[A-Z]{2}-\d{1,4}(?![\w])")
_UUID = re.compile(rb"-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-")
_WHOLE = re.compile(rb"\.0+(?!\d)")
_MEASURED = r"bytes|size|seconds|tokens|words|characters|chars|length|offset|count|rows|examples|steps|nanos|ns|ms|us"
_KEY = re.compile(rf"(?:{_MEASURED})[\"'`]?\s*[:=|]\s*$".encode(), re.IGNORECASE)
_UNIT = re.compile(rf"\s?(?:{_MEASURED}|b|kb|kib)\b".encode(), re.IGNORECASE)
_REFERENCE = re.compile(rb"(?:pmid|pmc|doi|arxiv|isbn|issn)\W*[\w./]*$|10\.\d{4,9}/\S*$", re.IGNORECASE)
_OF_PEOPLE = re.compile(rb"subject|hadm|note|patient|stay|admission|\bids?\b", re.IGNORECASE)
# Our prompts' heading above the note (distill.prompt), not followed by a template's placeholder.
_PROMPT = re.compile(rb"# Admission note(?:\n|\\n)(?!\{)")

_BEFORE, _AFTER = 48, 24  # bytes around a number that are considered


def find_patterns(text: bytes, *, markdown: bool = False) -> Iterator[tuple[int, str]]:
    """Yield position and reason of everything that may not leave: numbers, then blanks, then prompts."""
    codes = np.frombuffer(text, np.uint8)
    starts, ends = _find_stretches((codes - np.uint8(48)) < 10)
    first = codes[starts]
    eight = (ends - starts == 8) & ((first == 49) | (first == 50))
    for start in starts[eight].tolist():
        if reason := _classify_number(text, start):
            yield start, reason
    if b"___" in text:
        starts, ends = _find_stretches(codes == 95)
        for start in starts[ends - starts == 3].tolist():
            if not (markdown and _is_alone_on_line(text, start)):
                yield start, BLANK
    for match in _PROMPT.finditer(text):
        yield match.start(), PROMPT


def _find_stretches(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where the stretches of True begin and end."""
    turns = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    edges = np.concatenate(([0] if len(mask) and mask[0] else [], turns, [len(mask)] if len(mask) and mask[-1] else []))
    edges = edges.astype(np.intp)
    return edges[::2], edges[1::2]


def _classify_number(text: bytes, start: int) -> str | None:
    """Return why eight digits count as an id; None where they are something else."""
    number, before, after = (
        text[start : start + 8],
        text[max(0, start - _BEFORE) : start],
        text[start + 8 : start + 8 + _AFTER],
    )
    if before[-1:] in (b"p", b"P"):  # p10000032
        before = before[:-1]
    if before[-1:].isalnum() or after[:1].isalnum() or _UUID.match(after):
        return None
    if number[:1] == b"1" and _NOTE_ID.match(after):
        return NOTE
    if before[-1:] == b"." and before[-2:-1].isdigit():
        return None
    if after[:1] == b"." and after[1:2].isdigit() and not _WHOLE.match(after):
        return None
    line = before.rpartition(b"\n")[2]
    if _KEY.search(line) or _UNIT.match(after) or _REFERENCE.search(line):
        return None
    if _is_date(number) and not _OF_PEOPLE.search(line):
        return None
    return SUBJECT if number[:1] == b"1" else STAY


def _is_date(number: bytes) -> bool:
    """Return whether eight digits are a date from 1990 to 2049.

    >>> _is_date(b"20240229"), _is_date(b"20250229"), _is_date(b"20000019")
    (True, False, False)
    """
    try:
        return 1990 <= date(int(number[:4]), int(number[4:6]), int(number[6:])).year <= 2049
    except ValueError:
        return False


def _is_alone_on_line(text: bytes, start: int) -> bool:
    """Return whether the line contains nothing else."""
    end = text.find(b"\n", start)
    line = text[text.rfind(b"\n", 0, start) + 1 : end if end >= 0 else len(text)]
    return line.strip() == b"___"
