"""Read a text as each reader may take it, and collect its runs of words.

Words are hashed once. Most readings select some of them: without tags, without labels, without what recurs, one column
of a table, the values of one key. Only runs that pass over a word are new in these. Where words themselves are divided,
by tags, hyphens or a mail program, the text is hashed again with the words in one piece.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cards.firewall.normalize import decode_quoted, join_marked, join_wraps
from cards.firewall.passages import (
    LENGTH,
    Hashes,
    Places,
    WordRuns,
    Words,
    find_rare,
    find_stretches,
    find_words,
    hash_letters,
)

LONGEST_TAG = 302  # bytes
MOST_COLUMNS = 12
FEWEST_LINES = 8  # of a table

Mask = npt.NDArray[np.bool_]

_IS_ALNUM = np.array([chr(byte).isalnum() and byte < 128 for byte in range(256)])
_BREAK = ord("\n")
_SEPARATORS = b"\t,;| "
_QUOTED = re.compile(rb"=[0-9A-F]{2}=[0-9A-F]{2}=[0-9A-F]{2}")
_DELIMITS = np.zeros(256, np.bool_)
_DELIMITS[list(b":=,;{}[]()<>|&?\t\n")] = True


class Block:
    """Whole lines of a normalized text, and what several readings ask of them."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.codes = np.frombuffer(text, np.uint8)
        self.breaks = np.flatnonzero(self.codes == _BREAK)
        self.is_tag = _find_tags(self.codes) if b"<" in text else None
        self.unmarked = join_marked(text) if self._has_divided() else None
        """The text with words in one piece that tags or stars divide, if there are any."""

    def _has_divided(self) -> bool:
        if self.is_tag is None and b"*" not in self.text:
            return False
        is_mark = self.codes == ord("*")
        first, last = find_stretches(is_mark if self.is_tag is None else is_mark | self.is_tag)
        inside = (first > 0) & (last < len(self.codes))
        return bool((_IS_ALNUM[self.codes[first[inside] - 1]] & _IS_ALNUM[self.codes[last[inside]]]).any())


@dataclass(frozen=True, slots=True)
class Reading:
    """Runs of a text, or of a part of it."""

    hashes: Hashes
    places: Places
    text: bytes
    """What the places are offsets in."""
    is_letters: bool = False


@dataclass
class Reader:
    """Reads a text that arrives in blocks of whole lines."""

    runs: defaultdict[object, WordRuns] = field(default_factory=lambda: defaultdict(WordRuns))
    at: int = 0
    number: int = 0
    """Words before the block."""

    def read(self, block: Block) -> Iterator[Reading]:
        """Yield the runs of a block; those that began in the block before have a place of 0."""
        glued: list[tuple[int, int]] = []
        words = find_words(block.text, glued)
        yield self._extend("plain", block.text, words)
        for start, end in glued:
            for hashes, places in hash_letters(block.text[start:end]):
                yield Reading(hashes, places + start, block.text, is_letters=True)
        for name, is_read in _select(block, words):
            yield self._extend(name, block.text, words, np.flatnonzero(is_read))
        for name, text in _rewrite(block):
            yield self._extend(name, text, find_words(text))
        self.at += len(block.text)
        self.number += len(words.hashes)

    def _extend(self, name: object, text: bytes, words: Words, chosen: Places | None = None) -> Reading:
        if chosen is None:
            hashes, places = self.runs[name].extend(words.hashes, words.starts + self.at)
        else:
            starts = words.starts[chosen] + self.at
            hashes, places = self.runs[name].extend(words.hashes[chosen], starts, chosen + self.number)
        return Reading(hashes, np.maximum(places - self.at, 0), text)


def _select(block: Block, words: Words) -> Iterator[tuple[object, Mask]]:
    """Yield which words each reading has."""
    yield "rare", find_rare(words.hashes)
    if block.is_tag is not None:
        is_text = ~block.is_tag[words.starts]
        yield "untagged", is_text
        is_rare = is_text.copy()
        is_rare[is_text] = find_rare(words.hashes[is_text])
        yield "untagged rare", is_rare
    if b":" in block.text or b"=" in block.text:
        yield from _select_values(block.codes, words)
    yield from _select_columns(block, words.starts)


def _select_values(codes: npt.NDArray[np.uint8], words: Words) -> Iterator[tuple[object, Mask]]:
    """Yield which words are no labels, `label: value` or `label = value`, and which are the values of each label."""
    hashes = words.hashes
    delimiters = np.flatnonzero(_DELIMITS.take(codes))
    following = np.append(codes[delimiters], 0)[np.searchsorted(delimiters, words.ends)]
    is_label = (following == ord(":")) | (following == ord("="))
    if not is_label.any():
        return
    yield "values", ~is_label
    labels, counts = np.unique_counts(hashes[is_label])
    label_of = np.maximum.accumulate(np.where(is_label, np.arange(len(hashes)), -1))
    for place in np.argsort(-counts, kind="stable")[:MOST_COLUMNS].tolist():
        if counts[place] >= LENGTH:
            yield ("value", labels[place]), ~is_label & (label_of >= 0) & (hashes[label_of] == labels[place])


def _select_columns(block: Block, starts: Places) -> Iterator[tuple[object, Mask]]:
    """Yield which words stand in each column of a table.

    A table has a tab, comma, semicolon, bar or blank in most lines, always as many, up to eleven.
    """
    codes, breaks = block.codes, block.breaks
    is_filled = np.diff(breaks, prepend=-1, append=len(codes)) > 2
    if np.count_nonzero(is_filled) < FEWEST_LINES:
        return
    for separator in _SEPARATORS:
        if separator not in block.text:
            continue
        before = np.cumsum(codes == separator, dtype=np.int32)
        numbers = np.diff(before[breaks], prepend=0, append=before[-1:])
        usual = int(np.bincount(np.minimum(numbers[is_filled], MOST_COLUMNS)).argmax())
        if 1 <= usual < MOST_COLUMNS and np.mean(numbers[is_filled] == usual) >= 0.8:
            line = np.cumsum(codes == _BREAK, dtype=np.int32)[starts]
            columns = before[starts] - np.append(0, before[breaks])[line]
            yield from ((("column", column), columns == column) for column in range(usual + 1))
            return


def _find_tags(codes: npt.NDArray[np.uint8]) -> Mask | None:
    """Return which bytes belong to tags; None without tags."""
    edges = np.flatnonzero((codes == ord("<")) | (codes == ord(">")) | (codes == _BREAK))
    kinds = codes[edges]
    is_tag = (kinds[:-1] == ord("<")) & (kinds[1:] == ord(">")) & (edges[1:] - edges[:-1] < LONGEST_TAG)
    if not is_tag.any():
        return None
    depth = np.zeros(len(codes) + 1, np.int8)
    depth[edges[:-1][is_tag]] += 1
    depth[edges[1:][is_tag] + 1] -= 1
    return np.cumsum(depth[:-1], dtype=np.int8).view(np.bool_)


def _rewrite(block: Block) -> Iterator[tuple[str, bytes]]:
    """Yield the text with divided words in one piece; it has as many lines."""
    text = block.text
    if block.unmarked is not None:
        yield "unmarked", block.unmarked
    if b"=" in text and (b"=20" in text or b"=\n" in text or b"=\r\n" in text or _QUOTED.search(text)):
        yield "unquoted", decode_quoted(text)
    joined = join_wraps(text)
    if joined != text:
        yield "joined", joined
