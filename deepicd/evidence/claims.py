"""What a trace claims, what its note says of each claim, and which parts of the note no claim has used.

    Evidence(24, 32, "vital", "contradicted", 61, 69, "other value")   # trace[24:32] 'BP 90/60', note[61:69] 'BP 95/60'

Offsets count characters (code points) of the two texts as they are stored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    SUPPORTED = "supported"  # the note says so
    INFERENCE = "inference"  # weighed or concluded by the writer; the note need not say so
    CONTRADICTED = "contradicted"  # the note says otherwise: another value, a denial, the other side
    ABSENT = "absent"  # stated as a fact, and not in the note


class Category(StrEnum):
    NUMBER = "number"
    VITAL = "vital"
    LAB = "lab"
    DRUG = "drug"
    FINDING = "finding"  # symptoms, signs, diseases, procedures, sides of the body
    QUOTATION = "quotation"


_PART = re.compile(r"[^\n]+?(?:(?<=[.!?;])[ \t]+(?=[A-Z(])|\n|\Z)")
NUMERIC = (Category.NUMBER, Category.VITAL, Category.LAB)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A claim of a trace with the place in the note that decides it."""

    claim_start: int
    claim_end: int
    category: Category
    kind: Kind
    note_start: int | None
    """None where the note has no such place: always for an absent claim."""
    note_end: int | None
    why: str
    """'exact', 'brand', 'other value', 'denied', …: the rule that decided (docs/evidence.md)."""


def drop_overlaps(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return the claims, in their order, that begin behind the end of those before: none that a quotation holds."""
    chosen: list[Evidence] = []
    for item in evidence:
        if not chosen or item.claim_start >= chosen[-1].claim_end:
            chosen.append(item)
    return chosen


def count_kinds(evidence: Iterable[Evidence]) -> dict[Category, dict[Kind, int]]:
    """Return category → kind → number of claims, zeros included."""
    counts = {category: dict.fromkeys(Kind, 0) for category in Category}
    for item in evidence:
        counts[item.category][item.kind] += 1
    return counts


def find_unused(note: str, evidence: Iterable[Evidence]) -> list[tuple[int, int]]:
    """Return the spans of sentences and lines that no claim is supported or contradicted by, in order; blanks left out.

    >>> find_unused("Chest pain. Lives alone.", [Evidence(0, 4, Category.FINDING, Kind.SUPPORTED, 0, 10, "exact")])
    [(12, 24)]
    """
    used = sorted(
        (item.note_start, item.note_end)
        for item in evidence
        if item.note_start is not None and item.note_end is not None and item.kind is not Kind.ABSENT
    )
    spans: list[tuple[int, int]] = []
    at = 0
    for part in _PART.finditer(note):
        start, end = part.span()
        while at < len(used) and used[at][1] <= start:
            at += 1
        if at < len(used) and used[at][0] < end:
            continue
        stripped = part[0].strip()
        if stripped:
            start += part[0].index(stripped[0])
            spans.append((start, start + len(stripped)))
    return spans
