"""Serve 12,000 made-up pages on loopback with the faults of the web, the same ones each time.

Of the first answers to an address, 2 % are 503, 1 % break off and 0.5 % come too late; the second answer is complete.
3 % redirect to the page of the category. Half of the pages are gzipped. Encodings alternate between UTF-8, Latin-1,
Windows-1252, UTF-16, and UTF-8 that the header declares as Latin-1.
"""

import gzip
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from deepicd.icd10cm import Code
from scrapers.sample.site import Answer, answer_path, compose_text, find_text_owner, is_unknown, render_page
from scrapers.site import MADE_UP_HEADER, PATHS

CODES = [
    Code(f"{letter}{number:02}{fourth}")
    for letter in "ABCDEFGHIJKL"
    for number in range(100)
    for fourth in ("", *range(9))
]
BUSY, BROKEN, HANGING, MOVED = 20, 10, 5, 30  # per thousand
ENCODINGS = (  # actual, declared by the header
    ("utf-8", "utf-8"),
    ("iso-8859-1", "iso-8859-1"),
    ("windows-1252", "windows-1252"),
    ("utf-16", "utf-16"),
    ("utf-8", "iso-8859-1"),
)


@dataclass
class FaultySite:
    """Answers paths and counts the complete pages that it has sent."""

    hang: float
    """Seconds before a late answer comes."""
    requests: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str) -> Answer:
        """Answer a path, with its fault the first time."""
        code = _parse_path(path)
        if code is None:
            return answer_path(path)
        self.requests[path] += 1
        number = _hash_permille(code)
        whole = build_page(code)
        if self.requests[path] == 1:
            if number < BUSY:
                return Answer(503, "busy")
            if number < BUSY + BROKEN:
                return Answer(whole.status, whole.body, whole.headers, share=0.6)
            if number < BUSY + BROKEN + HANGING:
                return Answer(whole.status, whole.body, whole.headers, wait=self.hang)
        self.sent[path] += 1
        return whole

    @staticmethod
    def hangs(path: str) -> bool:
        """Return whether the first answer to a path comes too late."""
        code = _parse_path(path)
        return code is not None and 0 <= _hash_permille(code) - BUSY - BROKEN < HANGING

    def reset(self) -> None:
        """Forget all requests."""
        self.requests.clear()
        self.sent.clear()


@cache
def build_page(code: Code) -> Answer:
    """Return the faultless answer."""
    if is_moved(code):
        return Answer(301, "", {"Location": f"/{PATHS['de']}/{code.category.lower()}"})
    encoding, declared = ENCODINGS[_hash_permille(code) % len(ENCODINGS)]
    html = render_page(code, "de").replace('<meta charset="utf-8">', "")
    body = html.encode(encoding, errors="xmlcharrefreplace")
    headers = {"Content-Type": f"text/html; charset={declared}", MADE_UP_HEADER: "yes"}
    if _hash_permille(code) % 2:
        return Answer(200, gzip.compress(body, mtime=0), headers | {"Content-Encoding": "gzip"})
    return Answer(200, body, headers)


def is_moved(code: Code) -> bool:
    """Return whether the page redirects to that of the category."""
    return len(code.value) > 3 and _hash_permille(code) >= 1000 - MOVED


def find_expected_text(code: Code) -> str | None:
    """Return the text that a crawl must find for a code; None if its page has no text of its own."""
    target = Code(code.category) if is_moved(code) else code
    if is_unknown(target) or find_text_owner(target) != code:
        return None
    return "\n\n".join(compose_text(code, "de"))


def _parse_path(path: str) -> Code | None:
    return Code.find(path.removeprefix(f"/{PATHS['de']}/").replace("-", ".", 1))


def _hash_permille(code: Code) -> int:
    """Return a number from 0 to 999 that is always the same for a code."""
    return int.from_bytes(sha256(code.value.encode()).digest()[4:8]) % 1000
