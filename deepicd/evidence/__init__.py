"""The evidence of a trace: each number, drug, finding and quotation with what its note says of it. Pure, no files.

    for claim in find_evidence(trace, note):
        print(trace[claim.claim_start : claim.claim_end], claim.category, claim.kind, claim.why)
    count_kinds(find_evidence(trace, note))[Category.VITAL][Kind.ABSENT]     # vital signs that the writer made up

docs/evidence.md has the four kinds, the rules and their limits.
"""

from deepicd.evidence.claims import NUMERIC, Category, Evidence, Kind, count_kinds, drop_overlaps, find_unused
from deepicd.evidence.matching import find_all_evidence, find_evidence

__all__ = [
    "NUMERIC",
    "Category",
    "Evidence",
    "Kind",
    "count_kinds",
    "drop_overlaps",
    "find_all_evidence",
    "find_evidence",
    "find_unused",
]
