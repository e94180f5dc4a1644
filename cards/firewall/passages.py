"""Find passages of the notes in texts that are to leave: eight words in a row.

The texts are small and the notes are many: the runs of eight words of the texts are kept, as 64-bit hashes in a sorted
array, and the notes are read once. Words are letters and digits, regardless of case, so a passage with other line
breaks or punctuation is found as well. Numbers and single letters are passed over, in texts and notes alike: the lines
of a passage may be numbered, its words labelled. Five of the eight words must carry meaning, which the headings of a
discharge note do not: recipes list them in a row. Titles of ICD-10-CM do not count as passages, however often notes
contain them.

A word's hash is a difference of running sums, so words are never copied.

The notes come from a cohort or a dataset folder (then with the traces), from a parquet file with a column of texts, or
from a copy of MIMIC-IV-Note or its discharge.csv.gz.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cards.firewall.normalize import normalize
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, load_release

LENGTH = 8  # words
MEANINGFUL = 5  # words among them that carry meaning
SURROUNDINGS = 512  # words among which a word is frequent or rare
HEADINGS = """
    admission allergies attending birth brief chief complaint condition course date diagnosis discharge disposition exam
    facility family followup history hospital illness instructions invasive major medical medications of on or past
    pertinent physical present procedure results service sex social surgical unit
"""

COLUMNS = ("admission_note", "text", "trace", "completion")
NESTED = {"extra_info": "extra_info.note"}  # config `grpo`: every row of the cohort
_ROWS = 512  # read at a time

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_PIECE = 2**16  # bytes hashed at a time, so that the data stays in the processor's cache
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
_STEP = 0xD1B54A32D192ED03
_FILTER = 2**20
_LOW = np.uint64(_FILTER - 1)  # bits of a hash that are looked up before the search


def _powers(base: int) -> Hashes:
    return np.multiply.accumulate(np.full(_PIECE + 1, base, np.uint64)) * np.uint64(pow(base, -1, 2**64))


_UP, _DOWN = _powers(_BASE), _powers(pow(_BASE, -1, 2**64))
_VALUE = np.zeros(256, np.uint64)
for _byte in range(256):
    if _byte >= 128 or chr(_byte).isalnum():  # letters outside ASCII consist of bytes from 128 on
        _VALUE[_byte] = (ord(chr(_byte).lower()) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
_IS_WORD = _VALUE != 0


_in_headings = np.zeros(_FILTER, np.bool_)  # by the low bits of a word's hash


@dataclass
class WordRuns:
    """The runs of eight words of a text that arrives in pieces."""

    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    is_meaningful: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    places: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    at: int = 0
    has_gaps: bool = False
    """Whether words of the last piece were passed over."""
    omit_frequent: bool = False
    """Whether to pass over words that make up a tenth of their surroundings: tags, keys, labels, names of files."""

    def feed(self, text: bytes) -> Iterator[tuple[Hashes, Places]]:
        """Yield hash and position of the runs that end in this piece. A piece must not end inside a word."""
        for piece in _split_pieces(text):
            had_gaps = self.has_gaps
            hashes, is_meaningful, places = _hash_words(piece)
            if self.omit_frequent:
                is_rare = _find_rare(hashes)
                hashes, is_meaningful, places = hashes[is_rare], is_meaningful[is_rare], places[is_rare]
                self.has_gaps = not is_rare.all() or (had_gaps and len(hashes) < LENGTH)
            self.hashes = np.concatenate((self.hashes, hashes))
            self.is_meaningful = np.concatenate((self.is_meaningful, is_meaningful))
            self.places = np.concatenate((self.places, places + self.at))
            self.at += len(piece)
            number = len(self.hashes) - LENGTH + 1
            if number > 0 and self.omit_frequent and not had_gaps and not self.has_gaps:
                self._drop(number)  # nothing was passed over: the same runs as in the text as it stands
            elif number > 0:
                total, words = self.hashes, self.is_meaningful.astype(np.int8)
                for n in (1, 2, 4):  # a run of eight is two runs of four, and so on
                    total = total[:-n] * np.uint64(pow(_STEP, n, 2**64)) + total[n:]
                    words = words[:-n] + words[n:]
                of_words = words >= MEANINGFUL
                yield total[of_words], self.places[:number][of_words]
                self._drop(number)

    def _drop(self, number: int) -> None:
        """Forget the first words: every run that begins with them has been seen."""
        self.hashes, self.is_meaningful = self.hashes[number:], self.is_meaningful[number:]
        self.places = self.places[number:]


def _split_pieces(text: bytes) -> Iterator[bytes]:
    """Yield pieces that end between two words, or anywhere in a word that is longer than a piece."""
    start = 0
    while len(text) - start > _PIECE:
        end = max(text.rfind(b" ", start, start + _PIECE), text.rfind(b"\n", start, start + _PIECE))
        end = end if end > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _hash_words(text: bytes) -> tuple[Hashes, npt.NDArray[np.bool_], Places]:
    """Return for each word its hash, whether it carries meaning, and where it begins."""
    codes = np.frombuffer(text, np.uint8)
    inside = np.zeros(len(codes) + 2, np.bool_)
    inside[1:-1] = _IS_WORD.take(codes)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(_VALUE.take(codes) * _UP[: len(codes)], out=sums[1:])
    hashes = _mix_bits((sums[ends] - sums[starts]) * _DOWN[starts])
    first = codes[starts]
    is_word = ((first < 48) | (first > 57)) & (ends - starts > 1)
    hashes, starts = hashes[is_word], starts[is_word]
    return hashes, ~_in_headings[hashes & _LOW], starts.astype(np.int64)


def _find_rare(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Return which words make up less than a tenth of the words around them."""
    is_rare = np.ones(len(hashes), np.bool_)
    for start in range(0, len(hashes), SURROUNDINGS):
        part = hashes[start : start + SURROUNDINGS]
        _, inverse, counts = np.unique(part, return_inverse=True, return_counts=True)
        is_rare[start : start + SURROUNDINGS] = counts[inverse] < max(2, len(part) / 10)
    return is_rare


