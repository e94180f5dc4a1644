"""How near an answer's code comes to the true one, as three parties pay it. Pure functions of two codes.

DeepICD-R1, equation 1: r = O/|g| + |O − 2|, with O the length of the common prefix of prediction p and truth g.

| | default | paper | authors |
|---|---|---|---|
| p = g | \\|g\\| | O/\\|g\\| + \\|O − 2\\| | 15 \\|g\\| |
| O ≥ 3 | O/\\|g\\| + O − 2 | O/\\|g\\| + \\|O − 2\\| | 15 (O/\\|g\\| + O − 2) |
| O = 1, 2 | O/\\|g\\| | O/\\|g\\| + \\|O − 2\\| | 15 O/\\|g\\| |
| O = 0 | 0 | 2 | −1 |
| no code | 0 | 0 | −1 |

The letter of the equation pays a code without any overlap more than one with two correct characters (paper, erratum 1);
the bonus has to begin with the third, as its words say and its authors' code does. What is paid for the exact code is
the authors' too: one more than for the same prefix with something behind it, so that a longer code than the true one
(I10 answered as I10ABCD) never earns as much as the true one.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from deepicd.paper import NO_MATCH, OUTCOME_SCALE
from deepicd.scoring import measure_overlap

Variant = Literal["default", "paper", "authors"]


def score_default(predicted: str | None, truth: str) -> float:
    """0 to |g|; a longer correct prefix never pays less.

    >>> [round(score_default(code, "I5021"), 2) for code in ("J189", "I10", "I509", "I5023", "I50212A", "I5021")]
    [0.0, 0.2, 1.6, 2.8, 4.0, 5.0]
    """
    if not predicted or not truth:
        return 0.0
    if predicted == truth:
        return float(len(truth))
    overlap = measure_overlap(predicted, truth)
    return overlap / len(truth) + max(0, overlap - 2)


def score_paper(predicted: str | None, truth: str) -> float:
    """By the letter of equation 1.

    >>> [round(score_paper(code, "I5021"), 2) for code in ("J189", "I10", "I509", "I5023", "I50212A", "I5021")]
    [2.0, 1.2, 1.6, 2.8, 4.0, 4.0]
    """
    if not predicted or not truth:
        return 0.0
    overlap = measure_overlap(predicted, truth)
    return overlap / len(truth) + abs(overlap - 2)


def score_authors(predicted: str | None, truth: str) -> float:
    """As the authors' job files scale it.

    >>> [round(score_authors(code, "I5021"), 2) for code in ("J189", "I10", "I509", "I5023", "I50212A", "I5021")]
    [-1.0, 3.0, 24.0, 42.0, 60.0, 75.0]
    """
    paid = score_default(predicted, truth)
    return OUTCOME_SCALE * paid if paid else NO_MATCH


OUTCOMES: dict[Variant, Callable[[str | None, str], float]] = {
    "default": score_default,
    "paper": score_paper,
    "authors": score_authors,
}


def score_several(predicted: Sequence[str], truths: Sequence[str]) -> float:
    """What several codes earn for several true ones, in any order: the mean over the longer of the two lists.

    Each true code pays for one prediction at most, the nearest first, so that neither a code said twice nor a list of
    guesses earns more than its best part. With one of each it is `default`.

    >>> score_several(["E119", "I5021"], ["I5021", "E119"]), score_several(["I5021"] * 10, ["I5021"])
    (4.5, 0.5)
    """
    if not predicted or not truths:
        return 0.0
    # (paid, prediction, truth), dearest first; a prediction is of at most seven characters here, so this is cheap
    offers = sorted(
        (
            (-paid, place, other)
            for place, code in enumerate(predicted)
            for other, truth in enumerate(truths)
            if (paid := score_default(code, truth))
        ),
    )
    used: set[int] = set()
    met: set[int] = set()
    total = 0.0
    for paid, place, other in offers:
        if place not in used and other not in met:
            used.add(place)
            met.add(other)
            total -= paid
    return total / max(len(predicted), len(truths))
