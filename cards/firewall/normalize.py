"""Bring a text into the form in which it is compared, as a reader would take it.

Word processors, browsers and exports change a note's characters without changing what is read: no-break spaces, curly
quotes, dashes, bullets, soft hyphens, zero-width characters, entities, `%20`, `\\u0041`, `\\101`, a literal `\\n`. All
of them are undone, and so are accents, full-width forms, the digits of other scripts and letters of other scripts that
look like a to z. Line breaks stay where they are, so that a finding has its line; the breaks of other systems and those
that are written out become form feeds. Text in ASCII without any of these is returned as it is. Where a text may be
read in two ways, the second reading is a function of its own.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np

# Each begins with a plain character, which the regex engine finds ten times as fast as a group or a repetition. A run
# of backslashes is read once, from its beginning.
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
_BYTES = re.compile(rb"\\(?<!\\\\)\\*+%b(?:\\\\*%b)*" % ((rb"(?:x[0-9A-Fa-f]{2}|[0-3][0-7]{2}(?![0-9]))",) * 2))
_ESCAPE = re.compile(rb"\\(?<!\\\\)\\*+(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|U[0-9A-Fa-f]{8}|[nrtbfv\"'/])")
_ENTITY = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_FREQUENT = (
    (b"&nbsp;", b" "),
    (b"&#160;", b" "),
    (b"&quot;", b'"'),
    (b"&#39;", b"'"),
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
)
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]")  # fmt: skip # noqa: E501
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_DASHES = re.compile("[\u2010-\u2015\u2043\u2212\u2e3a\u2e3b]")
_ALIKE = (
    "AАΑꓮᎪ BВΒꓐᏴ CСϹꓚᏟ DꓓᎠ EЕΕꓰᎬ FꓝϜ GԌꓖᏀ HНΗꓧᎻ IІΙꓲӀ JЈꓙᎫ KКΚꓗᏦ LꓡᏞ MМΜꓟᎷ NΝꓠ OОΟꓳՕ PРΡꓑᏢ QԚ RꓣᎡ SЅꓢᏚՏ TТΤꓔᎢ UꓴՍ VѴꓦᏙ"
    " WԜꓪᎳ XХΧꓫ YУΥҮꓬ ZΖꓜᏃ aаαɑᴀ bвƅʙ cсϲᴄ dԁᴅ eеєεᴇ fꜰ gɡɢց hһнհʜ iіιıɩɪӏ jјȷϳᴊ kкκᴋ lʟ mмᴍ nпηոɴ oоοօσᴏ pрρᴘ qԛզ rгʀ"
    " sѕꜱ tтτᴛ uυսᴜ vνѵᴠ wԝωѡᴡ xхχ yуүγʏ zᴢ oø dđ lł hħ tŧ OØ DĐ LŁ HĦ TŦ"
)  # fmt: skip
_LOOKALIKES = {ord(letter): part[0] for part in _ALIKE.split() for letter in part[1:]}
"""Letters that look like A to z and do not decompose to them: Cyrillic, Greek, Lisu, Cherokee, Armenian, Latin."""
_LOOKALIKES |= {first + place: chr(65 + place) for first in (0x1F150, 0x1F170, 0x1F1E6) for place in range(26)}
_SLICE = 2**18  # characters normalized at a time
_UNKNOWN, _DELETED, _LONGER = 0x110000, 0x110001, 0x110002
_read_as = np.full(0x110000, _UNKNOWN, np.uint32)  # what each character is read as, filled when it first occurs
_read_as[:128] = np.arange(128)
_longer: dict[int, str] = {}  # what is read as several characters
_TAG = rb"<[^<>\n]{0,300}>"
_MARK = re.compile(_TAG + rb"|\*")
# From the beginning of a word on and without going back, so that a line of stars costs its length.
_MARKED = re.compile(rb"(?<!\S)[^\s<>*]*+(?:(?:%b|\*)++[^\s<>*]++)++(?:%b|\*)*+" % (_TAG, _TAG))
_SOFT_BREAK = re.compile(rb"=(\r?\n)([A-Za-z]*)")
_QUOTED = re.compile(rb"=[0-9A-F]{2}(?:=[0-9A-F]{2})*")
_WRAP = re.compile(rb"-(?<=[A-Za-z]-)([ \t]*+[\n\r\f\v][^A-Za-z0-9]*+)([A-Za-z]+)")


def normalize(block: bytes, errors: str = "replace") -> bytes:
    """Return UTF-8 text as a reader takes it; the number of line breaks does not change.

    `errors`: "strict" to raise UnicodeDecodeError for what is not UTF-8.

    >>> normalize("Chest\\u00a0pain \\u2022 10\\u200b103827 &amp; 50%20mg \\\\160o".encode())
    b'Chest pain   10103827 & 50 mg po'
    """
    if b"%" in block:
        block = _substitute(_PERCENT, _decode_percent, block)
        if b"%" in block:  # `%2520`: an address within an address
            block = _substitute(_PERCENT, _decode_percent, block)
    if b"\\" in block:
        block = _substitute(_ESCAPE, _decode_escape, _substitute(_BYTES, _decode_bytes, block))
    if b"&" in block:
        for written, read in _FREQUENT:
            block = block.replace(written, read)
        block = _substitute(_ENTITY, _decode_entity, block)
    if block.isascii():
        return block
    text = block.decode(errors=errors)
    return b"".join(_read_characters(text[start : start + _SLICE]) for start in range(0, len(text), _SLICE))


def _read_characters(text: str) -> bytes:
    """Return each character as it is read, in UTF-8; none depends on its neighbours."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    read = _read_as.take(codes)
    if read.max(initial=0) >= _UNKNOWN and (read == _UNKNOWN).any():
        for code in np.unique(codes[read == _UNKNOWN]).tolist():
            _longer[code] = fold(chr(code))
            _read_as[code] = ord(_longer[code]) if len(_longer[code]) == 1 else _LONGER if _longer[code] else _DELETED
        read = _read_as.take(codes)
    if (highest := read.max(initial=0)) >= _UNKNOWN:
        if highest == _LONGER:
            return _read_characters(text.translate({code: _longer[code] for code in np.unique(codes[read == _LONGER])}))
        read = read[read != _DELETED]
    if not len(read) or read.max() < 128:
        return read.astype(np.uint8).tobytes()
    return read.tobytes().decode("utf-32-le").encode()


