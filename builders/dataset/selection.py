"""Which of a row's kept traces the dataset gets, and which criterion decided.

    choose("best", [{"rollout": 1, "judge_score": 3.0, …}, {"rollout": 2, "judge_score": 4.5, …}])
    # ({"rollout": 2, …}, "judge")

A rule is a list of criteria, the most telling first; a criterion turns a trace into a number, and the smallest wins. To
add one, write a function and name it in `CRITERIA`; a column of the traces that it reads goes into `COLUMNS`.
"""

from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
"""A kept trace: `COLUMNS`, rollout, words, judge_score (None without scores) and `verification`, its row of
schema.VERIFIED (None without one)."""

_CLAIMS = ("numbers", "drugs", "quotes")
COLUMNS = (*_CLAIMS, *(f"{kind}_in_note" for kind in _CLAIMS), "giveaways", "repeated", "other_script")
ONLY_ONE = "the only one"


def _measure_support(trace: Row) -> float:
    """Return the share of what a trace cites that is in the note; one that cites nothing shows no support."""
    cited = sum(trace[kind] for kind in _CLAIMS)
    in_note = sum(trace[f"{kind}_in_note"] for kind in _CLAIMS)
    return -in_note / cited if cited else 0.0


def _read_verification(name: str, missing: float) -> Callable[[Row], float]:
    """Return a criterion that prefers high values of a column of the verification."""

    def measure(trace: Row) -> float:
        value = trace["verification"][name]
        return -(missing if value is None else value)

    return measure


def _measure_borne_out(trace: Row) -> float:
    """Return refuted less confirmed expectations: a trace that expects nothing stands between."""
    verification = trace["verification"]
    return float((verification["refuted"] or 0) - (verification["confirmed"] or 0))


CRITERIA: dict[str, Callable[[Row], float]] = {
    "verdict": lambda trace: float(len(trace["verification"]["failed_for"])),
    "lift": _read_verification("lift", 0.0),
    "borne out": _measure_borne_out,
    "points": _read_verification("met", 0.0),
    "judge": lambda trace: -(trace["judge_score"] or 0.0),  # a trace without a score comes last
    "support": _measure_support,
    "giveaways": lambda trace: float(trace["giveaways"]),
    "repetition": lambda trace: float(trace["repeated"]),
    "script": lambda trace: float(trace["other_script"]),
    "length": lambda trace: float(trace["words"]),  # of two equals, the shorter
    "order": lambda trace: float(trace["rollout"]),
}
_CHECKS = ("support", "giveaways", "repetition", "script", "order")
_VERIFICATION = ("verdict", "lift", "borne out", "points")
RULES: dict[str, tuple[str, ...]] = {
    "best": ("judge", *_CHECKS),
    "checks": _CHECKS,
    "first": ("order",),
    "strongest": (*_VERIFICATION, "judge", "support", "length", "order"),
    "verified": (*_VERIFICATION, "judge", "support", "length", "order"),
}
NEED_VERIFICATION = ("strongest", "verified")


def choose(rule: str, traces: Iterable[Row]) -> tuple[Row, str] | None:
    """Return the trace that a rule puts first, and the criterion that set it apart from the next.

    None if the rule is `verified` and the best one fails a check.
    """
    names = RULES[rule]
    ranked = sorted(([CRITERIA[name](trace) for name in names], place, trace) for place, trace in enumerate(traces))
    key, _, chosen = ranked[0]
    if rule == "verified" and chosen["verification"]["failed_for"]:
        return None
    if len(ranked) == 1:
        return chosen, ONLY_ONE
    decided = (name for name, own, other in zip(names, key, ranked[1][0], strict=True) if own != other)
    return chosen, next(decided, "order")
