"""How near a predicted code comes to the true one. One scorer serves evaluation, selection and rewards.

>>> measure_overlap("I5021", "I5023"), measure_overlap("J189", "I10")
(4, 0)
"""

from collections.abc import Iterable

from deepicd.icd10cm import Code


def measure_overlap(predicted: str, truth: str) -> int:
    """Characters that the two codes share from the first on, dots not counted (DeepICD-R1, equation 1: O)."""
    shared = 0
    for mine, theirs in zip(predicted.replace(".", ""), truth.replace(".", ""), strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared


def measure_accuracy(pairs: Iterable[tuple[Code | None, Code]]) -> dict[str, float | None]:
    """Share of (predicted, truth) pairs that agree on chapter, category and full code; None predicts nothing.

    >>> measure_accuracy([(Code("I5021"), Code("I5023")), (None, Code("J189"))])
    {'chapter': 0.5, 'category': 0.5, 'full': 0.0}
    """
    hits = {"chapter": 0, "category": 0, "full": 0}
    total = 0
    for predicted, truth in pairs:
        total += 1
        if predicted is not None:
            hits["chapter"] += predicted.chapter == truth.chapter
            hits["category"] += predicted.category == truth.category
            hits["full"] += predicted == truth
    return {level: hit / total if total else None for level, hit in hits.items()}
