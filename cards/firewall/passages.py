"""Find passages of the notes in texts that are to leave: eight words in a row, or 32 letters without words.

The texts are small and the notes are many: the runs of eight words of the texts are kept, as 64-bit hashes in a sorted
array, and the notes are read once. Words are letters and digits, regardless of case, so a passage with other line
breaks or punctuation is found as well. Numbers and single letters are passed over, in texts and notes alike: the lines
of a passage may be numbered, its words labelled. Five of the eight words must carry meaning, which the headings of a
discharge note do not: recipes list them in a row. Titles of ICD-10-CM do not count as passages, however often notes
contain them.

Where words are glued together or fall apart into letters, the letters are compared instead, 32 in a row, unless they
lie within one title.

A word's hash is a difference of running sums, so words are never copied.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from cards.firewall.normalize import normalize
from deepicd.icd10cm import CHAPTERS, load_release

LENGTH = 8  # words
MEANINGFUL = 5  # words among them that carry meaning
SURROUNDINGS = 512  # words among which a word is frequent or rare
LETTERS = 32  # in a row, where there are no words
GLUED = 20  # letters from which on a word may be several; lists of illnesses have shorter ones
HEADINGS = """
    admission allergies attending birth brief chief complaint condition course date diagnosis discharge disposition exam
    facility family followup history hospital illness instructions invasive major medical medications of on or past
    pertinent physical present procedure results service sex social surgical unit
"""

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_PIECE = 2**16  # bytes hashed at a time, so that the data stays in the processor's cache
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
_STEP = 0xD1B54A32D192ED03
_FILTER = 2**20
_LOW = np.uint64(_FILTER - 1)


def _powers(base: int) -> Hashes:
    return np.multiply.accumulate(np.full(_PIECE + 1, base, np.uint64)) * np.uint64(pow(base, -1, 2**64))


_UP, _DOWN = _powers(_BASE), _powers(pow(_BASE, -1, 2**64))
_NINE = ord("9")  # the letters follow
_LOWER = bytes(byte if byte >= 128 else ord(chr(byte).lower()) * chr(byte).isalnum() for byte in range(256))
"""Letters and digits in lower case, and 0 for all else; letters outside ASCII consist of bytes from 128 on."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a text that are no numbers: their hashes, and where they begin and end."""

    hashes: Hashes
    starts: Places
    ends: Places


@dataclass
class WordRuns:
    """The runs of eight words of a text that arrives in pieces."""

    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    places: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    numbers: Places = field(default_factory=lambda: np.zeros(0, np.int64))

    def feed(self, text: bytes) -> Iterator[tuple[Hashes, Places]]:
        """Yield hash and position of the runs that end in this text. It must not end inside a word."""
        for words in read_words(text):
            yield self.extend(words.hashes, words.starts)

    def extend(self, hashes: Hashes, places: Places, numbers: Places | None = None) -> tuple[Hashes, Places]:
        """Return hash and position of the runs that end with these words.

        `numbers`: the words' places among all words of the text; runs that pass over none of them are left out.
        """
        self.hashes, self.places = np.concatenate((self.hashes, hashes)), np.concatenate((self.places, places))
        self.numbers = self.numbers if numbers is None else np.concatenate((self.numbers, numbers))
        hashes, places, numbers = self.hashes, self.places, self.numbers
        done = max(0, len(hashes) - LENGTH + 1)
        self.hashes, self.places, self.numbers = hashes[done:], places[done:], numbers[done:]
        if len(numbers) and numbers[-1] - numbers[0] < len(numbers):
            return hashes[:0], places[:0]
        has_meaning = (~_in_headings[hashes & _LOW]).view(np.int8)
        for size in (1, 2, 4):  # a run of eight is two runs of four, and so on
            hashes = hashes[:-size] * np.uint64(pow(_STEP, size, 2**64)) + hashes[size:]
            has_meaning = has_meaning[:-size] + has_meaning[size:]
        is_run = has_meaning >= MEANINGFUL
        if len(numbers):
            is_run &= numbers[LENGTH - 1 :] - numbers[: len(is_run)] >= LENGTH
        return hashes[is_run], places[: len(is_run)][is_run]


