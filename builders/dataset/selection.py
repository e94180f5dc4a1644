"""Which of a row's kept traces the dataset gets, where the recipe asked for several rollouts.

    choose("best", [{"rollout": 1, "judge_score": 3.0, …}, {"rollout": 2, "judge_score": 4.5, …}])["rollout"]    # 2

A rule turns a trace into a sort key, and the trace with the smallest one is taken. To add a rule, write a function and
name it in `RULES`; a column that it reads goes into `COLUMNS`.
"""

from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
"""A kept trace: `COLUMNS`, rollout and judge_score (None without scores)."""

_CLAIMS = ("numbers", "drugs", "quotes")
COLUMNS = (*_CLAIMS, *(f"{kind}_in_note" for kind in _CLAIMS), "giveaways", "repeated", "other_script")


def rank_first(trace: Row) -> tuple[float, ...]:
    """Rank by the rollout's number, as if only one had been asked for."""
    return (trace["rollout"],)


def rank_checks(trace: Row) -> tuple[float, ...]:
    """Rank by what the checks measured: more of what it cites is in the note, fewer faults."""
    cited = sum(trace[kind] for kind in _CLAIMS)
    in_note = sum(trace[f"{kind}_in_note"] for kind in _CLAIMS)
    share = in_note / cited if cited else 0.0  # a trace that cites nothing shows no support
    return (-share, trace["giveaways"], trace["repeated"], trace["other_script"], trace["rollout"])


def rank_best(trace: Row) -> tuple[float, ...]:
    """Rank by the judges' mean score, then by the checks; a trace without a score comes last."""
    return (-(trace["judge_score"] or 0.0), *rank_checks(trace))


RULES: dict[str, Callable[[Row], tuple[float, ...]]] = {
    "best": rank_best,
    "checks": rank_checks,
    "first": rank_first,
}


def choose(rule: str, traces: Iterable[Row]) -> Row:
    """Return the trace that a rule puts first."""
    return min(traces, key=RULES[rule])
