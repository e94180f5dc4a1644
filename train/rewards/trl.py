"""The rewards as TRL's GRPOTrainer calls them: one function per part of the reward, so that TRL logs each part.

    trainer = GRPOTrainer(reward_funcs=trl.build_reward_functions(score.parse_scheme("default")), …)

The dataset's config `grpo` supplies the true code (`reward_model`) and the note (`extra_info`) as columns. The
functions apply the scheme's weights themselves; TRL's `reward_weights` stay at 1. The sum over the functions is
`Reward.total`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from deepicd.answer_form import THINK, THINK_END
from deepicd.errors import DeepicdError
from train.rewards import score
from train.rewards.score import RewardScheme

JudgeFunction = Callable[[Sequence[str], Sequence[str]], list[int | None]]
"""Notes and answers to a judge's scores of 1 to 5; train.rewards.judge.Judge is one."""
BorneOutFunction = Callable[[Sequence[str], Sequence[str], Sequence[str]], list[float | None]]
"""Ids of notes, notes and answers to values from −1 to 1; train.rewards.borne_out.BorneOut.score is one."""
PointsFunction = BorneOutFunction
"""The same for points of the stay; train.rewards.points.Points.score is one."""
RewardFunction = Callable[..., list[float | None]]
Completion = str | Sequence[Mapping[str, object]]
"""A plain text, or a list of messages; TRL parses what a tokenizer's response schema describes."""
REASONING = ("reasoning_content", "reasoning", "thinking")
"""Where a parsed message has its reasoning: the names that TRL's schemas use."""


class RewardModel(TypedDict):
    """The dataset's column `reward_model`."""

    ground_truth: str


class ExtraInfo(TypedDict):
    """The dataset's column `extra_info`, as far as rewards read it."""

    note: str
    note_id: str


def build_reward_functions(
    scheme: RewardScheme,
    judge: JudgeFunction | None = None,
    borne_out: BorneOutFunction | None = None,
    points: PointsFunction | None = None,
) -> list[RewardFunction]:
    """Return functions for `reward_funcs`, named after their parts; parts of weight 0 are left out."""
    if scheme.judge and judge is None:
        raise DeepicdError("The rewards give a judge a weight, but no judge was given.", "Name one, or set judge: 0.")
    functions = [
        _build_part(name, scheme) for name in ("form", "outcome", "length", "repetition") if getattr(scheme, name)
    ]
    if scheme.judge and judge is not None:
        functions.append(_build_judge_part(scheme, judge))
    if scheme.borne_out:
        if borne_out is None:
            what = "The rewards pay for what is borne out, but no cohort with outcomes was given."
            raise DeepicdError(what, "Name one, or set borne_out: 0.")
        functions.append(_build_borne_out_part(scheme, borne_out))
    if scheme.points:
        if points is None:
            what = "The rewards pay for points of the stay, but no verification with points was given."
            raise DeepicdError(what, "Name one, or set points: 0.")
        functions.append(_build_points_part(scheme, points))
    if not functions:
        raise DeepicdError("The rewards pay for nothing: every weight is 0.", "Give at least one part a weight.")
    return functions


def extract_texts(completions: Sequence[Completion], opening: str = "") -> list[str]:
    """Return the whole texts of completions as TRL passes them: plain, as messages, or parsed into their parts.

    `opening` is what stood in the prompt: it is left out of a text that was put together here, as of any other.

    >>> extract_texts([[{"role": "assistant", "content": "a"}], "b", []])
    ['a', 'b', '']
    >>> extract_texts([[{"reasoning_content": "Fever.", "content": [{"type": "text", "text": "<diagnosis>A00"}]}]])
    ['<think>\\nFever.\\n</think>\\n<diagnosis>A00']
    """
    texts = [_extract_text(completion) for completion in completions]
    if not opening:
        return texts
    return [text.removeprefix(opening) if text.startswith(opening) else text.removeprefix(THINK) for text in texts]


