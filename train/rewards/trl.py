"""The rewards as TRL's GRPOTrainer calls them: one function per part of the reward, so that TRL logs each part.

    trainer = GRPOTrainer(reward_funcs=trl.build_reward_functions(score.parse_scheme("default")), …)

The dataset's config `grpo` supplies the true code (`reward_model`) and the note (`extra_info`) as columns. The
functions apply the scheme's weights themselves; TRL's `reward_weights` stay at 1. The sum over the functions is
`Reward.total`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from deepicd.errors import DeepicdError
from train.rewards import score
from train.rewards.score import RewardScheme

JudgeFunction = Callable[[Sequence[str], Sequence[str]], list[int | None]]
"""Notes and answers to a judge's scores of 1 to 5; train.rewards.judge.Judge is one."""
RewardFunction = Callable[..., list[float | None]]
Completion = str | Sequence[Mapping[str, str]]
"""A plain text, or a list of messages."""


class RewardModel(TypedDict):
    """The dataset's column `reward_model`."""

    ground_truth: str


class ExtraInfo(TypedDict):
    """The dataset's column `extra_info`, as far as rewards read it."""

    note: str


def build_reward_functions(scheme: RewardScheme, judge: JudgeFunction | None = None) -> list[RewardFunction]:
    """Return functions for `reward_funcs`, named after their parts; parts of weight 0 are left out."""
    if scheme.judge and judge is None:
        raise DeepicdError("The rewards give a judge a weight, but no judge was given.", "Name one, or set judge: 0.")
    functions = [
        _build_part(name, scheme) for name in ("form", "outcome", "length", "repetition") if getattr(scheme, name)
    ]
    if scheme.judge and judge is not None:
        functions.append(_build_judge_part(scheme, judge))
    if not functions:
        raise DeepicdError("The rewards pay for nothing: every weight is 0.", "Give at least one part a weight.")
    return functions


def extract_texts(completions: Sequence[Completion]) -> list[str]:
    """Return the texts of completions as TRL passes them: each a list of messages, or plain text.

    >>> extract_texts([[{"role": "assistant", "content": "a"}], "b", []])
    ['a', 'b', '']
    """
    return [_extract_text(completion) for completion in completions]


def _extract_text(completion: Completion) -> str:
    if isinstance(completion, str):
        return completion
    last = completion[-1] if isinstance(completion, Sequence) and completion else completion
    content = last.get("content") if isinstance(last, Mapping) else None
    return content if isinstance(content, str) else ""


def _build_part(name: str, scheme: RewardScheme) -> RewardFunction:
    def score_part(
        completions: Sequence[Completion], reward_model: Sequence[RewardModel], **_: object
    ) -> list[float | None]:
        truths = [entry["ground_truth"] for entry in reward_model]
        return [getattr(reward, name) for reward in score.score(extract_texts(completions), truths, scheme)]

    score_part.__name__ = name
    return score_part


def _build_judge_part(scheme: RewardScheme, judge: JudgeFunction) -> RewardFunction:
    """Build the judge's part: None, which TRL leaves out, without a trace, and the neutral score without a judgment."""

    def score_judge(
        completions: Sequence[Completion],
        reward_model: Sequence[RewardModel],
        extra_info: Sequence[ExtraInfo],
        **_: object,
    ) -> list[float | None]:
        answers, truths = extract_texts(completions), [entry["ground_truth"] for entry in reward_model]
        judged = judge([entry["note"] for entry in extra_info], [scheme.opening + text for text in answers])
        return [reward.judge for reward in score.score(answers, truths, scheme, judged=judged)]

    score_judge.__name__ = "judge"
    return score_judge
