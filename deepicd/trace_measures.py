"""Measure a trace: where it first names its diagnosis, how often it weighs alternatives, how far its note has it.

    find_first_mention(trace, code, titles, note)      # 0.52: halfway through
    count_weighing(trace)                              # sentences with "less likely", "rather than", "ruled out", …
    measure_grounding(trace, note)                     # Grounding(numbers=Share(in_note=5, total=6), drugs=…, …)

What the clinicians of DeepICD-R1 complained of: traces that settle on a diagnosis early and then justify it. A
diagnosis in other words than those of its title is not recognized. Grounding counts the claims that deepicd.evidence
finds: a number counts if the note has it for the same thing; what the writer weighs or infers ("possible", a normal
range) is neither in the note nor missing there, and does not count (docs/evidence.md). All are linear in the text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from deepicd.evidence import NUMERIC, Category, Evidence, Kind, drop_overlaps, find_all_evidence
from deepicd.icd10cm import Code

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WEIGHING = re.compile(
    r"\b(?:(?:less|more|un|most|not) ?likely|rather than|instead of|as opposed to|versus|vs|differentials?"
    r"|alternative(?:s|ly)?|rul(?:e|es|ed|ing) out|exclud(?:e|es|ed|ing)|(?:could|might|may) also|consider(?:ed|ing)?"
    r"|(?:argu|speak|weigh|count)(?:e|s|es|ed|ing)? (?:against|for|in favou?r)|(?:does|do) not (?:fit|explain)"
    r"|would (?:be expected|expect|bring|show|explain))\b",
    re.IGNORECASE,
)


def find_first_mention(trace: str, code: Code, titles: Iterable[str], note: str) -> float | None:
    """Return where the code or a whole title first stands, as a share of the trace (0 the start); None for nowhere.

    A title that the note itself has does not count.

    >>> find_first_mention("It is gout. M10.9 fits.", Code.parse("M10.9"), ["Gout, unspecified"], "")
    0.52...
    """
    starts = [match.start() for match in [_compile_code_pattern(code).search(trace)] if match]
    folded, known = trace.casefold(), " ".join(note.casefold().split())
    for title in titles:
        words = title.casefold().split()
        if words and " ".join(words) not in known:
            # `folded` is a few letters longer or shorter than the trace, which moves no share
            pattern = r"\b" + r"\s+".join(map(re.escape, words)) + r"\b"
            starts += [match.start() for match in [re.search(pattern, folded)] if match]
    return min(starts) / len(trace) if starts else None


def _compile_code_pattern(code: Code) -> re.Pattern[str]:
    dotted = str(code).replace(".", r"\.?")
    return re.compile(rf"\b{dotted}\b(?!\.\d)", re.IGNORECASE)


def count_weighing(trace: str) -> int:
    """Return how many sentences weigh something against something else.

    >>> count_weighing("Angina is less likely. Troponin is raised. Pneumonia would bring fever, so it is ruled out.")
    2
    """
    return sum(_WEIGHING.search(sentence) is not None for sentence in _SENTENCE.split(trace))


class Share(NamedTuple):
    """How many of a trace's items its note has too."""

    in_note: int
    total: int

    @property
    def share(self) -> float | None:
        return self.in_note / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Grounding:
    numbers: Share
    drugs: Share
    """Each drug once, however often it is named."""
    quotes: Share
    verbatim: int
    """Words of the longest run that the trace copies from the note, ignoring case and punctuation."""
    invented_vitals: int
    """Vital signs with a value that the note does not have for them."""
    evidence: Sequence[Evidence]
    """Without overlap: what a quotation holds counts above and is left out here."""


_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def measure_grounding(trace: str, note: str) -> Grounding:
    """Return how much of a trace its note has."""
    claims = find_all_evidence(trace, note)
    counted = [claim for claim in claims if claim.kind is not Kind.INFERENCE]
    drugs: dict[str, bool] = {}
    for claim in counted:
        if claim.category is Category.DRUG:
            name = trace[claim.claim_start : claim.claim_end].lower()
            drugs[name] = drugs.get(name, False) or claim.kind is Kind.SUPPORTED
    return Grounding(
        numbers=_count_numbers(trace, counted),
        drugs=Share(sum(drugs.values()), len(drugs)),
        quotes=_count(claim for claim in counted if claim.category is Category.QUOTATION),
        verbatim=measure_longest_shared_run(_WORD.findall(trace.lower()), _WORD.findall(note.lower())),
        invented_vitals=sum(claim.category is Category.VITAL and claim.kind is not Kind.SUPPORTED for claim in counted),
        evidence=drop_overlaps(claims),
    )


def _count_numbers(trace: str, claims: Iterable[Evidence]) -> Share:
    """Count numerals: a blood pressure has two."""
    in_note = total = 0
    for claim in claims:
        if claim.category in NUMERIC:
            numerals = len(_NUMBER.findall(trace, claim.claim_start, claim.claim_end)) or 1
            total += numerals
            in_note += numerals if claim.kind is Kind.SUPPORTED else 0
    return Share(in_note, total)


def _count(claims: Iterable[Evidence]) -> Share:
    kinds = [claim.kind for claim in claims]
    return Share(kinds.count(Kind.SUPPORTED), len(kinds))


def measure_longest_shared_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest run of items in both, in linear time (suffix automaton of the first).

    >>> measure_longest_shared_run("she was pale and sweating".split(), "skin pale and sweating heavily".split())
    3
    """
    edges: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for item in first:
        state = len(edges)
        edges.append({})
        length.append(length[last] + 1)
        link.append(0)
        at = last
        while at >= 0 and item not in edges[at]:
            edges[at][item] = state
            at = link[at]
        if at >= 0:
            target = edges[at][item]
            if length[at] + 1 == length[target]:
                link[state] = target
            else:
                clone = len(edges)
                edges.append(edges[target].copy())
                length.append(length[at] + 1)
                link.append(link[target])
                while at >= 0 and edges[at].get(item) == target:
                    edges[at][item] = clone
                    at = link[at]
                link[target] = link[state] = clone
        last = state
    best = run = at = 0
    for item in second:
        while at and item not in edges[at]:
            at = link[at]
            run = length[at]
        if item in edges[at]:
            at, run = edges[at][item], run + 1
        best = max(best, run)
    return best
