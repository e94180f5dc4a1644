"""Find the quotations of a trace in its note: word for word, or with small differences that change nothing.

Case, spaces, punctuation and the blanks of de-identification (___) do not count; '…' or '...' stands for what is left
out.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice, pairwise

from deepicd.evidence.claims import Category, Evidence, Kind
from deepicd.evidence.lexicon import load_lexicon
from deepicd.evidence.reading import Note, list_words
from deepicd.evidence.tokens import Tokens

LONGEST = 300  # characters of a quotation
_QUOTATION = re.compile(
    rf"“(?P<curly>[^“”\n]{{3,{LONGEST}}})”"
    rf'|"(?P<straight>[^"\n]{{3,{LONGEST}}})"'
    rf"|(?<!\w)['‘](?P<single>(?:[^'‘’\n]|['’](?=\w)){{3,{LONGEST}}})['’](?!\w)"
)
_ELLIPSIS = re.compile(r"\.\.\.|…|\[[^\[\]]{0,20}\]")
_ALIKE = 0.8
"""Share of words that a quotation must have in common with a place in the note to be a quotation of it."""
_ANCHORS = 16  # places in the note that are compared word by word for a quotation
_PLACES = 256  # places of its rarest two words at which a quotation is looked for
_DENIALS = frozenset("no not denie denies denied deny denying without never negative none non absent nor".split())
_SIDES = frozenset("left right bilateral l r".split())


def link_quotations(tokens: Tokens, note: Note) -> Iterator[Evidence]:
    """Yield the quotations of a trace with their places in the note."""
    for match in _QUOTATION.finditer(tokens.text):
        start, end = match.span(match.lastgroup or 0)
        words = _list_spoken(tokens, start, end)
        if not words:
            continue
        parts = _split_parts(tokens, start, end)
        kind, span, why = _place(words, parts, note)
        begin, stop = _get_span(note, *span) if span else (None, None)
        yield Evidence(match.start(), match.end(), Category.QUOTATION, kind, begin, stop, why)


def _list_spoken(tokens: Tokens, start: int, end: int) -> list[str]:
    first, last = bisect_left(tokens.starts, start), bisect_left(tokens.starts, end)
    return [tokens.words[place] for place in list_words(tokens, first, last)]


def _split_parts(tokens: Tokens, start: int, end: int) -> list[list[str]]:
    """Return the words between the ellipses of a quotation."""
    cuts = [match.span() for match in _ELLIPSIS.finditer(tokens.text, start, end)]
    edges = [start, *(edge for cut in cuts for edge in cut), end]
    parts = (_list_spoken(tokens, *part) for part in zip(edges[::2], edges[1::2], strict=True))
    return [part for part in parts if part]


Span = tuple[int, int]
"""First word and the word behind the last, of the words of a note."""


def _place(words: Sequence[str], parts: Sequence[Sequence[str]], note: Note) -> tuple[Kind, Span | None, str]:
    if span := _find_exact(words, note, 0):
        return Kind.SUPPORTED, span, "exact"
    if len(parts) > 1 and (span := _find_parts(parts, note)):
        return Kind.SUPPORTED, span, "parts"
    best = max(_list_similar(words, note), key=lambda similar: similar[0], default=None)
    if best is None or best[0] < _ALIKE:
        return Kind.ABSENT, None, "not mentioned"
    span = best[1]
    why = _judge_difference(words, note.spoken[slice(*span)])
    if why == "fuzzy":
        return Kind.SUPPORTED, span, why
    return (Kind.CONTRADICTED, span, why) if why else (Kind.ABSENT, None, "other words")


def _get_span(note: Note, first: int, last: int) -> tuple[int, int]:
    """Return the characters of the note from a word up to another."""
    tokens = note.reading.tokens
    return tokens.starts[note.spoken_tokens[first]], tokens.ends[note.spoken_tokens[last - 1]]


def _find_exact(words: Sequence[str], note: Note, begin: int) -> Span | None:
    """Return where the note has these words in a row, from its word number `begin` on."""
    pairs = [(0, (words[0],))] if len(words) == 1 else list(enumerate(pairwise(words)))
    at, rarest = min(pairs, key=lambda pair: len(note.runs.get(pair[1], ())))
    places = note.runs.get(rarest, [])
    start = bisect_left(places, begin + at)
    for place in places[start : start + _PLACES]:
        first = place - at
        if note.spoken[first : first + len(words)] == words:
            return first, first + len(words)
    return None


def _find_parts(parts: Sequence[Sequence[str]], note: Note) -> Span | None:
    """Return the span of parts that stand in the note in this order."""
    spans: list[Span] = []
    for part in parts:
        if (span := _find_exact(part, note, spans[-1][1] if spans else 0)) is None:
            return None
        spans.append(span)
    return spans[0][0], spans[-1][1]


def _list_similar(words: Sequence[str], note: Note) -> Iterator[tuple[float, Span]]:
    """Yield likeness and span of places in the note that share two words in a row with a quotation."""
    if len(words) < 3:
        return
    offsets: dict[int, None] = {}
    for at, pair in enumerate(pairwise(words)):
        for place in islice(note.runs.get(pair, ()), _ANCHORS):
            offsets[max(place - at, 0)] = None
    for offset in islice(offsets, _ANCHORS):
        theirs = note.spoken[offset : offset + len(words) + 2]
        blocks = [block for block in SequenceMatcher(None, words, theirs, False).get_matching_blocks() if block.size]
        if blocks:
            first, last = blocks[0], blocks[-1]
            begin = first.b - min(first.a, first.b)
            stop = min(last.b + len(words) - last.a, len(theirs))
            same = sum(block.size for block in blocks)
            yield 2 * same / (len(words) + stop - begin), (offset + begin, offset + stop)


def _judge_difference(words: Sequence[str], theirs: Sequence[str]) -> str:
    """Return 'fuzzy' where two wordings say the same, else what differs; '' where other words stand there."""
    ours_only: list[str] = []
    theirs_only: list[str] = []
    for tag, i, j, k, m in SequenceMatcher(None, words, theirs, autojunk=False).get_opcodes():
        if tag != "equal":
            ours_only += words[i:j]
            theirs_only += theirs[k:m]
    for sort, why in ((_SIDES.__contains__, "other side"), (_is_number, "other value")):
        mine, other = [w for w in ours_only if sort(w)], [w for w in theirs_only if sort(w)]
        if mine and other:
            return why
        if mine:
            return ""
    if _DENIALS.isdisjoint(ours_only) != _DENIALS.isdisjoint(theirs_only):
        return "denied"
    names = load_lexicon().names
    if any(word in names and len(word) > 3 and word not in _PLAIN for word in (*ours_only, *theirs_only)):
        return ""
    return "fuzzy" if all(len(word) < 4 or _has_twin(word, theirs) for word in ours_only) else ""


_PLAIN = frozenset("with which that this from some have been were then also".split())


def _has_twin(word: str, others: Sequence[str]) -> bool:
    return word in _PLAIN or any(other[:4] == word[:4] for other in others)


def _is_number(word: str) -> bool:
    return word[0].isdigit()
