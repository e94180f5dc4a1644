"""A text as `find_evidence` reads it: its numbers, drugs, findings and quotations; and a note with its indexes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from deepicd.evidence.lexicon import Lexicon, Name, Term, load_lexicon
from deepicd.evidence.mentions import Hit, Mention, list_mentions, scan
from deepicd.evidence.numbers import Number, list_numbers
from deepicd.evidence.tokens import BREAK, SENTENCE_ENDS, Tokens, read_context, split_tokens

CANDIDATES = 32  # places in a note that are compared for a claim, so that repetition stays linear
NAMED_WORDS = 4  # of a denied phrase that no lexicon has, at most
_PHRASE_ENDS = frozenset((",", "or", "and", "nor", "/", "with", "on", "in", "at", "to", "for", "but", "of", "(", ":"))
_EMPTY = frozenset(
    "no not known other any new recent acute significant further change changed changes complaint issue"
    " evidence history sign symptom problem concern obvious apparent clear more such prior contact family he she his"
    " her him they patient additional major current active specific clinical overt gross definite true real longer able"
    " taking".split()
)


@dataclass(frozen=True, slots=True)
class Reading:
    tokens: Tokens
    hits: Sequence[Hit]
    mentions: Sequence[Mention]
    numbers: Sequence[Number]


def read_text(text: str, extra: Mapping[str, Sequence[Name]]) -> Reading:
    """Return what stands in a text; `extra` are names that its note adds to the lexicon."""
    tokens = split_tokens(text)
    return _read_hits(tokens, scan(tokens, load_lexicon(), extra))


def _read_hits(tokens: Tokens, hits: Sequence[Hit]) -> Reading:
    inside = {place for hit in hits if hit.term.sort in ("finding", "drug") for place in range(hit.first, hit.last)}
    numbers = list_numbers(tokens, hits, load_lexicon())
    return Reading(
        tokens, hits, list_mentions(tokens, hits), [number for number in numbers if number.token not in inside]
    )


@dataclass(frozen=True, slots=True)
class Note:
    """A note, indexed for look-up."""

    reading: Reading
    mentions: Mapping[str, Sequence[Mention]]
    """Finding or drug → its mentions; a finding also under those that it is one of."""
    places: Mapping[str, Sequence[tuple[Mention, frozenset[str]]]]
    """Word or site → sides of the body that are mentioned near it, each with the words around it."""
    classes: Mapping[str, Sequence[Mention]]
    """Class → drugs and names of it."""
    values: Mapping[str, Sequence[Number]]
    measures: Mapping[str, Sequence[Number]]
    units: Mapping[str, Sequence[Number]]
    """Unit, or else the word behind the number → numbers."""
    spoken: Sequence[str]
    """The words and numbers, without marks."""
    spoken_tokens: Sequence[int]
    """Their tokens."""
    runs: Mapping[tuple[str, ...], Sequence[int]]
    """A word, or two in a row → their places in `spoken`."""
    extra: Mapping[str, Sequence[Name]]


@lru_cache(maxsize=4)
def read_note(text: str) -> Note:
    """Return a note with its indexes; the last few are kept, for the attempts at one row follow one another."""
    lexicon = load_lexicon()
    tokens = split_tokens(text)
    hits = scan(tokens, lexicon, {})
    extra = _name_denied_phrases(tokens, hits)
    for word in _list_dosed_words(tokens, hits):
        extra.setdefault(word, []).append(Name([word], None, Term("drug", word)))
    reading = _read_hits(tokens, scan(tokens, lexicon, extra) if extra else hits)
    mark_family_sections(text, reading)
    places = list_words(reading.tokens, 0, len(reading.tokens.words))
    spoken = [reading.tokens.words[place] for place in places]
    runs: dict[tuple[str, ...], list[int]] = {}
    for at, word in enumerate(spoken):
        runs.setdefault((word,), []).append(at)
    for at, pair in enumerate(pairwise(spoken)):
        runs.setdefault(pair, []).append(at)
    return Note(
        reading,
        *_index_mentions(reading, lexicon),
        *_index_numbers(reading.numbers),
        spoken,
        places,
        runs,
        extra,
    )


Places = dict[str, list[tuple[Mention, frozenset[str]]]]


def _index_mentions(
    reading: Reading, lexicon: Lexicon
) -> tuple[dict[str, list[Mention]], Places, dict[str, list[Mention]]]:
    by_key: dict[str, list[Mention]] = {}
    places: Places = {}
    by_class: dict[str, list[Mention]] = {}
    for mention in reading.mentions:
        key = mention.term.key
        if mention.term.sort == "place":
            words = read_place_context(reading.tokens, mention)
            for word in words:
                places.setdefault(word, []).append((mention, words))
            continue
        for broader in lexicon.broader.get(key, (key,)):
            if broader == key or not mention.is_denied:
                by_key.setdefault(broader, []).append(mention)
        if mention.term.sort == "class":
            by_class.setdefault(key, []).append(mention)
        elif mention.term.sort == "drug":
            for group in lexicon.find_classes(key):
                by_class.setdefault(group, []).append(mention)
    return by_key, places, by_class


def read_place_context(tokens: Tokens, mention: Mention) -> frozenset[str]:
    """Return the words around a side of the body, its site included."""
    site = frozenset((mention.site,)) if mention.site else frozenset()
    return site | read_context(tokens, mention.first, mention.last)


def _index_numbers(
    numbers: Sequence[Number],
) -> tuple[dict[str, list[Number]], dict[str, list[Number]], dict[str, list[Number]]]:
    values: dict[str, list[Number]] = {}
    measures: dict[str, list[Number]] = {}
    units: dict[str, list[Number]] = {}
    for number in numbers:
        values.setdefault(number.value, []).append(number)
        if "/" in number.value:
            for part in number.value.split("/"):
                values.setdefault(part, []).append(number)
        if number.measure:
            measures.setdefault(number.measure, []).append(number)
        if key := number.unit or number.noun:
            units.setdefault(key, []).append(number)
    return values, measures, units


def list_words(tokens: Tokens, first: int, last: int) -> list[int]:
    """Return the tokens that are words or numbers."""
    return [place for place in range(first, last) if tokens.words[place][0].isalnum()]


def _name_denied_phrases(tokens: Tokens, hits: Sequence[Hit]) -> dict[str, list[Name]]:
    """Return names for what the note denies in words that no lexicon has: 'no fluctuance', 'denies night driving'."""
    extra: dict[str, list[Name]] = {}
    for hit in hits:
        if hit.term.sort != "deny":
            continue
        for first, last in _split_phrases(tokens, hit.last, hit.last + max(hit.term.reach, 8)):
            words = tokens.words[first:last]
            if any(len(word) > 4 and word not in _EMPTY for word in words) and _EMPTY.isdisjoint(words[-1:]):
                name = Name(words, None, Term("finding", " ".join(words), "phrase"))
                extra.setdefault(words[0], []).append(name)
    return {first: sorted(names, key=lambda name: -len(name.words)) for first, names in extra.items()}


def _split_phrases(tokens: Tokens, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the phrases of a list up to the end of the sentence, without the words that begin none."""
    start = first
    for at in range(first, min(last, len(tokens.words)) + 1):
        word = tokens.words[at] if at < len(tokens.words) else BREAK
        if word in _PHRASE_ENDS or word in SENTENCE_ENDS or at == last:
            while start < at and tokens.words[start] in _EMPTY:
                start += 1
            if 0 < at - start <= NAMED_WORDS and all(map(str.isalpha, tokens.words[start:at])):
                yield start, at
            start = at + 1
            if word in SENTENCE_ENDS or word in ("but", "with", "(", ":"):
                return


