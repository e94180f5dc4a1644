"""Blank out the diagnosis in a trace, so that a reader has to find it from the reasoning.

    mask_diagnosis("This is an NSTEMI, I21.4.", Code("I214"), ["NSTEMI"], "[diagnosis]")
    # 'This is an [diagnosis], [diagnosis].'

Blanked out are the code in any spelling, its titles and inclusion terms, and every name that the lexicon has for a
disease of the title. A paraphrase that no list has stays: what it gives away counts as reasoning.
"""

import re
from collections.abc import Iterable, Sequence

from deepicd.evidence.reading import read_text
from deepicd.icd10cm import Code
from deepicd.verification.weighing import find_disease_keys

SHORTEST_TITLE = 4  # letters


def mask_diagnosis(trace: str, code: Code, titles: Iterable[str], mask: str) -> str:
    """Return the trace without code and names of its diagnosis."""
    spans = [match.span() for match in _match_code(code).finditer(trace)]
    names = dict.fromkeys(
        name
        for title in (*titles, code.title or "", *code.inclusion_terms)
        for name in (title, title.partition(",")[0])
    )
    for name in names:
        words = re.findall(r"\w+", name)
        if sum(map(len, words)) >= SHORTEST_TITLE:
            pattern = r"\b" + r"[\W_]+".join(map(re.escape, words)) + r"\b"
            spans += [match.span() for match in re.finditer(pattern, trace, re.IGNORECASE)]
    keys = find_disease_keys(code)
    spans += [(one.start, one.end) for one in read_text(trace, {}).mentions if one.term.key in keys]
    return _replace(trace, spans, mask)


def _match_code(code: Code) -> re.Pattern[str]:
    """Return a pattern for the code and those above it up to the category, dotted or not."""
    spellings = "|".join(
        re.escape(prefix[:3]) + (r"\.?" + re.escape(prefix[3:]) if len(prefix) > 3 else "") for prefix in code.prefixes
    )
    return re.compile(rf"\b(?:{spellings})\b", re.IGNORECASE)


def _replace(text: str, spans: Sequence[tuple[int, int]], mask: str) -> str:
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += [text[end:start], mask]
        end = max(end, stop)
    return "".join([*parts, text[end:]])