def read_words(text: bytes, glued: list[tuple[int, int]] | None = None) -> Iterator[Words]:
    """Yield the words of a text, piece by piece.

    `glued`: receives where stretches begin and end that have to be compared letter by letter.
    """
    at = 0
    for piece in _split_pieces(text):
        low = np.frombuffer(piece.translate(_LOWER), np.uint8)
        inside = np.zeros(len(low) + 2, np.bool_)
        np.not_equal(low, 0, out=inside[1:-1])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[::2], edges[1::2]
        is_word = low[starts] > _NINE
        starts, ends = starts[is_word], ends[is_word]
        if glued is not None:
            glued += [(at + start, at + end) for start, end in _find_glued(piece, low, starts, ends)]
        is_word = ends - starts > 1
        starts, ends = starts[is_word], ends[is_word]
        yield Words(_hash_spans(low, starts, ends), starts + at, ends + at)
        at += len(piece)


def find_words(text: bytes, glued: list[tuple[int, int]] | None = None) -> Words:
    """Return all words of a text; `glued` as above."""
    parts = list(read_words(text, glued))
    hashes, starts, ends = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("hashes", "starts", "ends")
    )
    return Words(hashes, starts, ends)


def _split_pieces(text: bytes) -> Iterator[bytes]:
    """Yield pieces that end between two words, or anywhere in a word that is longer than a piece."""
    start = 0
    while len(text) - start > _PIECE:
        end = max(text.rfind(blank, start, start + _PIECE) for blank in (b" ", b"\n", b"\f"))
        end = end if end > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _hash_spans(low: npt.NDArray[np.uint8], starts: Places, ends: Places) -> Hashes:
    sums = np.zeros(len(low) + 1, np.uint64)
    np.cumsum(np.multiply(low, _UP[: len(low)], dtype=np.uint64), out=sums[1:])
    return _mix_bits((sums[ends] - sums[starts]) * _DOWN[starts])


def _find_glued(piece: bytes, low: npt.NDArray[np.uint8], starts: Places, ends: Places) -> Iterator[tuple[int, int]]:
    """Yield where stretches of single letters and of words in one begin and end. Digests and the like are none."""
    codes, lengths = np.frombuffer(piece, np.uint8), ends - starts
    is_glued = (lengths == 1) | (lengths >= GLUED)
    humps = np.flatnonzero((codes[:-1] >= ord("a")) & (codes[1:] <= ord("Z")) & (codes[1:] >= ord("A")))
    in_word = np.searchsorted(starts, humps, "right") - 1
    is_glued[in_word[in_word >= 0]] = True
    first, last = find_stretches(is_glued)
    total = np.concatenate(([0], np.cumsum(lengths)))
    sizes = total[last] - total[first]
    for place in np.flatnonzero(sizes >= LETTERS).tolist():
        start, end = int(starts[first[place]]), int(ends[last[place] - 1])
        if np.count_nonzero(low[start:end] > _NINE) >= max(LETTERS, 0.9 * sizes[place]):
            yield start, end


def hash_letters(text: bytes) -> Iterator[tuple[Hashes, Places]]:
    """Yield hash and position of the runs of letters in a text, whatever stands between them."""
    low = np.frombuffer(text.translate(_LOWER), np.uint8)
    places = np.flatnonzero(low > _NINE)
    for start in range(0, len(places) - LETTERS + 1, _PIECE - LETTERS + 1):
        part = places[start : start + _PIECE]
        first = np.arange(len(part) - LETTERS + 1)
        yield _hash_spans(low[part], first, first + LETTERS), part[: len(first)]


def find_stretches(mask: npt.NDArray[np.bool_]) -> tuple[Places, Places]:
    """Return where the stretches of True begin and end."""
    framed = np.zeros(len(mask) + 2, np.bool_)
    framed[1:-1] = mask
    edges = np.flatnonzero(framed[1:] != framed[:-1])
    return edges[::2], edges[1::2]


