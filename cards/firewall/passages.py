"""Words of the notes in a text that is to leave: eight in a row are a passage.

The texts are small and the notes are many, so it is the texts whose runs of eight words are kept, as 64-bit hashes in
a sorted array, and the notes that pass by, once. Words are letters and digits, case ignored: a passage that was wrapped
or punctuated anew is found. Five of the eight must be words that say something: no numbers, since `1 2 3 4 5 6 7 8`
stands anywhere, and none of the headings of a discharge note, which recipes name in a row. Titles of ICD-10-CM are
nobody's words, however often notes have them.

A word's hash is a difference of running sums, so that no word is ever cut out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from deepicd.icd10cm import CHAPTERS, load_release

LENGTH = 8  # words
WORDY = 5  # of them that say something
HEADINGS = """
    admission allergies attending birth brief chief complaint condition course date diagnosis discharge disposition exam
    facility family followup history hospital illness instructions invasive major medical medications of on or past
    pertinent physical present procedure results service sex social surgical unit
"""

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_PIECE = 2**16  # bytes hashed at a time: what is worked on stays in the processor's cache
_BASE = 0x9E3779B97F4A7C15  # odd, hence with an inverse modulo 2^64
_STEP = 0xD1B54A32D192ED03
_FILTER = 2**20
_LOW = np.uint64(_FILTER - 1)  # bits of a hash that are looked up before it is searched for


def _powers(base: int) -> Hashes:
    return np.multiply.accumulate(np.full(_PIECE + 1, base, np.uint64)) * np.uint64(pow(base, -1, 2**64))


_UP, _DOWN = _powers(_BASE), _powers(pow(_BASE, -1, 2**64))
_VALUE = np.zeros(256, np.uint64)
for _byte in range(256):
    if _byte >= 128 or chr(_byte).isalnum():  # a letter outside ASCII is bytes of 128 and more
        _VALUE[_byte] = (ord(chr(_byte).lower()) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
_IS_WORD = _VALUE != 0


_in_headings = np.zeros(_FILTER, np.bool_)  # by the low bits of a word's hash


@dataclass
class WordRuns:
    """The runs of eight words of a text that comes in pieces."""

    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    wordy: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    places: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    at: int = 0

    def feed(self, text: bytes) -> Iterator[tuple[Hashes, Places]]:
        """Hash and position of each run that ends in this piece; a word is whole where a piece ends."""
        for piece in _split_pieces(text):
            hashes, wordy, places = _hash_words(piece)
            self.hashes = np.concatenate((self.hashes, hashes))
            self.wordy = np.concatenate((self.wordy, wordy))
            self.places = np.concatenate((self.places, places + self.at))
            self.at += len(piece)
            number = len(self.hashes) - LENGTH + 1
            if number > 0:
                total, words = self.hashes, self.wordy.astype(np.int8)
                for n in (1, 2, 4):  # a run of eight is two of four, and so on
                    total = total[:-n] * np.uint64(pow(_STEP, n, 2**64)) + total[n:]
                    words = words[:-n] + words[n:]
                of_words = words >= WORDY
                yield total[of_words], self.places[:number][of_words]
                self.hashes, self.wordy = self.hashes[number:], self.wordy[number:]
                self.places = self.places[number:]


def _split_pieces(text: bytes) -> Iterator[bytes]:
    """Pieces that end between two words, or, of a word longer than a piece, anywhere."""
    start = 0
    while len(text) - start > _PIECE:
        end = max(text.rfind(b" ", start, start + _PIECE), text.rfind(b"\n", start, start + _PIECE))
        end = end if end > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _hash_words(text: bytes) -> tuple[Hashes, npt.NDArray[np.bool_], Places]:
    """Of each word: its hash, whether it is more than a number or a letter, and where it begins."""
    codes = np.frombuffer(text, np.uint8)
    inside = np.zeros(len(codes) + 2, np.bool_)
    inside[1:-1] = _IS_WORD.take(codes)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(_VALUE.take(codes) * _UP[: len(codes)], out=sums[1:])
    hashes = _mix_bits((sums[ends] - sums[starts]) * _DOWN[starts])
    first = codes[starts]
    wordy = ((first < 48) | (first > 57)) & (ends - starts > 1)
    wordy &= ~_in_headings[hashes & _LOW]
    return hashes, wordy, starts.astype(np.int64)


def _mix_bits(hashes: Hashes) -> Hashes:
    """Every bit of a hash spread over all of them (the end of splitmix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def find_shared(wanted: Hashes, notes: Iterable[bytes]) -> Hashes:
    """Those hashes of runs of words that the notes have as well, sorted."""
    wanted = np.unique(wanted)
    if not len(wanted):
        return wanted
    maybe = np.zeros(_FILTER, np.bool_)
    maybe[wanted & _LOW] = True
    seen = np.zeros(len(wanted), np.bool_)
    runs = WordRuns()
    for text in notes:
        for hashes, _ in runs.feed(text):
            hashes = hashes[maybe[hashes & _LOW]]
            place = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
            seen[place[wanted[place] == hashes]] = True
    found: Hashes = wanted[seen]
    return found


@cache
def hash_titles() -> Hashes:
    """Runs of words of ICD-10-CM's own titles, which cards, notes and traces may all have."""
    tables = load_release()
    named = [*(chapter.title for chapter in CHAPTERS), *tables.titles.values()]
    terms = [term for of_code in tables.inclusion_terms.values() for term in of_code]
    runs = WordRuns()
    return np.unique(np.concatenate([hashes for hashes, _ in runs.feed("\n".join(named + terms).encode())]))


_in_headings[_hash_words(HEADINGS.encode())[0] & _LOW] = True
