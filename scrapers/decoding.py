"""Decode a page whose charset may be declared wrongly, and recognize text that was decoded wrongly.

    >>> decode_page("<p>Größe</p>".encode("windows-1252"), "utf-8")  # the header lies, and no <meta> helps
    '<p>Gr��e</p>'
    >>> decode_page('<meta charset="windows-1252"><p>Größe</p>'.encode("windows-1252"), "utf-8")
    '<meta charset="windows-1252"><p>Größe</p>'
    >>> is_garbled("Größe"), is_garbled("GrÃ¶ÃŸe")
    (False, True)

Valid UTF-8 with letters beyond ASCII is UTF-8, whatever a header says: text in another charset hardly ever is.
"""

import codecs
import re
from collections.abc import Iterator

from w3lib.encoding import html_body_declared_encoding, read_bom, resolve_encoding

FEW = 5
"""Bad bytes with which a page still counts as UTF-8: a cut or damaged character, and not another charset."""

_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
# The bytes 80 to BF, which continue a character in UTF-8, as they look in Latin-1 and in windows-1252
_CONTINUATION = "\x80-\xbf" + re.escape(bytes(range(0x80, 0xC0)).decode("cp1252", "ignore"))
_GARBLED = re.compile(
    "\ufffd"
    "|[\x80-\x84\x86-\x9f]"  # control characters: windows-1252 read as Latin-1
    f"|[ÂÃÎÏÐÑ][{_CONTINUATION}]"  # 'Ã¶'; not 'ß“' or 'Ä“', which German has
    f"|â[{_CONTINUATION}]{{2}}"  # 'â€“'
    "|[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]"  # half of a word in Cyrillic
    "|(?<=[A-Za-zäöüß])[÷ˆ˜‰¶§¤¨¸](?=[a-zäöüß])|[\u2500-\u259f]"  # letters of a Macintosh or DOS charset
)


def decode_page(body: bytes, declared: str) -> str:
    """Return a page as text: as UTF-8 if it is valid, as declared, as its `<meta>` says, or as damaged UTF-8.

    Where nothing fits, the bad bytes become U+FFFD, by which `is_garbled` recognizes the text.
    """
    if (bom := read_bom(body))[0]:
        declared = bom[0]
    candidates = list(_decode_strictly(body, declared))
    for text in candidates:
        if not is_garbled(text):
            return text
    as_utf8 = body.decode("utf-8-sig", errors="replace")
    if candidates and as_utf8.count("\ufffd") > FEW:
        return candidates[0]
    return as_utf8


def is_garbled(text: str) -> bool:
    """Return whether a German or English text shows that its bytes were damaged or decoded with another charset."""
    return not text.isascii() and _GARBLED.search(text) is not None


def _decode_strictly(body: bytes, declared: str) -> Iterator[str]:
    """Yield the page in each charset in which all of its bytes are characters, the most trustworthy first."""
    is_wide = b"\0" in body
    if not is_wide:
        try:
            yield body.decode("utf-8-sig")
            return  # even if it is garbled: then it was so before it was encoded
        except UnicodeDecodeError:
            pass
    for name in (declared, html_body_declared_encoding(body[:4096])):
        encoding = resolve_encoding(name) if name else None  # Latin-1 and ASCII mean windows-1252, as in browsers
        if encoding is None or (codecs.lookup(encoding).name in _WIDE) != is_wide:
            continue
        try:
            yield body.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