def find_rare(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Return which words make up less than a tenth of the 512 words around them: no tags, keys, labels, file names."""
    is_rare = np.ones(len(hashes), np.bool_)
    # no word is frequent where no last byte of a hash is
    groups = len(hashes) // SURROUNDINGS
    keys = (hashes[: groups * SURROUNDINGS] & np.uint64(255)).astype(np.int64)
    counts = np.bincount(keys + np.arange(groups).repeat(SURROUNDINGS) * 256, minlength=groups * 256).reshape(-1, 256)
    for group in [*np.flatnonzero((counts >= SURROUNDINGS / 10).any(1)).tolist(), groups]:
        part = slice(group * SURROUNDINGS, (group + 1) * SURROUNDINGS)
        order = np.sort(hashes[part])
        numbers = np.searchsorted(order, hashes[part], "right") - np.searchsorted(order, hashes[part])
        is_rare[part] = numbers < max(2, len(order) / 10)
    return is_rare


def _mix_bits(hashes: Hashes) -> Hashes:
    """Spread every bit of a hash over all bits (the final step of splitmix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


class HashSet:
    """A set of hashes, in a sorted array and behind a filter that keeps most of what is asked for away from it."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = np.sort(hashes)  # np.unique and np.isin take a minute for some ten million
        self._low = np.uint64((1 << min(28, max(16, (8 * len(hashes)).bit_length()))) - 1)
        self._is_possible = np.zeros(int(self._low) + 1, np.bool_)
        self._is_possible[self.hashes & self._low] = True

    def find(self, hashes: Hashes) -> tuple[Places, Places]:
        """Return the places of those hashes that are in the set, and their first places in the set."""
        places = np.flatnonzero(self._is_possible[hashes & self._low])
        hashes = hashes[places]
        own = np.searchsorted(self.hashes, hashes)
        is_in = self.hashes[own - (own == len(self.hashes))] == hashes if len(hashes) else own < 0
        return places[is_in], own[is_in]


def find_shared(candidates: Hashes, notes: Iterable[bytes], *, letters: bool = False) -> Hashes:
    """Return those of the runs that also occur in the notes but not in ICD-10-CM's titles, sorted.

    `letters`: whether runs of letters are among them.
    """
    known, runs = HashSet(candidates), WordRuns()
    is_shared = np.zeros(len(candidates), np.bool_)
    for text in map(normalize, notes) if len(candidates) else ():
        for hashes, _ in chain(runs.feed(text), hash_letters(text) if letters else ()):
            is_shared[known.find(hashes)[1]] = True
    shared = known.hashes[is_shared]
    shared = np.delete(shared, hash_titles().find(shared)[0])
    return np.delete(shared, _find_titles(HashSet(shared))) if letters and len(shared) else shared


@cache
def hash_titles() -> HashSet:
    """Return the runs of words in ICD-10-CM's own titles, which cards, notes and traces may all contain."""
    return HashSet(np.concatenate([hashes for hashes, _ in WordRuns().feed(_read_titles())]))


def _find_titles(shared: HashSet) -> Places:
    """Return the first places of those runs of letters that lie within one title."""
    text = _read_titles()
    codes = np.frombuffer(text.translate(_LOWER), np.uint8)
    line = np.cumsum(np.frombuffer(text, np.uint8) == ord("\n"))[codes > _NINE]  # of each letter
    found, at = [np.zeros(0, np.int64)], 0
    for hashes, _ in hash_letters(text):
        is_within = line[at : at + len(hashes)] == line[at + LETTERS - 1 : at + LETTERS - 1 + len(hashes)]
        found.append(shared.find(hashes[is_within])[1])
        at += len(hashes)
    return np.unique(np.concatenate(found))


@cache
def _read_titles() -> bytes:
    tables = load_release()
    titles = [*(chapter.title for chapter in CHAPTERS), *tables.titles.values()]
    terms = [term for of_code in tables.inclusion_terms.values() for term in of_code]
    return normalize("\n".join(titles + terms).encode())


_in_headings = np.zeros(_FILTER, np.bool_)  # by the low bits of a word's hash
_in_headings[find_words(HEADINGS.encode()).hashes & _LOW] = True
