"""Find MIMIC ids, blanked spans and filled-in prompts in a text without splitting it into words.

The text is normalized before (cards.firewall.normalize). What counts as an id: eight digits that begin with 1
(subject_id), 2 (hadm_id) or 3 (stay_id of the ICU), on their own or behind or before a word (`subject10103827`,
`p10103827`); with leading zeros, with thousands separated (`10,103,827`, in India `1,01,03,827`), with a fraction
(`10103827.0`), as a float (`1.0103827e+07`), over the end of a line of prose; and note ids, `10103827-DS-21`. What does
not count, so that harmless files pass:

  digests, UUIDs     letters on both sides and further digits, ten or more hexadecimal digits with a letter among them,
                     or a UUID
  decimals           0.12345678
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

from cards.firewall.passages import HashSet, find_stretches

SUBJECT = "a number in MIMIC's range of subject_id"
STAY = "a number in MIMIC's range of hadm_id"
ICU = "a number in MIMIC's range of stay_id"
NOTE = "a note id as MIMIC writes them"
IDS = (SUBJECT, STAY, ICU, NOTE)
BLANK = "`___`, MIMIC's mark for removed words"
APART = "an id of the notes in parts"
EMBEDDED = "embedded data, which cannot be read"
PROMPT = "a prompt with an admission note"

_NOTE_ID = re.compile(rb"-[A-Z]{2}-\d{1,4}(?![\w])")
_UUID = re.compile(rb"(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
_HEX = re.compile(rb"(?=[0-9]*[a-fA-F])[0-9a-fA-F]{10,}")
_TOKEN_BEFORE, _TOKEN_AFTER = re.compile(rb"[0-9A-Za-z]*$"), re.compile(rb"[0-9A-Za-z]*")
_FRACTION = re.compile(rb"\.\d+")
_EXPONENT = re.compile(rb"[eE]\+?0*7(?!\d)")
_YEARS = re.compile(rb"(?:19|20)\d\d")
_MEASURED = r"bytes|size|seconds|tokens|words|characters|chars|length|offset|count|rows|examples|steps|nanos|ns|ms|us"
_KEY = re.compile(rf"(?:{_MEASURED})[\"'`]?\s*[:=|]\s*$".encode(), re.IGNORECASE)
_UNIT = re.compile(rf"\s?(?:{_MEASURED}|b|kb|kib)\b".encode(), re.IGNORECASE)
_REFERENCE = re.compile(rb"(?:pmid|pmc|doi|arxiv|isbn|issn)\W*[\w./]*$|10\.\d{4,9}/\S*$", re.IGNORECASE)
_OF_PEOPLE = re.compile(rb"subject|hadm|note|patient|stay|admission|\bids?\b", re.IGNORECASE)
# Our prompts' heading above the note (distill.prompt), not followed by a template's placeholder.
_PROMPT = re.compile(rb"# Admission note(?:[ \t]*+[\n\r\f\v]\s*+|\\n)(?!\{)")

# In SVG, HTML and Markdown; and the pictures of a notebook.
_EMBEDDED = re.compile(
    rb"data:[^,\s\"']{0,100};\s*base64\s*,|\"image/[\w.+-]{1,30}\"\s*:\s*(?:\[\s*)?\"[A-Za-z0-9+/]{16}"
)

_WEAK = frozenset(b"0123456789 \t\f|/-_,;:.'\"[](){}<>*")  # what may stand between the digits of an id
# Digits one by one with the same between them; two parts; or several.
_ONE_BY_ONE = re.compile(rb"\d(\D+)\d(?:\1\d){6}")
_APART = re.compile(rb"\d(\D+)\d(?:\1\d){6}|\d+[^\d.:]+\d+|\d+([/_-])\d+(?:\2\d+)+")
_DATE = re.compile(rb"(?:19|20)\d\d\D+(?:19|20)\d\d|(?:19|20)\d\d\D[01]\d\D[0-3]\d|[0-3]\d\D[0-3]\d\D(?:19|20)\d\d")

_WRAP = re.compile(rb"-?[ \t]*[\n\r\f\v][\s>]*")
_LINE_END = re.compile(rb"[\n\r\f\v]")
_LONGEST_WRAP = 16  # bytes
_BEFORE, _AFTER = 48, 40  # bytes around a number that are considered


def find_patterns(text: bytes, *, markdown: bool = False) -> Iterator[tuple[int, str]]:
    """Yield position and reason of everything that may not leave: numbers, then blanks, then prompts."""
    codes = np.frombuffer(text, np.uint8)
    starts, ends = find_stretches((codes - np.uint8(48)) < 10)
    for start, end in _find_long_numbers(text, codes, starts, ends):
        if reason := _classify_number(text, start, end):
            yield start, reason
    if b"___" in text:
        starts, ends = find_stretches(codes == 95)
        for start in starts[ends - starts == 3].tolist():
            if not (markdown and _is_alone_on_line(text, start)):
                yield start, BLANK
    if b"base64" in text or b'"image/' in text:
        for match in _EMBEDDED.finditer(text):
            yield match.start(), EMBEDDED
    for match in _PROMPT.finditer(text):
        yield match.start(), PROMPT


def _find_long_numbers(
    text: bytes, codes: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> Iterator[tuple[int, int]]:
    """Yield where numbers of eight digits, from 10,000,000 to 39,999,999, begin and end, however they are written."""
    if not len(starts):
        return
    lengths, first = ends - starts, codes[starts]
    is_high = (first >= 49) & (first <= 51)
    plain = np.flatnonzero((lengths == 8) & is_high)
    padded = np.flatnonzero((lengths > 8) & (lengths <= 20) & (first == 48))
    for place in np.concatenate((plain, padded)).tolist():
        number = text[starts[place] : ends[place]].lstrip(b"0")
        if len(number) == 8 and number[:1] in b"123":
            yield int(starts[place]), int(ends[place])
    yield from _find_divided_numbers(text, codes, starts, ends)
    is_near = starts[1:] - ends[:-1] <= _LONGEST_WRAP
    parts = np.flatnonzero(is_high[:-1] & (lengths[:-1] + lengths[1:] == 8) & is_near)
    breaks = np.flatnonzero((codes - np.uint8(10)) < 4) if len(parts) else parts
    is_divided = np.searchsorted(breaks, ends[parts]) < np.searchsorted(breaks, starts[parts + 1])
    for place in parts[is_divided].tolist():
        if _is_wrapped(text, *(int(edge) for edge in (starts[place], ends[place], starts[place + 1], ends[place + 1]))):
            yield int(starts[place]), int(ends[place + 1])


def _find_divided_numbers(
    text: bytes, codes: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> Iterator[tuple[int, int]]:
    """Yield those that are written in groups or as floats."""
    lengths, first = ends - starts, codes[starts]
    is_high = (first >= 49) & (first <= 51)
    gaps = starts[1:] - ends[:-1]
    between = codes[np.minimum(ends, len(codes) - 1)]
    is_next = np.append(gaps == 1, False)
    groups = np.flatnonzero(is_high & (lengths == 2) & is_next)
    for place in groups[groups + 2 < len(starts)].tolist():  # 10,103,827
        if lengths[place + 1] == lengths[place + 2] == 3 and gaps[place + 1] == 1:
            separator = text[ends[place] : ends[place] + 1]
            goes_on = place + 3 < len(starts) and gaps[place + 2] == 1 and between[place + 2] == between[place]
            follows = place > 0 and gaps[place - 1] == 1 and between[place - 1] == between[place]
            if separator in b",. '_\f" and between[place + 1] == between[place] and not goes_on and not follows:
                yield int(starts[place]), int(ends[place + 2])
    crores = np.flatnonzero(is_high & (lengths == 1) & is_next & (between == 44))
    for place in crores[crores + 3 < len(starts)].tolist():  # 1,01,03,827
        is_grouped = (gaps[place + 1 : place + 3] == 1).all() and (between[place + 1 : place + 3] == 44).all()
        if is_grouped and lengths[place + 1 : place + 4].tolist() == [2, 2, 3]:
            yield int(starts[place]), int(ends[place + 3])
    floats = np.flatnonzero(is_high & (lengths == 1) & is_next & (between == 46))
    for place in floats.tolist():  # 1.0103827e+07
        if lengths[place + 1] >= 5 and (match := _EXPONENT.match(text, int(ends[place + 1]))):
            yield int(starts[place]), match.end()


def find_apart(text: bytes, ids: HashSet | None = None) -> Iterator[tuple[int, int]]:
    """Yield where eight digits stand that may be an id in parts, and the number.

    `1, 0, 1, 0, 3, 8, 2, 7`, `| 1010 | 3827 |`, `10/103/827`, and eight digits within a digest. No other digits stand
    beside them, so that no row of a table of counts is one.

    `ids`: those to look for; None for any.

    >>> [number for _, number in find_apart(b"x | 1010 | 3827 | on 2024-02-29, x [2,0,1,0,3,8,2,7] of 1,234 | 5,678")]
    [10103827, 20103827]
    """
    codes = np.frombuffer(text, np.uint8)
    is_digit = (codes - np.uint8(48)) < 10
    starts, ends = find_stretches(is_digit)
    if not len(starts):
        return
    digits, total = codes[is_digit] - np.uint8(48), np.concatenate(([0], np.cumsum(ends - starts)))
    for place, number in _select_ids(np.flatnonzero(ends - starts == 8), digits, total, ids):
        start = int(starts[place])
        if text[max(0, start - 1) : start].isalpha() and text[start + 8 : start + 9].isalpha():
            yield start, number
    found = set()
    for weak, written in ((_WEAK, _APART), (_WEAK | {10, 11, 13}, _ONE_BY_ONE)):
        is_strong = np.ones(256, np.bool_)
        is_strong[list(weak)] = False
        strong = np.cumsum(is_strong.take(codes), dtype=np.int32)
        is_gap = (strong[starts[1:] - 1] == strong[ends[:-1] - 1]) & (starts[1:] - ends[:-1] <= 6)
        turns = np.flatnonzero(~is_gap) + 1
        first, last = np.append(0, turns), np.append(turns, len(starts))
        is_eight = (total[last] - total[first] == 8) & (last - first > 1)
        for place, number in _select_ids(first[is_eight], digits, total, ids):
            start, end = int(starts[place]), int(ends[np.searchsorted(total, total[place] + 8) - 1])
            if written.fullmatch(text, start, end) and not _DATE.fullmatch(text, start, end):
                found.add((start, number))
    yield from sorted(found)


def _select_ids(
    places: npt.NDArray[np.intp], digits: npt.NDArray[np.uint8], total: npt.NDArray[np.intp], ids: HashSet | None
) -> Iterator[tuple[int, int]]:
    """Yield which of these stretches of digits begin an id, and the id; without Python's loop for what is none."""
    numbers = np.zeros(len(places), np.uint64)
    for after in range(8):
        numbers = numbers * np.uint64(10) + digits[total[places] + after]
    chosen = np.arange(len(places)) if ids is None else ids.find(numbers)[0]
    yield from zip(places[chosen].tolist(), numbers[chosen].tolist(), strict=True)


