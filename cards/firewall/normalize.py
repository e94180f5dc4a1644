"""Bring a text into the form in which it is compared, as a reader would take it.

Word processors, browsers and exports change a note's characters without changing what is read: no-break spaces, curly
quotes, dashes, bullets, soft hyphens, zero-width characters, entities, `%20`, `\\u0041`, a literal `\\n`. All of them
are undone, and so are accents, full-width forms and the digits of other scripts. Line breaks stay where they are, so
that a finding has its line. Text in ASCII without any of these is returned as it is.
"""

import html
import re
import unicodedata

# Each begins with a plain character, which the regex engine finds ten times as fast as a group or a repetition.
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(
    rb"\\\\*(?:u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|[nrtbfv\"'/])"
)
_ENTITY = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]")  # fmt: skip # noqa: E501
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_DASHES = re.compile("[\u2010-\u2015\u2043\u2212\u2e3a\u2e3b]")
_DIGITS = re.compile(r"[^\D0-9]")
_SEPARATORS = re.compile(r"[^\w\x00-\x7f]")
_OTHER_LETTERS = re.compile(r"[^\x00-\x7f]+")
_TAG = re.compile(rb"<[^<>\n]{0,300}>")
_MARK = re.compile(rb"<[^<>\n]{0,300}>|\*")
# From the beginning of a word on and without going back, so that a line of stars costs its length.
_MARKED = re.compile(rb"(?<!\S)[^\s<>*]*+(?:(?:<[^<>\n]{0,300}>|\*)++[^\s<>*]++)++(?:<[^<>\n]{0,300}>|\*)*+")
_DIVIDED = re.compile(rb"[0-9A-Za-z](?:<[^<>\n]{0,300}>|\*)++[0-9A-Za-z]")
_SOFT_BREAK = re.compile(rb"=(\r?\n)([A-Za-z]*)")
_QUOTED = re.compile(rb"=[0-9A-F]{2}")
_WRAP = re.compile(rb"([A-Za-z])-\r?\n([^A-Za-z0-9\n]*)([A-Za-z]+)")


def normalize(block: bytes) -> bytes:
    """Return UTF-8 text as a reader takes it; the number of line breaks does not change.

    >>> normalize("Chest\\u00a0pain \\u2022 10\\u200b103827 &amp; 50%20mg".encode())
    b'Chest pain   10103827 & 50 mg'
    """
    if b"%" in block:
        block = _PERCENT.sub(_decode_percent, block)
        if b"%" in block:  # `%2520`: an address within an address
            block = _PERCENT.sub(_decode_percent, block)
    if b"\\" in block:
        block = _ESCAPE.sub(_decode_escape, block)
    if b"&" in block:
        block = _ENTITY.sub(_decode_entity, block)
    return block if block.isascii() else _normalize_characters(block)


def _normalize_characters(block: bytes) -> bytes:
    text = unicodedata.normalize("NFKD", block.decode(errors="replace"))
    text = _MARKS.sub("", _INVISIBLE.sub("", text))
    text = _DASHES.sub("-", text)
    text = _DIGITS.sub(lambda digit: str(unicodedata.digit(digit[0])), text)
    # ASCII keeps its case, which tells a note id; passages are compared regardless of it
    return _OTHER_LETTERS.sub(lambda letters: letters[0].lower(), _SEPARATORS.sub(" ", text)).encode(errors="replace")


def _decode_percent(match: re.Match[bytes]) -> bytes:
    raw = bytes.fromhex(match[0].replace(b"%", b"").decode())
    return _flatten(raw.decode(errors="replace"))


def _decode_escape(match: re.Match[bytes]) -> bytes:
    code = match[1] or match[2] or match[3] or match[4]
    if not code:
        return b" "
    number = int(code, 16)
    return _flatten(chr(number)) if number < 0xD800 or 0xE000 <= number < 0x110000 else b" "


def _decode_entity(match: re.Match[bytes]) -> bytes:
    return _flatten(html.unescape(match[0].decode()))


def _flatten(text: str) -> bytes:
    """Return the text without line breaks and control characters of its own."""
    return "".join(" " if character < " " else character for character in text).encode(errors="replace")


def blank_tags(block: bytes) -> bytes:
    """Return the text with blanks for tags; offsets do not change."""
    return _TAG.sub(lambda tag: b" " * len(tag[0]), block)


def has_divided(block: bytes) -> bool:
    """Return whether tags or stars stand inside a word."""
    return (b"<" in block or b"*" in block) and _DIVIDED.search(block) is not None


def join_marked(block: bytes) -> bytes:
    """Return the text with words in one piece that tags or stars divide, before them; offsets of lines do not change.

    >>> join_marked(b"<b>chest</b> p<mark>ai</mark>n, 1010**3827**.")
    b'chest        pain,              10103827.    '
    """
    return _MARKED.sub(lambda word: _MARK.sub(b"", word[0]).ljust(len(word[0])), block)


def decode_quoted(block: bytes) -> bytes:
    """Return a text as mail programs quote it (`=20`, `=` at a line's end) with blanks, and words in one piece.

    >>> decode_quoted(b"chest=20pa=\\nin today")
    b'chest   pain\\n today'
    """
    return _QUOTED.sub(b"   ", _SOFT_BREAK.sub(rb"\2\1", block))


def join_wraps(block: bytes) -> bytes:
    """Return the text with words that were hyphenated at a line's end in one piece, before the line break.

    >>> join_wraps(b"a myo-\\n> cardial scar")
    b'a myocardial\\n>  scar'
    """
    return _WRAP.sub(rb"\1\3\n\2", block)


def split_columns(block: bytes) -> list[bytes]:
    """Return for each column of a table the text with blanks for the other columns; offsets do not change.

    A table has a tab, comma, semicolon, bar or blank in most lines, always as many, up to eleven.
    """
    lines = block.split(b"\n")
    for separator in (b"\t", b",", b";", b"|", b" "):
        counts = [line.count(separator) for line in lines if line.strip()]
        usual = max(set(counts), key=counts.count) if counts else 0
        if 1 <= usual <= 11 and len(counts) >= 8 and counts.count(usual) >= 0.8 * len(counts):
            cells = [line.split(separator) for line in lines]
            return [_blank_other_columns(cells, column) for column in range(usual + 1)]
    return []


def _blank_other_columns(cells: list[list[bytes]], column: int) -> bytes:
    return b"\n".join(
        b" ".join(cell if place == column else b" " * len(cell) for place, cell in enumerate(line)) for line in cells
    )
