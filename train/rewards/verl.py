"""The rewards as verl calls them: one answer at a time, a dict with `score` and its parts back.

    reward.custom_reward_function.path=pkg://train.rewards.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.variant=default

`reward_kwargs` are the fields of a scheme (train.rewards.score.Scheme) and, with `judge_` before them, of a judge
(train.rewards.judge.JudgeRecipe). verl's manager `naive` calls from several threads; scheme and judge are made once a
process. The parts are numbers in every case, as verl's metrics want them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from train.rewards import score
from train.rewards.score import RewardScheme

if TYPE_CHECKING:
    from train.rewards.judge import Judge

JUDGE = "judge_"
VERLS_OWN = ("reward_router_address", "reward_model_tokenizer")
"""What verl hands over beside where it runs a reward model itself; no part of a scheme."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, float]:
    """What verl wants of a reward: `score`, and what it is made of. Raises DeepicdError for unknown fields only."""
    scheme, judge = _made(tuple(sorted((name, value) for name, value in fields.items() if name not in VERLS_OWN)))
    given: list[int | None] = [None]
    if judge is not None:
        given = judge.scores([(extra_info or {}).get("note")], [scheme.opening + (solution_str or "")])
    (reward,) = score.score([solution_str], [ground_truth], scheme, judged=given)
    parts = {"score": reward.total, "form": reward.form, "outcome": reward.outcome}
    parts |= {name: getattr(reward, name) for name in ("length", "repetition") if getattr(scheme, name)}
    if scheme.judge:
        parts |= {"judge": reward.judge or 0.0, "judged": float(given[0] is not None)}
    return parts


@lru_cache(maxsize=8)
def _made(fields: tuple[tuple[str, Any], ...]) -> "tuple[RewardScheme, Judge | None]":
    own = {name: value for name, value in fields if not name.startswith(JUDGE)}
    scheme = score.parse_scheme(**own)
    if not scheme.judge:
        return scheme, None
    from train.rewards.judge import open_judge

    return scheme, open_judge({name.removeprefix(JUDGE): value for name, value in fields if name.startswith(JUDGE)})
