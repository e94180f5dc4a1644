"""Guard rails: what a step's report says, and when a run is stopped."""

from pathlib import Path

import pytest

from train import config
from train.grpo.monitor import AnswerStatistics, GuardRails, HopelessRunError, StepLog, summarize_run, summarize_step


def answer(group: str, reward: float, **fields: object) -> AnswerStatistics:
    known: dict[str, object] = {"parts": {"form": reward}, "words": 10, "repeated": 0.0, "is_truncated": False}
    return AnswerStatistics(group, reward, **known | fields)  # type: ignore[arg-type]


def test_a_step_is_told_in_shares() -> None:
    answers = [
        answer("1", 1.0),
        answer("1", 1.0),
        answer("2", 0.0, is_truncated=True, repeated=0.5),
        answer("2", 2.0, words=30),
    ]
    report = summarize_step(3, answers)
    assert (report.step, report.answers, report.reward) == (3, 4, 1.0)
    assert (report.zero_variance, report.truncated, report.repeated, report.words) == (0.5, 0.25, 0.125, 15)
    assert report.parts == {"form": 1.0}


def test_a_run_is_stopped_after_so_many_hopeless_steps_in_a_row_and_not_before() -> None:
    guard = GuardRails(config.load_grpo_recipe(Path("tiny-grpo"), stop_at_zero_variance=0.9, patience=3))
    alike, apart = [answer("1", 0.0), answer("1", 0.0)], [answer("1", 0.0), answer("1", 1.0)]
    for step, answers in enumerate([alike, alike, apart, alike, alike], start=1):
        guard.check(summarize_step(step, answers))
    with pytest.raises(
        HopelessRunError, match=r"Stopped at step 6: groups whose answers all earn the same, 100%, over 90%"
    ):
        guard.check(summarize_step(6, alike))


def test_by_default_nothing_stops_a_run() -> None:
    guard = GuardRails(config.load_grpo_recipe(Path("tiny-grpo"), patience=1))
    for step in range(30):
        guard.check(summarize_step(step, [answer("1", 0.0, is_truncated=True, repeated=1.0)]))


def test_a_step_done_twice_counts_once_and_a_torn_line_not_at_all(tmp_path: Path) -> None:
    log = StepLog(tmp_path)
    for step, reward in ((1, 0.0), (2, 1.0), (2, 3.0)):
        log.write(summarize_step(step, [answer("1", reward)]))
    with log.path.open("a") as file:
        file.write('{"step": 3, "rew')
    assert [(one.step, one.reward) for one in log.read()] == [(1, 0.0), (2, 3.0)]
    assert summarize_run(log.read())["reward"].model_dump() == {"first": 0.0, "last": 3.0}
