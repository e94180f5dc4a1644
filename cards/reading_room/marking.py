"""Cut a note and a trace into pieces that are shown in one way: a claim, the place that decides it, an unused sentence.

    marked = mark_texts(trace, note)
    marked.trace[3]    # Piece(text='BP 120/60', claims=(2,), kind='contradicted', …)
    marked.note[7]     # Piece(text='BP 92/60', claims=(2,), kind='contradicted', …)

The pieces of a text, joined, are the text. Claims are numbered from 1 in the order of the trace.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from deepicd.evidence import Evidence, Kind, find_evidence, find_unused

_HEADING = re.compile(r"^(?:##[ \t]+\S[^\n]*|[A-Z][^\n:.;]{1,60}:)[ \t]*$", re.MULTILINE)
_STRONGEST = (Kind.CONTRADICTED, Kind.SUPPORTED, Kind.INFERENCE)  # which kind a place shows that decides several claims


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters that is shown in one way."""

    text: str
    claims: tuple[int, ...] = ()
    """Numbers of the claims that it belongs to."""
    starts: tuple[int, ...] = ()
    """Those of them that begin here."""
    kind: Kind | None = None
    is_unused: bool = False
    """Part of a sentence of the note that no claim rests on."""
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as the table beneath the texts lists it."""

    number: int
    text: str
    kind: Kind
    category: str
    why: str
    in_note: str | None
    """What the note has; None where it has no such place."""


@dataclass(frozen=True, slots=True)
class MarkedTexts:
    """A trace and its note in pieces, with the claims that link them."""

    trace: Sequence[Piece]
    note: Sequence[Piece]
    claims: Sequence[Claim]

    def count(self, kind: str) -> int:
        """Return the number of claims of a kind."""
        return sum(claim.kind == kind for claim in self.claims)


def mark_texts(trace: str, note: str) -> MarkedTexts:
    """Return both texts in pieces, linked by the evidence of the trace."""
    evidence = find_evidence(trace, note)
    claims = [
        Claim(
            number=number,
            text=trace[item.claim_start : item.claim_end],
            kind=item.kind,
            category=item.category,
            why=item.why,
            in_note=None if item.note_start is None else note[item.note_start : item.note_end],
        )
        for number, item in enumerate(evidence, start=1)
    ]
    spans = [(item.claim_start, item.claim_end) for item in evidence]
    return MarkedTexts(_cut(trace, _number(spans, evidence), [], []), mark_note(note, evidence), claims)


def mark_note(note: str, evidence: Sequence[Evidence] | None = None) -> list[Piece]:
    """Return a note in pieces; without evidence only its headings are told apart."""
    headings = [match.span() for match in _HEADING.finditer(note)]
    if evidence is None:
        return _cut(note, [], headings, [])
    places = [(item.note_start or 0, item.note_end or 0) for item in evidence]
    return _cut(note, _number(places, evidence), headings, find_unused(note, evidence))


Span = tuple[int, int]
_Numbered = tuple[int, int, int, Kind]


def _number(spans: Iterable[Span], evidence: Sequence[Evidence]) -> list[_Numbered]:
    """Return the spans with number and kind of their claims; an empty span is left out."""
    pairs = zip(spans, evidence, strict=True)
    return [(*span, number, item.kind) for number, (span, item) in enumerate(pairs, start=1) if span[0] < span[1]]


def _cut(text: str, claims: Sequence[_Numbered], headings: Sequence[Span], unused: Sequence[Span]) -> list[Piece]:
    """Cut a text wherever one of the spans begins or ends."""
    cuts = {0, len(text), *(edge for span in (*headings, *unused) for edge in span)}
    edges = sorted(cuts | {edge for start, end, *_ in claims for edge in (start, end)})
    pieces = []
    for start, end in pairwise(edges):
        here = [claim for claim in claims if claim[0] <= start < claim[1]]
        kinds = {kind for *_, kind in here}
        pieces.append(
            Piece(
                text=text[start:end],
                claims=tuple(number for *_, number, _ in here),
                starts=tuple(number for first, _, number, _ in here if first == start),
                kind=next((kind for kind in (*_STRONGEST, Kind.ABSENT) if kind in kinds), None),
                is_unused=_is_within(start, unused),
                is_heading=_is_within(start, headings),
            )
        )
    return pieces


def _is_within(place: int, spans: Sequence[Span]) -> bool:
    """Return whether a place is in one of spans that are in order and do not overlap."""
    before = bisect_right(spans, (place, 2**62))
    return before > 0 and place < spans[before - 1][1]
