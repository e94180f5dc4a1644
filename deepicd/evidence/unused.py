"""The parts of a note that a trace never used: what a reader may skip, or what the writer overlooked."""

import re
from collections.abc import Iterable

from deepicd.evidence.claims import Evidence, Kind

_PART = re.compile(r"[^\n]+?(?:(?<=[.!?;])[ \t]+(?=[A-Z(])|\n|\Z)")


def find_unused(note: str, evidence: Iterable[Evidence]) -> list[tuple[int, int]]:
    """Return the spans of sentences and lines that no claim is supported or contradicted by, in order; blanks left out.

    >>> from deepicd.evidence.claims import Category
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
