"""From answers to metrics.json: what an evaluation says of a run, in numbers.

    {"chapter": {"macro_precision": …, "macro_recall": …, "macro_f1": …, "accuracy": …, "classes": 21, "interval": …},
     "category": …, "full": …, "conventions": …, "chapters": […], "terciles": …, "prefix_depth": …, "answers": …}

Of credentialed rows no count under ten is shown, nor one that others would tell, nor a score that rests on so few (null
instead). The scores of the three levels are exact: a card that shows them withholds what they would tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepicd.answer_form import measure_overlap
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.small_counts import suppress_small
from deepicd.storage import Origin
from train.evaluation.bootstrap import GROUPS, METRICS, MetricVector, compute_intervals, compute_p_values, draw_samples
from train.evaluation.metrics import (
    AVERAGINGS,
    LEVELS,
    Averaging,
    average_classes,
    count_classes,
    score_classes,
    select_classes,
)
from train.evaluation.predictions import NO_ANSWER
from train.evaluation.suppression import AnswerOutcome, suppress_counts, suppress_shares

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class EvaluatedNote:
    """One note with what was answered."""

    note_id: str
    truth: Code
    predicted: Code | None
    problem: str | None
    """Why nothing is predicted; None where something is."""
    text: str | None

    @property
    def overlap(self) -> int:
        return measure_overlap(self.predicted.value, self.truth.value) if self.predicted else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """How rows are measured."""

    averaging: Averaging = "truth"
    vocabulary: set[Code] | None = None
    """The codes of the dataset; None without one."""
    train: Sequence[Code] = ()
    """The codes of its training rows."""
    resamples: int = 1000
    seed: int = 42
    origin: Origin = "mimic"

    def sheet(self, rows: Sequence[EvaluatedNote]) -> MetricVector:
        return MetricVector(
            [row.truth for row in rows],
            [row.predicted for row in rows],
            averaging=self.averaging,
            vocabulary=self.vocabulary,
            train=self.train,
        )


def build_results(
    rows: Sequence[EvaluatedNote], setting: MetricSettings, other: Sequence[EvaluatedNote] = ()
) -> dict[str, Any]:
    """All that metrics.json says. `other`: the same notes as another run has answered them, to compare with."""
    sheets = [setting.sheet(rows), *([setting.sheet(other)] if other else [])]
    sheet = sheets[0]
    drawn = draw_samples(sheets, setting.resamples, setting.seed)
    values = dict(zip(sheet.names, sheet.measure().tolist(), strict=True))
    intervals = dict(zip(sheet.names, compute_intervals(drawn[0], CONFIDENCE), strict=False))  # none without samples
    found: dict[str, Any] = {
        level: {
            **{metric: values[f"{level}.{metric}"] for metric in METRICS},
            "classes": _classes(sheet, level, setting.averaging),
            "interval": {metric: intervals.get(f"{level}.{metric}") for metric in METRICS},
        }
        for level in LEVELS
    }
    found |= {
        "rows": len(rows),
        "origin": setting.origin,
        "averaging": setting.averaging,
        "bootstrap": {"resamples": setting.resamples, "seed": setting.seed, "confidence": CONFIDENCE},
        "conventions": _conventions(sheet, with_vocabulary=setting.vocabulary is not None),
        "chapters": build_chapter_rows(sheet, intervals, setting.origin),
        "terciles": _terciles(sheet, values, intervals, setting.origin) if setting.train else None,
        **_answers(rows, sheet, setting.origin),
    }
    if other:
        theirs = sheets[1].measure()
        apart = compute_intervals(drawn[0] - drawn[1], CONFIDENCE)
        odds = compute_p_values(drawn[0] - drawn[1]).tolist() if setting.resamples else []
        found["comparison"] = {
            name: {
                "ours": values[name],
                "theirs": float(theirs[place]),
                "difference": values[name] - float(theirs[place]),
                "interval": apart[place] if apart else None,
                "p": odds[place] if odds else None,
            }
            for place, name in enumerate(sheet.names)
            if name.split(".")[1] in METRICS
        }
    return found


def _classes(sheet: MetricVector, level: Any, averaging: Averaging) -> int:
    counts = count_classes(sheet.levels[level])
    return int(select_classes(sheet.levels[level], counts, averaging).sum())


def _conventions(sheet: MetricVector, *, with_vocabulary: bool) -> dict[str, Any]:
    """The same means by every convention that can be followed."""
    offered = [name for name in AVERAGINGS if name != "vocabulary" or with_vocabulary]
    counted = {name: count_classes(level) for name, level in sheet.levels.items()}
    return {
        averaging: {
            name: average_classes(score_classes(counted[name]), over := select_classes(level, counted[name], averaging))
            | {"classes": int(over.sum())}
            for name, level in sheet.levels.items()
        }
        for averaging in offered
    }


def build_chapter_rows(sheet: MetricVector, intervals: Mapping[str, Any], origin: Origin) -> list[dict[str, Any]]:
    """A row a chapter of the tabular list."""
    truth = sheet.levels["chapter"].truth  # the classes of this level are the chapters, in their order
    counts = count_classes(sheet.levels["chapter"])
    found = score_classes(counts)
    number = {chapter.number: int(counts.true[place]) for place, chapter in enumerate(CHAPTERS)}
    shown = suppress_small(number) if origin == "mimic" else dict(number)
    right = {name: np.bincount(truth[level.hit], minlength=len(CHAPTERS)) for name, level in sheet.levels.items()}
    part = {
        name: suppress_shares(dict(zip(number, hits.tolist(), strict=False)), shown, everything=origin != "mimic")
        for name, hits in right.items()
    }
    table = []
    for place, chapter in enumerate(CHAPTERS):
        recall = part["chapter"][chapter.number]
        told = recall is not None
        table.append(
            {
                "chapter": chapter.number,
                "roman": chapter.roman,
                "title": chapter.title,
                "samples": shown[chapter.number],
                "precision": float(found.precision[place]) if told else None,
                "recall": recall,
                "f1": float(found.f1[place]) if told else None,
                "f1_interval": intervals.get(f"chapter.{chapter.number:02d}.f1") if told else None,
                "category_accuracy": part["category"][chapter.number],
                "full_accuracy": part["full"][chapter.number],
            }
        )
    return table


def _terciles(
    sheet: MetricVector, values: Mapping[str, float], intervals: Mapping[str, Any], origin: Origin
) -> dict[str, Any]:
    """Head, middle and tail of the training rows, at category and full code."""
    found: dict[str, Any] = {}
    for level, groups in sheet.groups.items():
        counts = count_classes(sheet.levels[level])
        true = counts.true
        number = {name: int(true[members].sum()) for name, members in groups.items()}
        right = {name: int(counts.right[members].sum()) for name, members in groups.items()}
        shown = suppress_small(number) if origin == "mimic" else dict(number)
        told = suppress_shares(right, shown, everything=origin != "mimic")
        found[level] = {
            name: {
                "samples": shown[name],
                "classes": int((true[groups[name]] > 0).sum()),
                "macro_f1": values[f"{level}.{name}.macro_f1"] if told[name] is not None else None,
                "f1_interval": intervals.get(f"{level}.{name}.macro_f1") if told[name] is not None else None,
                "accuracy": told[name],
            }
            for name in GROUPS
        }
    return found


def _answers(rows: Sequence[EvaluatedNote], sheet: MetricVector, origin: Origin) -> dict[str, Any]:
    """What became of the answers: how many predict a code, why others do not, how many codes are NIL; and how many
    characters predictions share with the truth, and how large a part of it that is."""
    nil = [sheet.levels[level].predicted == len(sheet.levels[level].classes) for level in LEVELS]
    known = (~np.logical_or.accumulate(nil)).sum(axis=0).tolist()
    answers = [AnswerOutcome(row.problem, level, row.overlap) for row, level in zip(rows, known, strict=True)]
    problems = sorted({NO_ANSWER, *(row.problem for row in rows if row.problem)})
    shown = suppress_counts(answers, problems, LEVELS, everything=origin != "mimic")
    depths = shown.under("depth")
    told = None not in depths.values()  # a mean is one more equation, from which a withheld depth would follow
    return {
        "prefix_depth": {
            "mean": sum(row.overlap for row in rows) / len(rows) if told else None,
            "mean_share": sum(row.overlap / len(row.truth.value) for row in rows) / len(rows) if told else None,
            "rows": {str(depth): number for depth, number in depths.items()},
        },
        "answers": {
            "predict_a_code": shown["predict"],
            "problems": shown.under("problem"),
            "nil": shown.under("nil"),
        },
    }
