"""A site of 12,000 made-up pages on loopback that answers as badly as the worst of the web, the same way each time.

Of the first answers to an address 2 % are 503, 1 % break off and 0.5 % do not come in time; the second is a whole one.
3 % lead to the page of the category instead. Half of the pages are gzipped; they are encoded in turn as UTF-8, Latin-1,
Windows-1252, UTF-16 and as UTF-8 that the header says is Latin-1.
"""

import gzip
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from deepicd.icd10cm import Code
from scrapers.sample.site import Answer, answer, code_page, is_unknown, text_of
from scrapers.sample.texts import paragraphs
from scrapers.site import MADE_UP, PATHS

CODES = [
    Code(f"{letter}{number:02}{fourth}")
    for letter in "ABCDEFGHIJKL"
    for number in range(100)
    for fourth in ("", *range(9))
]
BUSY, BROKEN, HANGING, MOVED = 20, 10, 5, 30  # of a thousand
ENCODINGS = (  # as encoded, as the header says
    ("utf-8", "utf-8"),
    ("iso-8859-1", "iso-8859-1"),
    ("windows-1252", "windows-1252"),
    ("utf-16", "utf-16"),
    ("utf-8", "iso-8859-1"),
)


@dataclass
class FaultySite:
    """Answers paths, and counts the whole pages it has sent."""

    hang: float
    """Seconds after which an answer that should not come in time does come."""
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str) -> Answer:
        code = _code(path)
        if code is None:
            return answer(path)
        self.asked[path] += 1
        drawn = _drawn(code)
        whole = page(code)
        if self.asked[path] == 1:
            if drawn < BUSY:
                return Answer(503, "busy")
            if drawn < BUSY + BROKEN:
                return Answer(whole.status, whole.body, whole.headers, share=0.6)
            if drawn < BUSY + BROKEN + HANGING:
                return Answer(whole.status, whole.body, whole.headers, wait=self.hang)
        self.sent[path] += 1
        return whole

    @staticmethod
    def hangs(path: str) -> bool:
        code = _code(path)
        return code is not None and 0 <= _drawn(code) - BUSY - BROKEN < HANGING

    def forget(self) -> None:
        self.asked.clear()
        self.sent.clear()


@cache
def page(code: Code) -> Answer:
    """What an address answers when all is well."""
    if is_moved(code):
        return Answer(301, "", {"Location": f"/{PATHS['de']}/{code.category.lower()}"})
    encoding, declared = ENCODINGS[_drawn(code) % len(ENCODINGS)]
    html = code_page(code, "de").replace('<meta charset="utf-8">', "")
    body = html.encode(encoding, errors="xmlcharrefreplace")
    headers = {"Content-Type": f"text/html; charset={declared}", MADE_UP: "yes"}
    if _drawn(code) % 2:
        return Answer(200, gzip.compress(body, mtime=0), headers | {"Content-Encoding": "gzip"})
    return Answer(200, body, headers)


def is_moved(code: Code) -> bool:
    return len(code.value) > 3 and _drawn(code) >= 1000 - MOVED


def text(code: Code) -> str | None:
    """The text that a harvest should have for a code; None where the page it leads to has none of its own."""
    led_to = Code(code.category) if is_moved(code) else code
    if is_unknown(led_to) or text_of(led_to) != code:
        return None
    return "\n\n".join(paragraphs(code, "de"))


def _code(path: str) -> Code | None:
    return Code.find(path.removeprefix(f"/{PATHS['de']}/").replace("-", ".", 1))


def _drawn(code: Code) -> int:
    """0 to 999, always the same for a code."""
    return int.from_bytes(sha256(code.value.encode()).digest()[4:8]) % 1000
