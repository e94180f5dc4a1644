"""The diseases that a trace names: hold them against the stay's other codes, and blank out that of its diagnosis.

    weigh("NSTEMI most likely; heart failure must be weighed.", first=Code("I214"), codes=(Code("I5021"), Code("N179")))
    # Weighing(named=2, covered=1, nameable=2, recall=0.5)
    mask_diagnosis("This is an NSTEMI, I21.4.", Code("I214"), ["NSTEMI"], "[diagnosis]")
    # 'This is an [diagnosis], [diagnosis].'

A code is nameable if its title or an inclusion term has a disease that the lexicon knows. Diseases count in the order
in which the trace names them first; what it denies or ascribes to the family does not. Blanked out, so that a reader
has to find the diagnosis from the reasoning, are the code in any spelling, its titles and inclusion terms, and every
name that the lexicon has for a disease of the title. A paraphrase that no list has stays: it counts as reasoning.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from deepicd.evidence.lexicon import load_lexicon
from deepicd.evidence.reading import read_text
from deepicd.icd10cm import Code


@dataclass(frozen=True, slots=True)
class Weighing:
    named: int
    """Distinct diseases among the first k, or fewer where the trace names fewer."""
    covered: int
    """Other codes of the stay that one of them names."""
    nameable: int

    @property
    def recall(self) -> float | None:
        """Return covered codes per nameable one; None where the stay has no nameable other code."""
        return self.covered / self.nameable if self.nameable else None


def list_diseases(trace: str) -> list[str]:
    """Return the diseases that a trace names, in order, each once."""
    return list(
        dict.fromkeys(
            mention.term.key
            for mention in read_text(trace, {}).mentions
            if mention.term.nature == "disease" and not mention.is_denied and not mention.is_of_family
        )
    )


def weigh(trace: str, *, first: Code, codes: Iterable[Code], k: int = 10) -> Weighing:
    """Return how many of a stay's other codes the first `k` diseases of a trace name. `first`: the first diagnosis."""
    broader = load_lexicon().broader
    named = list_diseases(trace)[:k]
    above = {key for name in named for key in broader.get(name, (name,))}
    others = [keys for code in codes if code.category != first.category and (keys := find_disease_keys(code))]
    covered = sum(not keys.isdisjoint(above) or any(broader.get(key, frozenset()) & {*named} for key in keys)
                  for keys in others)  # fmt: skip
    return Weighing(len(named), covered, len(others))


@lru_cache(maxsize=2**14)
def find_disease_keys(code: Code) -> frozenset[str]:
    """Return the diseases that a code's title and inclusion terms name: the title's own where it has any."""
    for texts in ([code.title or ""], code.inclusion_terms):
        keys = frozenset(
            mention.term.key
            for text in texts
            for mention in read_text(text, {}).mentions
            if mention.term.nature == "disease" and not mention.is_denied
        )
        if keys:
            return keys
    return frozenset()


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