def _is_wrapped(text: bytes, start: int, end: int, resumed: int, stop: int) -> bool:
    """Return whether two stretches of digits are one number in prose that goes over a line's end."""
    parts = (text[start:end], text[resumed:stop])
    is_prose = text[max(0, start - 1) : start] in (b" ", b"") and text[stop : stop + 1] in (b" ", b".", b",", b"", b")")
    if text[end : end + 1] in (b" ", b"\t"):  # padded columns of numbers end so, too
        beside = _LINE_END.split(text[max(0, start - _BEFORE) : start])[-1]
        is_prose &= bool(re.search(rb"[^\W\d]", beside + _LINE_END.split(text[stop : stop + _AFTER])[0]))
    is_alone = _WRAP.fullmatch(text, end, resumed) and not all(_YEARS.fullmatch(part) for part in parts)
    return is_prose and bool(is_alone) and (start > 0 or stop < len(text))


def _classify_number(text: bytes, start: int, end: int) -> str | None:
    """Return why digits count as an id; None where they are something else."""
    written, before, after = text[start:end], text[max(0, start - _BEFORE) : start], text[end : end + _AFTER]
    digits = bytes(code for code in written if 48 <= code <= 57).lstrip(b"0")
    left, right = _TOKEN_BEFORE.search(before), _TOKEN_AFTER.match(after)
    letters = (left[0] if left else b"", right[0] if right else b"")
    is_digest = all(letters) and re.search(rb"[0-9]", letters[0] + letters[1])
    if is_digest or (any(letters) and _HEX.fullmatch(letters[0] + written + letters[1])):
        return None
    if _UUID.match(after) or (before[-1:] == b"." and before[-2:-1].isdigit()):
        return None
    if digits[:1] == b"1" and _NOTE_ID.match(after):
        return NOTE
    fraction = _FRACTION.match(after)
    rest = after[fraction.end() :] if fraction else after
    line = before.rpartition(b"\n")[2]
    if _KEY.search(line) or _UNIT.match(rest) or _REFERENCE.search(line):
        return None
    if len(written) == 8 and _is_date(written) and not _OF_PEOPLE.search(line):
        return None
    return {b"1": SUBJECT, b"2": STAY}.get(digits[:1], ICU)


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
