"""Words, numbers and marks of a text with their places. Linear in the text; nothing is looked up further than a line.

>>> [token for token in split_tokens("BP 95/60, L-sided pains (I21.4).").words]
['bp', '95/60', ',', 'l', 'sided', 'pain', '(', 'i21.4', ')', '.']
"""

import re
from dataclasses import dataclass
from functools import lru_cache

BREAK = "\n"
"""The word of a token that ends a line or paragraph of its own; a line wrapped mid-sentence has none."""

SENTENCE_ENDS = frozenset((".", ";", "?", "!", BREAK))
_AROUND = 8  # words on each side that tell what a number or a side is about
_PLAIN = frozenset(
    "a an and are as at be been before by day do every for from had has have he her his hour if in into is it its last"
    " left me month more most my no of old on only or over patient past right she since so some than that the their"
    " them then there they this to up us was we week were when which who with year ago about after also".split()
)

_TOKEN = re.compile(
    r"(?P<code>(?<![^\W_])[A-Z]\d[\dA-Z](?:\.[\dA-Z]{1,4})?(?![^\W_]))"  # I21.4
    r"|(?P<number>[0-9]+(?:[.,:/][0-9]+)*)"
    r"|(?P<word>[^\W\d_][^\W_]*)"
    r"|(?P<break>\n(?=[ \t]{0,8}(?:\n|[-#•*]|\d{1,2}[.)][ \t]|[A-Z])))"
    r"|(?P<mark>[^\w\s])",
)


@dataclass(frozen=True, slots=True)
class Tokens:
    text: str
    starts: list[int]
    ends: list[int]
    words: list[str]
    """In lower case, without a plural s."""


def split_tokens(text: str) -> Tokens:
    """Return the tokens of a text. A hyphen behind a letter is none: 'non-tender' is two words, '60-70' has one."""
    starts: list[int] = []
    ends: list[int] = []
    words: list[str] = []
    last_letter = -1
    for match in _TOKEN.finditer(text):
        sort, start, end = match.lastgroup, match.start(), match.end()
        word = match[0]
        if sort == "word":
            last_letter = end
            word = normalize_word(word)
        elif sort == "mark":
            if word in "-‐‑–" and start == last_letter and text[end : end + 1].isalnum():
                continue
        elif sort == "code":
            word = word.lower()
        starts.append(start)
        ends.append(end)
        words.append(word)
    return Tokens(text, starts, ends, words)


@lru_cache(maxsize=65_536)
def normalize_word(word: str) -> str:
    """Return a word in lower case and without a plural s; words in -ss, -us and -is have none.

    >>> normalize_word("Fevers"), normalize_word("illness"), normalize_word("thrombus"), normalize_word("diagnosis")
    ('fever', 'illness', 'thrombus', 'diagnosis')
    """
    lower = word.lower()
    if len(lower) > 3 and lower[-1] == "s" and lower[-2] not in "sui":
        return lower[:-1]
    return lower


def read_context(tokens: Tokens, first: int, last: int) -> set[str]:
    """Return the words around some tokens that tell what they are about, up to the ends of the sentence."""
    words = tokens.words
    around: set[str] = set()
    for places in (range(last, min(last + _AROUND, len(words))), range(first - 1, max(first - 1 - _AROUND, -1), -1)):
        for place in places:
            word = words[place]
            if word in SENTENCE_ENDS:
                break
            if len(word) > 1 and word.isalpha() and word not in _PLAIN:
                around.add(word)
    return around
