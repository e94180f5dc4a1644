"""What each step of GRPO looks like, and when a run is hopeless.

    report = step_report(7, answers, rollouts=8)        # answers in groups of one prompt
    guard = Guard(recipe); guard.look(report)           # raises Hopeless once a share was too high for too long

A group whose answers all earn the same teaches nothing; an answer that ran into the limit was cut; a text that repeats
itself earns, in the paper's ablations, as much as one that does not, and reads worse. All three are counted each step,
and a line a step goes to OUT/steps.jsonl.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from deepicd.errors import DeepicdError
from train.config import GrpoRecipe

SAME = 1e-9  # rewards nearer than that are equal


@dataclass(frozen=True, slots=True)
class AnswerStatistics:
    """What is known of one answer: never its text."""

    group: str  # which prompt it answers
    reward: float
    parts: Mapping[str, float]
    words: int
    repeated: float  # share of words in runs of six that stood before
    cut: bool


@dataclass(frozen=True, slots=True)
class StepReport:
    step: int
    answers: int
    reward: float
    parts: dict[str, float]
    zero_variance: float  # share of groups
    truncated: float  # share of answers
    repeated: float
    words: float

    @property
    def record(self) -> dict[str, Any]:
        return {name: _rounded(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())
        return (
            f"reward {self.reward:.2f} ({parts}), {self.zero_variance:.0%} of groups alike, {self.truncated:.0%} cut,"
            f" {self.repeated:.0%} repeated, {self.words:.0f} words"
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def summarize_step(step: int, answers: Sequence[AnswerStatistics]) -> StepReport:
    """A step's answers in one line."""
    groups: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        groups[answer.group].append(answer.reward)
    alike = [max(rewards) - min(rewards) < SAME for rewards in groups.values()]
    names = sorted({name for answer in answers for name in answer.parts})
    return StepReport(
        step,
        len(answers),
        fmean(answer.reward for answer in answers),
        {name: fmean(answer.parts.get(name, 0.0) for answer in answers) for name in names},
        zero_variance=fmean(alike),
        truncated=fmean(answer.cut for answer in answers),
        repeated=fmean(answer.repeated for answer in answers),
        words=fmean(answer.words for answer in answers),
    )


# part of a report → its threshold in the recipe, and what to say
RAILS: dict[str, tuple[str, str, str]] = {
    "zero_variance": (
        "stop_at_zero_variance",
        "groups whose answers all earn the same",
        "There is nothing to learn from them: fine-tune first, raise temperature or rollouts, or pay for more.",
    ),
    "truncated": ("stop_at_truncated", "answers that ran into max_response", "Raise it, or pay for shorter answers."),
    "repeated": ("stop_at_repeated", "words in loops", "Lower the learning rate, or give repetition_weight a value."),
}


def summarize_run(reports: Iterable[StepReport | Mapping[str, Any]]) -> dict[str, Any]:
    """For run.json: reward, form, length at the beginning and at the end, a tenth of the steps each."""
    rows = [one.record if isinstance(one, StepReport) else one for one in reports]
    some = max(1, len(rows) // 10)

    def ends(name: str) -> dict[str, float | None]:
        return {
            "first": round(fmean(row[name] for row in rows[:some]), 4) if rows else None,
            "last": round(fmean(row[name] for row in rows[-some:]), 4) if rows else None,
        }

    names = ("reward", "zero_variance", "truncated", "repeated", "words")
    parts = {name: [row["parts"].get(name, 0.0) for row in rows] for name in (rows[0]["parts"] if rows else {})}
    return {name: ends(name) for name in names} | {
        "parts": {
            name: {"first": round(fmean(values[:some]), 4), "last": round(fmean(values[-some:]), 4)}
            for name, values in parts.items()
        }
    }


class HopelessRunError(DeepicdError):
    """A run that the recipe's guard rails have stopped."""


@dataclass
class GuardRails:
    """The recipe's thresholds over the steps so far."""

    recipe: GrpoRecipe
    over: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RAILS, 0))
    """Steps in a row that were over each threshold."""

    def look(self, report: StepReport) -> None:
        """Raises Hopeless where a share was over its threshold in `patience` steps in a row."""
        for name, (limit, what, advice) in RAILS.items():
            threshold = getattr(self.recipe, limit)
            share = getattr(report, name)
            self.over[name] = self.over[name] + 1 if threshold < 1 and share > threshold else 0
            if self.over[name] >= max(1, self.recipe.patience):
                raise HopelessRunError(
                    f"Stopped at step {report.step}: {what}, {share:.0%}, over {threshold:.0%} for"
                    f" {self.over[name]} steps.",
                    f"{advice} To go on all the same: --set {limit}=1 (as another recipe, in another folder).",
                )