def fold(character: str) -> str:
    """Return what a character is read as. ASCII keeps its case, which tells a note id; passages do not depend on it.

    >>> [fold(character) for character in ("\\u0430", "\\ufb01", "\\u0665", "\\u2014", "\\u00e9", "\\u200b", "\\u2022")]
    ['a', 'fi', '5', '-', 'e', '', ' ']
    """
    text = _MARKS.sub("", _INVISIBLE.sub("", _DASHES.sub("-", unicodedata.normalize("NFKD", character))))
    text = text.translate(_LOOKALIKES)
    return "".join(part if part < "\x80" else _fold_part(part) for part in text)


def _fold_part(character: str) -> str:
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    if character.isalnum():
        return character.casefold().translate(_LOOKALIKES)
    return "\f" if character in "\x85\u2028\u2029" else " "


@lru_cache(2**12)
def _decode_percent(written: bytes) -> bytes:
    return _flatten(bytes.fromhex(written.replace(b"%", b"").decode()).decode(errors="replace"))


@lru_cache(2**12)
def _decode_bytes(written: bytes) -> bytes:
    raw = bytes(int(code[1:], 16) if code[:1] == b"x" else int(code, 8) for code in written.split(b"\\") if code)
    try:
        return _flatten(raw.decode())
    except UnicodeDecodeError:
        return _flatten(raw.decode("latin-1"))


@lru_cache(2**12)
def _decode_escape(written: bytes) -> bytes:
    code = written.lstrip(b"\\")[1:].strip(b"{}")
    number = int(code, 16) if code else ord("\n" if written[-1:] in b"nr" else " ")
    return _flatten(chr(number)) if number < 0xD800 or 0xE000 <= number < 0x110000 else b" "


@lru_cache(2**12)
def _decode_entity(written: bytes) -> bytes:
    return _flatten(html.unescape(written.decode()))


def _substitute(pattern: re.Pattern[bytes], decode: Callable[[bytes], bytes], block: bytes) -> bytes:
    return pattern.sub(lambda match: decode(match[0]), block)


def _flatten(text: str) -> bytes:
    """Return the text without lines and control characters of its own; its line breaks become form feeds."""
    text = "".join(character if character >= " " else "\f" if character in "\n\r" else " " for character in text)
    return text.encode(errors="replace")


def join_marked(block: bytes) -> bytes:
    """Return the text with words in one piece that tags or stars divide, before them; offsets of lines do not change.

    >>> join_marked(b"<b>chest</b> p<mark>ai</mark>n, 1010**3827**.")
    b'chest        pain,              10103827.    '
    """
    return _MARKED.sub(lambda word: _MARK.sub(b"", word[0]).ljust(len(word[0])), block)


def decode_quoted(block: bytes) -> bytes:
    r"""Return a text as mail programs quote it (`=20`, `=E9`, `=` at a line's end) as it was, words before line breaks.

    >>> decode_quoted(b"chest=20pa=\nin t=6Fday")
    b'chest pain\n today'
    """
    return _substitute(_QUOTED, _decode_quoted, _SOFT_BREAK.sub(rb"\2\1", block))


@lru_cache(2**12)
def _decode_quoted(written: bytes) -> bytes:
    return normalize(_decode_percent(written.replace(b"=", b"%")))


def join_wraps(block: bytes) -> bytes:
    r"""Return the text with words that were hyphenated at a line's end in one piece, before the line break.

    >>> join_wraps(b"a myo-\n> cardial scar")
    b'a myocardial\n>  scar'
    """
    return _WRAP.sub(rb"\2\1", block)
