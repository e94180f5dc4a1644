"""What a list of codes earns against the codes of a stay: half for the first, half for the list. Pure functions.

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
from collections.abc import Iterable, Sequence

from train.rewards.outcome import score_default

BEST = 5.0  # what the true list earns; as much as a code of five characters in `default`
CATEGORY_HIT = 0.5


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
