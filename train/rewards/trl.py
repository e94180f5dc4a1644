"""The rewards as TRL's GRPOTrainer calls them: one function for each part that is paid, so that it logs each.

    trainer = GRPOTrainer(reward_funcs=trl.functions(score.scheme("default")), …)

The dataset's config `grpo` brings the true code (`reward_model`) and the note (`extra_info`) as columns. Weights are in
what the functions return; TRL's own `reward_weights` stay at 1. The sum over the functions is `Reward.total`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepicd.errors import DeepicdError
from train.rewards import score
from train.rewards.score import RewardScheme

Scores = Callable[[Sequence[str], Sequence[str]], list[int | None]]
"""Notes and answers to a judge's scores of 1 to 5; train.rewards.judge has one."""
Function = Callable[..., list[float | None]]


def build_reward_functions(scheme: RewardScheme, judge: Scores | None = None) -> list[Function]:
    """Reward functions for `reward_funcs`, named after their parts; those of weight 0 are left out."""
    if scheme.judge and judge is None:
        raise DeepicdError("The rewards have a weight for a judge, but there is none.", "Name one, or put judge: 0.")
    made = [_part(name, scheme) for name in ("form", "outcome", "length", "repetition") if getattr(scheme, name)]
    if scheme.judge and judge is not None:
        made.append(_judged(scheme, judge))
    if not made:
        raise DeepicdError("The rewards pay for nothing: every weight is 0.", "Give one part a weight.")
    return made


def extract_texts(completions: Sequence[Any]) -> list[str]:
    """Answers as TRL hands them over: each a list of messages, or plain text.

    >>> extract_texts([[{"role": "assistant", "content": "a"}], "b", []])
    ['a', 'b', '']
    """
    return [_text(one) for one in completions]


def _text(one: Any) -> str:
    if isinstance(one, str):
        return one
    last = one[-1] if isinstance(one, Sequence) and one else one
    content = last.get("content") if isinstance(last, Mapping) else None
    return content if isinstance(content, str) else ""


def _part(name: str, scheme: RewardScheme) -> Function:
    def paid(completions: Sequence[Any], reward_model: Sequence[Mapping[str, Any]], **_: Any) -> list[float | None]:
        truths = [entry["ground_truth"] for entry in reward_model]
        return [getattr(reward, name) for reward in score.score(extract_texts(completions), truths, scheme)]

    paid.__name__ = name
    return paid


def _judged(scheme: RewardScheme, judge: Scores) -> Function:
    """An answer without a trace gets None, which TRL leaves out; one that the judge gave no score the neutral one."""

    def judged(
        completions: Sequence[Any],
        reward_model: Sequence[Mapping[str, Any]],
        extra_info: Sequence[Mapping[str, Any]],
        **_: Any,
    ) -> list[float | None]:
        answers, truths = extract_texts(completions), [entry["ground_truth"] for entry in reward_model]
        given = judge([entry["note"] for entry in extra_info], [scheme.opening + text for text in answers])
        return [reward.judge for reward in score.score(answers, truths, scheme, judged=given)]

    judged.__name__ = "judge"
    return judged
