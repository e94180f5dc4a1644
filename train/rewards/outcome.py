"""The outcome reward: how close a predicted code is to the true one. Pure functions of two codes, in three variants.

DeepICD-R1, equation 1: r = O/|g| + |O − 2|, where O is the length of the common prefix of prediction p and truth g.

| | default | paper | authors |
|---|---|---|---|
| p = g | \\|g\\| | O/\\|g\\| + \\|O − 2\\| | 15 \\|g\\| |
| O ≥ 3 | O/\\|g\\| + O − 2 | O/\\|g\\| + \\|O − 2\\| | 15 (O/\\|g\\| + O − 2) |
| O = 1, 2 | O/\\|g\\| | O/\\|g\\| + \\|O − 2\\| | 15 O/\\|g\\| |
| O = 0 | 0 | 2 | −1 |
| no code | 0 | 0 | −1 |

Taken literally, the equation pays more for no overlap at all than for two correct characters (paper, erratum 1). The
bonus must start at the third character, as the paper's text says and its authors' code does. `default` also follows
their code for the exact match: it pays one more than the same prefix followed by wrong characters, so a code that is
longer than the true one (I10 answered as I10ABCD) never earns as much as the true one.
"""

from collections.abc import Callable
from typing import Literal

from deepicd.answer_form import measure_overlap
from deepicd.paper import NO_MATCH, OUTCOME_SCALE

Variant = Literal["default", "paper", "authors"]


def score_default(predicted: str | None, truth: str) -> float:
    """Return a reward from 0 to |g|; a longer correct prefix never earns less.

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
    """Return the reward of equation 1, taken literally.

    >>> [round(score_paper(code, "I5021"), 2) for code in ("J189", "I10", "I509", "I5023", "I50212A", "I5021")]
    [2.0, 1.2, 1.6, 2.8, 4.0, 4.0]
    """
    if not predicted or not truth:
        return 0.0
    overlap = measure_overlap(predicted, truth)
    return overlap / len(truth) + abs(overlap - 2)


def score_authors(predicted: str | None, truth: str) -> float:
    """Return the reward at the scale of the authors' job files.

    >>> [round(score_authors(code, "I5021"), 2) for code in ("J189", "I10", "I509", "I5023", "I50212A", "I5021")]
    [-1.0, 3.0, 24.0, 42.0, 60.0, 75.0]
    """
    paid = score_default(predicted, truth)
    return OUTCOME_SCALE * paid if paid else NO_MATCH


OUTCOMES: dict[str, Callable[[str | None, str], float]] = {
    "default": score_default,
    "paper": score_paper,
    "authors": score_authors,
}
