"""Hold the diseases that a trace names against the stay's other codes: recall at k.

    weigh("NSTEMI most likely; heart failure must be weighed.", first=Code("I214"), codes=(Code("I5021"), Code("N179")))
    # Weighing(named=2, covered=1, nameable=2, recall=0.5)

A code is nameable if its title or an inclusion term has a disease that the lexicon knows. Diseases count in the order
in which the trace names them first; what it denies or ascribes to the family does not.
"""

from collections.abc import Iterable
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