_DOSED = re.compile(r"\b([A-Za-z][A-Za-z-]{3,30}) \d[\d.,]{0,6} ?(?:mg|mcg|µg|g|units?|meq|ml|iu)\b", re.IGNORECASE)
_NO_DRUGS = frozenset("dose doses dosage total daily weight oral about over with than every takes taking only".split())


def _list_dosed_words(tokens: Tokens, hits: Sequence[Hit]) -> set[str]:
    """Return words that no lexicon has and a dose follows: 'Nabilone 1 mg'."""
    known = {place for hit in hits if hit.term.sort in ("drug", "measure", "class") for place in
             range(hit.first, hit.last)}  # fmt: skip
    words = set()
    starts = {start: place for place, start in enumerate(tokens.starts)}
    for match in _DOSED.finditer(tokens.text):
        place = starts.get(match.start(1))
        if place is not None and place not in known and (word := tokens.words[place]) not in _NO_DRUGS:
            words.add(word)
    return words


_HEADER = re.compile(r"^(?:#+ )?([A-Z][A-Za-z/ ]{2,40}):?[ \t]*$", re.MULTILINE)


def mark_family_sections(text: str, reading: Reading) -> None:
    """Mark the mentions of a family history as the family's."""
    headers = [(header.start(), header[1].lower()) for header in _HEADER.finditer(text)]
    for (start, name), (end, _) in pairwise([*headers, (len(text), "")]):
        if name.startswith("family"):
            for mention in reading.mentions:
                if start < mention.start < end:
                    mention.is_of_family = True