def _mix_bits(hashes: Hashes) -> Hashes:
    """Spread every bit of a hash over all bits (the final step of splitmix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def find_shared(candidates: Hashes, notes: Iterable[bytes]) -> Hashes:
    """Return those of the runs of words that also occur in the notes, sorted."""
    candidates = np.unique(candidates)
    if not len(candidates):
        return candidates
    is_possible = np.zeros(_FILTER, np.bool_)
    is_possible[candidates & _LOW] = True
    is_shared = np.zeros(len(candidates), np.bool_)
    runs = WordRuns()
    for text in notes:
        for hashes, _ in runs.feed(normalize(text)):
            hashes = hashes[is_possible[hashes & _LOW]]
            places = np.minimum(np.searchsorted(candidates, hashes), len(candidates) - 1)
            is_shared[places[candidates[places] == hashes]] = True
    shared: Hashes = candidates[is_shared]
    return shared


@cache
def hash_titles() -> Hashes:
    """Return the runs of words in ICD-10-CM's own titles, which cards, notes and traces may all contain."""
    tables = load_release()
    titles = [*(chapter.title for chapter in CHAPTERS), *tables.titles.values()]
    terms = [term for of_code in tables.inclusion_terms.values() for term in of_code]
    runs = WordRuns()
    return np.unique(np.concatenate([hashes for hashes, _ in runs.feed("\n".join(titles + terms).encode())]))


def leave_out_titles(hashes: Hashes) -> Hashes:
    """Return those of the runs of words that are not in ICD-10-CM's own titles."""
    titles = hash_titles()  # half a million, sorted: sorting them again takes as long as reading many a card
    places = np.minimum(np.searchsorted(titles, hashes), len(titles) - 1)
    others: Hashes = hashes[titles[places] != hashes]
    return others


def has_notes(folder: Path) -> bool:
    """Return whether a folder has a parquet file with admission notes, at any depth, or is MIMIC's table of notes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.is_file():
        return folder.name.startswith("discharge.csv")
    for path in folder.rglob("*.parquet") if folder.is_dir() else ():
        with suppress(pa.ArrowInvalid, OSError):
            names = pq.read_schema(path).names
            if "admission_note" in names or any(name in names for name in NESTED):
                return True
    return False


def read_notes(source: Path) -> Iterator[bytes]:
    """Yield every note, and every trace if there are any. Raises DeepicdError where nothing is found."""
    tables = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if source.is_dir() and not tables:
        tables = sorted(path for path in source.rglob("discharge.csv*") if path.is_file())
    is_empty = True
    for path in tables:
        for batch in _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path):
            is_empty = False
            yield batch
    if is_empty:
        raise DeepicdError(
            f"{source} holds no notes to compare with.",
            "Name a cohort (`deepicd build`), a dataset folder, or the copy of MIMIC-IV-Note: --notes-from DIR",
        )


def _read_parquet(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DeepicdError(f"{path} is not a complete parquet file.", "Make it again.") from error
    names = file.schema_arrow.names
    columns = [name for name in COLUMNS if name in names] + [NESTED[name] for name in NESTED if name in names]
    if not columns:
        return
    batches = (
        batch
        for group in range(file.num_row_groups)  # a reader over all of them keeps in memory what it has read
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns)
    )
    for batch in batches:
        for column in batch.columns:
            column = column.field("note") if pa.types.is_struct(column.type) else column
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield "\n".join(text for text in column.to_pylist() if text).encode() + b"\n"


def _read_csv(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        reader = csv.open_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(include_columns=["text"], column_types={"text": pa.string()}),
        )
        for batch in reader:
            yield "\n".join(text for text in batch.column(0).to_pylist() if text).encode() + b"\n"
    except (pa.ArrowInvalid, KeyError) as error:
        raise DeepicdError(
            f"{path} is not a table of notes: it has no column `text`.", "Name note/discharge.csv.gz."
        ) from error


_in_headings[_hash_words(HEADINGS.encode())[0] & _LOW] = True
