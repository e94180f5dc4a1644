"""The rewards as verl calls them: one answer at a time, returning a dict with `score` and its parts.

    reward.custom_reward_function.path=pkg://train.rewards.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.variant=default

`reward_kwargs` are the fields of a scheme (train.rewards.score.RewardScheme) and, prefixed with `judge_`, of a judge
(train.rewards.judge_server.JudgeRecipe). With `record=FOLDER` each answer also leaves a line there, so that guard rails
can check every step. verl's manager `naive` calls from several threads; each process builds scheme and judge once. All
parts are numbers, as verl's metrics require.
"""

import atexit
import json
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd.answer_form import measure_repetition
from train.rewards import score
from train.rewards.score import RewardScheme

if TYPE_CHECKING:
    from train.rewards.borne_out import BorneOut
    from train.rewards.judge import Judge
    from train.rewards.points import Points

JUDGE = "judge_"
COHORT = "cohort"
"""The cohort with the sealed outcomes, where the scheme pays for what is borne out."""
VERIFIED = "verified"
"""The output of `deepicd verify` with the points of the stays, where the scheme pays for them."""
PROMPT = "prompt"
VERL_FIELDS = ("reward_router_address", "reward_model_tokenizer")
"""What verl adds to the keyword arguments where it runs a reward model itself; not part of a scheme."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    *,
    record: str | None = None,
    **fields: Any,
) -> dict[str, float]:
    """Return `score` and the parts that it is the sum of. Raises DeepicdError for unknown fields only."""
    scheme, judge, held, points = _build(
        tuple(sorted((name, value) for name, value in fields.items() if name not in VERL_FIELDS))
    )
    answer = score.complete_answer(solution_str or "", scheme)
    judged: list[int | None] = [None]
    paid_for: list[float | None] = [None]
    if judge is not None:
        judged = judge.score([(extra_info or {}).get("note")], [answer])
        # verl shows one answer at a time: one that the judge missed earns what the judged ones have earned on average,
        # so that it neither gains nor loses against the others of its group; `judged` counts it
        paid_for = [judge.mean if judged[0] is None else judged[0]]
    value: list[float | None] = [None]
    if held is not None:
        about = extra_info or {}
        value = held.score([about.get("note_id", "")], [about.get("note", "")], [answer])
    graded, paid_points = _grade(points, extra_info or {}, answer)
    (reward,) = score.score(
        [solution_str], [ground_truth], scheme, judged=paid_for, borne_out=value, points=[paid_points]
    )
    parts = {"score": reward.total, "form": reward.form, "outcome": reward.outcome}
    parts |= {name: getattr(reward, name) for name in ("length", "repetition") if getattr(scheme, name)}
    if scheme.borne_out:
        parts |= {"borne_out": reward.borne_out or 0.0}
    if scheme.points:
        parts |= {"points": reward.points or 0.0, "graded": float(graded is not None)}
    if scheme.judge:
        parts |= {"judge": reward.judge or 0.0, "judged": float(judged[0] is not None)}
    if record is not None:
        _record_answer(Path(record), solution_str or "", int((extra_info or {}).get("index", -1)), parts)
    return parts


@lru_cache(maxsize=8)
def _build(fields: tuple[tuple[str, Any], ...]) -> "tuple[RewardScheme, Judge | None, BorneOut | None, Points | None]":
    own = {name: value for name, value in fields if not name.startswith(JUDGE)}
    of_judge = {name.removeprefix(JUDGE): value for name, value in fields if name.startswith(JUDGE)}
    cohort, verified = own.pop(COHORT, None), own.pop(VERIFIED, None)
    scheme, judge, held, points = score.parse_scheme(**own), None, None, None
    if scheme.judge:
        from train.rewards.judge import open_judge

        judge = open_judge(of_judge)
        atexit.register(judge.close)
    if scheme.borne_out:
        from train.rewards.borne_out import BorneOut

        held = BorneOut(Path(cohort or ""))
    if scheme.points:
        from train.rewards.points import open_points

        points = open_points(of_judge, Path(verified or ""))
        atexit.register(points.close)
    return scheme, judge, held, points


def _grade(points: "Points | None", about: Mapping[str, Any], answer: str) -> tuple[float | None, float | None]:
    """Return what points give an answer, and what is paid for: where the server gave nothing, the mean."""
    if points is None:
        return None, None
    (graded,) = points.score([about.get("note_id", "")], [about.get("note", "")], [answer])
    return graded, points.mean if graded is None and points.can_grade(about.get("note_id", ""), answer) else graded


def _record_answer(folder: Path, text: str, prompt: int, parts: Mapping[str, float]) -> None:
    """Append a line about an answer: the time, the prompt's index in the dataset, its reward, measures of its text.

    Never the text. verl scores in several processes, none of which sees a whole group, so each appends to a file of its
    own, and the run's main process reads them all.
    """
    words = text.split()
    line = {"at": time.time(), PROMPT: prompt, "words": len(words), "repeated": measure_repetition(words), **parts}
    path = folder / f"{os.uname().nodename}-{os.getpid()}.jsonl"
    with path.open("a", encoding="utf-8") as file:  # one write per line, so that threads do not mix theirs
        file.write(json.dumps(line) + "\n")