def _extract_text(completion: Completion) -> str:
    if isinstance(completion, str):
        return completion
    last = completion[-1] if isinstance(completion, Sequence) and completion else completion
    if not isinstance(last, Mapping):
        return ""
    parts = last.get("content")
    content = _join_parts(parts, "text")
    reasoning = next((text for name in REASONING if (text := _join_parts(last.get(name), "text"))), "")
    reasoning = reasoning or "".join(_join_parts(parts, name) for name in REASONING if not isinstance(parts, str))
    if not reasoning or THINK in content:
        return content
    return f"{THINK}\n{reasoning.strip()}" + (f"\n{THINK_END}\n{content.lstrip()}" if content.strip() else "")


def _join_parts(value: object, name: str) -> str:
    """Return a text, or the texts under a name in a list of parts; '' for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return ""
    return "".join(_join_parts(part.get(name), "text") for part in value if isinstance(part, Mapping))


def _build_part(name: str, scheme: RewardScheme) -> RewardFunction:
    def score_part(
        completions: Sequence[Completion], reward_model: Sequence[RewardModel], **_: object
    ) -> list[float | None]:
        truths = [entry["ground_truth"] for entry in reward_model]
        answers = extract_texts(completions, scheme.opening)
        return [getattr(reward, name) for reward in score.score(answers, truths, scheme)]

    score_part.__name__ = name
    return score_part


def _build_judge_part(scheme: RewardScheme, judge: JudgeFunction) -> RewardFunction:
    """Build the judge's part: None, which TRL leaves out, where there is no trace to judge."""

    def score_judge(
        completions: Sequence[Completion],
        reward_model: Sequence[RewardModel],
        extra_info: Sequence[ExtraInfo],
        **_: object,
    ) -> list[float | None]:
        answers, truths = extract_texts(completions, scheme.opening), [entry["ground_truth"] for entry in reward_model]
        judged = judge(
            [entry["note"] for entry in extra_info], [score.complete_answer(text, scheme) for text in answers]
        )
        paid = [reward.judge for reward in score.score(answers, truths, scheme, judged=judged)]
        return _leave_out_unjudged_groups(paid, answers, judged, [entry["note"] for entry in extra_info], scheme)

    score_judge.__name__ = "judge"
    return score_judge


def _build_borne_out_part(scheme: RewardScheme, borne_out: BorneOutFunction) -> RewardFunction:
    def score_borne_out(
        completions: Sequence[Completion], extra_info: Sequence[ExtraInfo], **_: object
    ) -> list[float | None]:
        answers = [score.complete_answer(text, scheme) for text in extract_texts(completions, scheme.opening)]
        ids, notes = [entry["note_id"] for entry in extra_info], [entry["note"] for entry in extra_info]
        return [None if one is None else scheme.borne_out * one for one in borne_out(ids, notes, answers)]

    score_borne_out.__name__ = "borne_out"
    return score_borne_out


def _build_points_part(scheme: RewardScheme, points: PointsFunction) -> RewardFunction:
    def score_points(
        completions: Sequence[Completion], extra_info: Sequence[ExtraInfo], **_: object
    ) -> list[float | None]:
        texts = extract_texts(completions, scheme.opening)
        ids, notes = [entry["note_id"] for entry in extra_info], [entry["note"] for entry in extra_info]
        graded = points(ids, notes, [score.complete_answer(text, scheme) for text in texts])
        paid = [None if one is None else scheme.points * one for one in graded]
        return _leave_out_unjudged_groups(paid, texts, graded, ids, scheme)

    score_points.__name__ = "points"
    return score_points


def _leave_out_unjudged_groups(
    paid: list[float | None],
    answers: Sequence[str],
    judged: Sequence[float | None],
    notes: Sequence[str],
    scheme: RewardScheme,
) -> list[float | None]:
    """Leave a judge out for all answers to a note of which one has a trace and got no score.

    Answers to one note are compared with each other: one that the judge missed would neither earn nor lose by it.
    """
    missed = {
        note
        for note, answer, judge_score in zip(notes, answers, judged, strict=True)
        if judge_score is None and score.has_trace(answer, scheme)
    }
    return [None if note in missed else reward for note, reward in zip(notes, paid, strict=True)]
