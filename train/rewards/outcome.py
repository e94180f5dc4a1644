"""The outcome reward: how close a predicted code is to the true one, in three variants, or a list to the stay's codes.

Pure functions of codes.

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

A list (`several`) earns half for its first code, half for the list:

    >>> truth = ("I214", "I10", "E871", "E119")
    >>> lists = [truth, truth[:1], truth[::-1], (*truth, "J189"), ("I214", "I214", "I214"), ("E1122", "N179")]
    >>> [round(score_list(codes, truth), 2) for codes in lists]
    [5.0, 3.5, 2.5, 4.72, 3.21, 0.42]

* The first code earns as in the variant `default`, per character of the true one: closeness counts.
* The list earns its F1: twice its hits per code that it has and that the truth has. A right code is a hit, another code
  of a right category half a hit, and each true code is hit once. So a code is worth listing if it is right with a
  probability of more than half the F1 of the rest; a list of everything, or a code said again, loses.
* The order of the others earns nothing: billing order beyond the first diagnosis says little of their weight.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from deepicd.answer_form import measure_overlap
from deepicd.paper import NO_MATCH, OUTCOME_SCALE

Variant = Literal["default", "paper", "authors"]
BEST = 5.0  # what the true list earns; as much as a code of five characters in `default`
CATEGORY_HIT = 0.5


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


def score_list(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """Return what a list of codes (without dots) earns, from 0 to 5: all of it for the true codes, the first first."""
    if not predicted or not truth:
        return 0.0
    first = score_default(predicted[0], truth[0]) / len(truth[0])
    return BEST * (first + measure_f1(predicted, truth)) / 2


def measure_f1(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """Return the F1 of a list, from 0 to 1; a code that is listed again hits nothing.

    >>> measure_f1(["I10", "I10"], ["I10"]), measure_f1(["I5021"], ["I5023"])
    (0.6666666666666666, 0.5)
    """
    listed, true = dict.fromkeys(predicted), dict.fromkeys(truth)
    right = [code for code in listed if code in true]
    left = _count_categories(code for code in listed if code not in true)
    missed = _count_categories(code for code in true if code not in listed)
    hits = len(right) + CATEGORY_HIT * (left & missed).total()
    return 2 * hits / (len(predicted) + len(true))


def _count_categories(codes: Iterable[str]) -> Counter[str]:
    return Counter(code[:3] for code in codes)
