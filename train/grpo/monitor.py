"""Statistics of each GRPO step, and guard rails that stop a hopeless run.

    report = summarize_step(7, answers)                  # answers in groups of one prompt
    guard = GuardRails(recipe); guard.check(report)      # raises HopelessRunError if a share was too high for too long
    StepLog(out).write(report)                           # one line per step in OUT/steps.jsonl

A group whose answers all earn the same teaches nothing; an answer that reached the token limit is truncated; text
that repeats itself earns as much as other text in the paper's ablations, and reads worse. All three are counted.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, TypedDict

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.record_model import Model, parse_model
from deepicd.stage_records import EndValues
from train.config import GrpoRecipe

TOLERANCE = 1e-9  # rewards closer than this are equal
STEPS_FILE = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class AnswerStatistics:
    """What is kept of one answer: never its text."""

    group: str  # identifies the prompt
    reward: float
    parts: Mapping[str, float]
    words: int
    repeated: float  # share of words in sequences of six that occurred before
    is_truncated: bool


class StepReport(Model):
    """The means of one step: a line of steps.jsonl."""

    step: int
    answers: int
    reward: float
    parts: dict[str, float]
    zero_variance: float  # share of groups
    truncated: float  # share of answers
    repeated: float
    words: float

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())
        return (
            f"reward {self.reward:.2f} ({parts}), {self.zero_variance:.0%} of groups without variance,"
            f" {self.truncated:.0%} truncated, {self.repeated:.0%} repeated, {self.words:.0f} words"
        )


def summarize_step(step: int, answers: Sequence[AnswerStatistics]) -> StepReport:
    """Return the means over a step's answers."""
    groups: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        groups[answer.group].append(answer.reward)
    names = sorted({name for answer in answers for name in answer.parts})
    return StepReport(
        step=step,
        answers=len(answers),
        reward=fmean(answer.reward for answer in answers),
        parts={name: fmean(answer.parts.get(name, 0.0) for answer in answers) for name in names},
        zero_variance=fmean(max(rewards) - min(rewards) < TOLERANCE for rewards in groups.values()),
        truncated=fmean(answer.is_truncated for answer in answers),
        repeated=fmean(answer.repeated for answer in answers),
        words=fmean(answer.words for answer in answers),
    )


class RunSummary(TypedDict):
    """The figures of a run at its start and its end, as run.json has them."""

    reward: EndValues
    zero_variance: EndValues
    truncated: EndValues
    repeated: EndValues
    words: EndValues
    parts: dict[str, EndValues]


def summarize_run(steps: Sequence[StepReport]) -> RunSummary:
    """Return the means over the first and the last tenth of the steps."""
    parts = {name: [step.parts.get(name, 0.0) for step in steps] for name in (steps[0].parts if steps else {})}
    return {
        "reward": _measure_ends([step.reward for step in steps]),
        "zero_variance": _measure_ends([step.zero_variance for step in steps]),
        "truncated": _measure_ends([step.truncated for step in steps]),
        "repeated": _measure_ends([step.repeated for step in steps]),
        "words": _measure_ends([step.words for step in steps]),
        "parts": {name: _measure_ends(values) for name, values in parts.items()},
    }


def _measure_ends(values: Sequence[float]) -> EndValues:
    if not values:
        return EndValues(first=None, last=None)
    tenth = max(1, len(values) // 10)
    return EndValues(first=round(fmean(values[:tenth]), 4), last=round(fmean(values[-tenth:]), 4))


class StepLog:
    """OUT/steps.jsonl: one report per step, appended as steps end. A step repeated after a kill counts once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STEPS_FILE

    def write(self, report: StepReport) -> None:
        values = json.loads(json.dumps(report.dump()), parse_float=lambda text: round(float(text), 5))  # noqa: TID251, its own text
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def read(self) -> list[StepReport]:
        """Return the reports in the order of steps: the last one of each step, torn lines left out."""
        lines = (parse_model(StepReport, line, str(self.path)) for line in storage.read_json_lines(self.path))
        reports = {report.step: report for report in lines}
        return [reports[step] for step in sorted(reports)]


class GuardRail(NamedTuple):
    """A limit on one figure of the step reports."""

    limit: str
    """The field of the recipe."""
    description: str
    advice: str


# figure of a step report → its guard rail
GUARD_RAILS = {
    "zero_variance": GuardRail(
        "stop_at_zero_variance",
        "groups whose answers all earn the same",
        "They teach nothing: fine-tune first, raise temperature or rollouts, or reward more parts.",
    ),
    "truncated": GuardRail(
        "stop_at_truncated", "answers that reached max_response", "Raise max_response, or reward shorter answers."
    ),
    "repeated": GuardRail(
        "stop_at_repeated", "repeated words", "Lower the learning rate, or give repetition_weight a value."
    ),
}


class HopelessRunError(DeepicdError):
    """A run that the recipe's guard rails have stopped."""


@dataclass
class GuardRails:
    """The recipe's limits over the steps so far."""

    recipe: GrpoRecipe
    exceeded: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GUARD_RAILS, 0))
    """Steps in a row that exceeded each limit."""

    def check(self, report: StepReport) -> None:
        """Raise HopelessRunError if a share exceeded its limit in `patience` steps in a row."""
        for name, rail in GUARD_RAILS.items():
            limit: float = getattr(self.recipe, rail.limit)
            share: float = getattr(report, name)
            self.exceeded[name] = self.exceeded[name] + 1 if limit < 1 and share > limit else 0
            if self.exceeded[name] >= max(1, self.recipe.patience):
                raise HopelessRunError(
                    f"Stopped at step {report.step}: {rail.description}, {share:.0%}, over {limit:.0%} for"
                    f" {self.exceeded[name]} steps.",
                    f"{rail.advice} To continue anyway: --set {rail.limit}=1 (another recipe, so another folder).",
                )
