"""The one module to import where deepicd is a library: codes, sections of notes, guidelines, rewards, scores, evidence.

    from deepicd import api

    api.Code.parse("I50.21").chapter.roman                                       # 'IX'
    api.admission_note(discharge_note)                                           # what was known at admission
    api.guidelines("out/guidelines", "E11.65", max_tokens=500)                   # the sections that apply
    api.score(["<think>…</think><diagnosis>I5023</diagnosis>"], ["I50.21"])[0].total
    api.evaluate(["I5023", None], ["I5021", "J189"])["category"].accuracy        # 0.5
    api.evidence(trace, note)[0].kind                                            # 'supported'
    api.load("out/demo/dataset", "sft", split="train")

It works in a folder that has a `train.py` or a `cards.py` of its own (see deepicd.own_packages). Everything else of
deepicd may change from one version to the next; what stands here changes with a line in the changelog.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import Averaging, Interval, LevelName
from deepicd.evidence import Evidence
from deepicd.evidence import find_evidence as evidence
from deepicd.icd10cm import Code
from deepicd.knowledge.guideline_sections import choose_passages, join_passages, read_sections
from deepicd.own_packages import prefer_own_packages

if TYPE_CHECKING:
    from train.rewards.score import Reward

__all__ = [
    "Code",
    "DeepicdError",
    "Evidence",
    "Scores",
    "admission_note",
    "evaluate",
    "evidence",
    "guidelines",
    "load",
    "score",
    "sections",
]


def sections(note: str) -> list[tuple[str, str]]:
    """Return the sections of a discharge note as (name, text) in its own order, named as in MIMIC's template.

    Headers that the template does not know end the section before them and have no section here.
    """
    with prefer_own_packages():
        from builders.cohort.sections import split_sections

        return split_sections(note)


def admission_note(note: str) -> str:
    """Return what a discharge note says of the time of admission, each section under its header; '' for nothing."""
    with prefer_own_packages():
        from builders.cohort.sections import extract_admission_note

        return extract_admission_note(note)


def guidelines(folder: str | Path, code: str | Code, *, max_tokens: int = 1024) -> str:
    """Return the sections of the coding guidelines that apply to a code, most specific first.

    `folder` is what `deepicd guidelines` wrote. Tokens are estimated. Raises DeepicdError.
    """
    tables = sorted(Path(folder).rglob("sections.parquet"))
    if len(tables) != 1:
        raise DeepicdError(
            f"{folder} has {len(tables)} files sections.parquet, one was expected.",
            "Name the folder that `deepicd guidelines PDF OUT` wrote, of one year.",
        )
    parsed = code if isinstance(code, Code) else Code.parse(code)
    return join_passages(choose_passages(read_sections(tables[0]), parsed, max_tokens=max_tokens))


def score(
    answers: Sequence[str | None], truths: Sequence[str], *, variant: str = "default", **fields: Any
) -> "list[Reward]":
    """Return the reward of each answer against its true code, dotted or not: form, outcome, …, and their `total`.

    `variant`: default, paper or authors. `fields`: weights such as length=1.0. Raises DeepicdError for a wrong name,
    for a truth that is no code, and for rows of different number.
    """
    _check_rows(answers, truths)
    for truth in truths:
        Code.parse(truth)
    with prefer_own_packages():
        from train.rewards.score import parse_scheme
        from train.rewards.score import score as score_answers

        return score_answers(answers, truths, parse_scheme(variant, **fields))


def _check_rows(answers: Sequence[str | None], truths: Sequence[str]) -> None:
    if isinstance(answers, str) or isinstance(truths, str):
        raise DeepicdError("A text was given where a list of texts is expected.", "Put it into a list: [text].")
    if len(answers) != len(truths) or not truths:
        raise DeepicdError(
            f"There are {len(answers):,} answers for {len(truths):,} true codes.",
            "Give one answer, or None, for each of at least one true code.",
        )
    if wrong := [answer for answer in answers if not (answer is None or isinstance(answer, str))]:
        raise DeepicdError(f"An answer is of type {type(wrong[0]).__name__}.", "Answers are texts, or None.")


@dataclass(frozen=True, slots=True)
class Scores:
    """Macro means over classes, and accuracy, at one level of the code."""

    macro_precision: float
    macro_recall: float
    macro_f1: float
    accuracy: float
    intervals: dict[str, Interval]
    """Name of a score → its 95 % interval; absent where none covers, as for few right or few wrong codes."""


def evaluate(
    predicted: Sequence[str | None], truths: Sequence[str], *, averaging: Averaging = "truth"
) -> dict[LevelName, Scores]:
    """Return the paper's scores of predicted codes at 'chapter', 'category' and 'full'.

    None, or what is no code, is a wrong prediction. Each row counts as a patient of its own; `deepicd evaluate` knows
    better. Raises DeepicdError for a truth that is no code, for no rows and for rows of different number.
    """
    _check_rows(predicted, truths)
    if averaging not in get_args(Averaging):
        raise DeepicdError(f"There is no averaging {averaging!r}.", f"One of: {', '.join(get_args(Averaging))}.")
    with prefer_own_packages():
        from train.evaluation.metric_vector import METRICS, MetricVector
        from train.evaluation.metrics import LEVELS

        codes = [None if text is None else Code.find(text) for text in predicted]
        vector = MetricVector.build([Code.parse(text) for text in truths], codes, averaging=averaging)
        intervals, _ = vector.estimate_intervals()
        return {
            level: Scores(
                **{metric: vector.values[f"{level}.{metric}"] for metric in METRICS},
                intervals={metric: intervals[name] for metric in METRICS if (name := f"{level}.{metric}") in intervals},
            )
            for level in LEVELS
        }


def load(path: str | Path, config: str = "traces", *, split: str | None = None, streaming: bool = False) -> Any:
    """Return a config of a dataset folder, or of a repository on the Hub, as `datasets.load_dataset` does."""
    from datasets import load_dataset

    return load_dataset(str(path), config, split=split, streaming=streaming)
