"""Measure the reasoning of answers, not their codes alone: what the clinicians of DeepICD-R1 complained of.

    measures = measure_traces(answers, opening="")            # one per answer with a trace
    summarize(measures, show_all=False)                       # Reasoning(overall=…, chapters={'9': …})

named early     the predicted code, its title or its category's stands in the first half of the trace: it closed early
weighing        sentences with "less likely", "rather than", "would bring", …, and traces without any
grounded        share of numbers, drugs and quotations that the note has (deepicd.trace_measures)
invented vitals traces with a vital sign with a value that the note does not have for it
repeated        share of words in runs of six that occurred before

Grounding needs the notes, so a dataset. Chapters are those of the true code. Figures of credentialed traces that rest
on fewer than ten patients, or from which such a one would follow, are None. Every figure is a ratio of two sums over
traces, and its interval leaves out one patient at a time (train.evaluation.intervals).
"""

import multiprocessing
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from deepicd.answer_form import measure_repetition
from deepicd.evaluation_metrics import Interval, Reasoning, ReasoningMetrics
from deepicd.icd10cm import Code
from deepicd.small_counts import is_small
from deepicd.trace_measures import Grounding, Share, count_weighing, find_first_mention, measure_grounding
from train.evaluation.intervals import FEWEST_NOTES, estimate_interval, estimate_mean, measure_ratio, number_patients
from train.evaluation.metrics import Indices, Numbers
from train.evaluation.predictions import EvaluatedNote
from train.evaluation.reading import extract_trace

EARLY = 0.5  # of the trace
IN_PROCESS = 500  # traces; more are measured by several processes
CHUNK = 64  # traces that a process is given at once
AHEAD = 4  # chunks per process that are in memory
GROUNDED = ("numbers", "drugs", "quotations")
INVENTED = "invented_vitals"


@dataclass(frozen=True, slots=True)
class TraceToMeasure:
    """A trace with what it is measured against."""

    note_id: str
    chapter: int
    trace: str
    predicted: Code | None
    note: str | None


@dataclass(frozen=True, slots=True)
class TraceMeasures:
    """What is in one trace."""

    note_id: str
    chapter: int
    """Of the true code."""
    words: int
    named_at: float | None
    """Where the predicted code or its title first stands; None for nowhere."""
    weighing: int
    repeated: float
    grounded: Mapping[str, Share]
    """By GROUNDED; empty without the note."""
    invented_vitals: int


MEANS: Mapping[str, Callable[[TraceMeasures], float]] = {
    "words": lambda one: one.words,
    "weighing": lambda one: one.weighing,
    "repeated": lambda one: one.repeated,
}
SHARES: Mapping[str, Callable[[TraceMeasures], bool]] = {
    "named": lambda one: one.named_at is not None,
    "named_early": lambda one: one.named_at is not None and one.named_at < EARLY,
    "without_weighing": lambda one: one.weighing == 0,
    INVENTED: lambda one: one.invented_vitals > 0,
}
"""Of traces."""
Sides = tuple[set[int], set[int], set[int], set[int]]
"""Patients with traces that a figure is of, with a part of it, with a rest of it, and with what follows otherwise."""


def measure_traces(answers: Iterable[tuple[EvaluatedNote, str | None]], opening: str) -> list[TraceMeasures]:
    """Return the measures of every answer that has a trace. `answers`: each with its admission note, if it is known."""
    traces = (
        TraceToMeasure(note.note_id, note.truth.chapter.number, trace, note.predicted, text)
        for note, text in answers
        if note.text is not None and (trace := extract_trace(note.text.read(), opening))
    )
    first = list(islice(traces, IN_PROCESS))
    if (further := next(traces, None)) is None:
        return measure_chunk(first)
    return list(_measure_in_processes(chain(first, [further], traces)))


def _measure_in_processes(traces: Iterator[TraceToMeasure]) -> Iterator[TraceMeasures]:
    """Yield the measures of traces in their order; a few chunks of them are in memory at once."""
    pending: deque[Future[list[TraceMeasures]]] = deque()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:  # an engine may have threads
        while chunk := list(islice(traces, CHUNK)):
            pending.append(pool.submit(measure_chunk, chunk))
            if len(pending) > AHEAD * (os.cpu_count() or 1):
                yield from pending.popleft().result()
        for future in pending:
            yield from future.result()


def measure_chunk(traces: Sequence[TraceToMeasure]) -> list[TraceMeasures]:
    return [measure_trace(trace) for trace in traces]


def measure_trace(item: TraceToMeasure) -> TraceMeasures:
    """Return what is in one trace."""
    words = item.trace.split()
    grounding = measure_grounding(item.trace, item.note) if item.note is not None else None
    titles = [title for code in _list_names(item.predicted) if (title := code.title)]
    return TraceMeasures(
        note_id=item.note_id,
        chapter=item.chapter,
        words=len(words),
        named_at=find_first_mention(item.trace, item.predicted, titles, item.note or "") if item.predicted else None,
        weighing=count_weighing(item.trace),
        repeated=measure_repetition(words),
        grounded=_list_shares(grounding) if grounding is not None else {},
        invented_vitals=grounding.invented_vitals if grounding is not None else 0,
    )


def _list_names(code: Code | None) -> list[Code]:
    return [] if code is None else list(dict.fromkeys((code, Code(code.category))))


def _list_shares(grounding: Grounding) -> dict[str, Share]:
    return dict(zip(GROUNDED, (grounding.numbers, grounding.drugs, grounding.quotes), strict=True))


def summarize(measures: Sequence[TraceMeasures], *, show_all: bool) -> Reasoning | None:
    """Return the means of all traces and of each chapter's; None without traces."""
    if not measures:
        return None
    by_chapter: dict[int, list[TraceMeasures]] = defaultdict(list)
    for measured in measures:
        by_chapter[measured.chapter].append(measured)
    chapters = _summarize_groups({number: by_chapter[number] for number in sorted(by_chapter)}, show_all=show_all)
    return Reasoning(
        overall=_summarize_groups({0: measures}, show_all=show_all)[0],
        chapters={str(number): row for number, row in chapters.items()},
    )


def _summarize_groups(groups: Mapping[int, Sequence[TraceMeasures]], *, show_all: bool) -> dict[int, ReasoningMetrics]:
    ratios = {number: measure_ratios(group) for number, group in groups.items()}
    if not show_all:
        shown = _choose_shown(groups)
        ratios = {
            number: {name: ratio for name, ratio in of_group.items() if number in shown[name]}
            for number, of_group in ratios.items()
        }
    return {
        number: ReasoningMetrics(
            traces=len(group) if "words" in ratios[number] else None,
            **{name: _get_value(ratios[number], name) for name in (*MEANS, *SHARES) if name != INVENTED},
            grounded={
                name: _get_value(ratios[number], f"grounded.{name}")
                for name in GROUNDED
                if "words" in ratios[number] and any(one.grounded for one in group)
            },
            invented_vitals=_get_value(ratios[number], INVENTED) if any(one.grounded for one in group) else None,
            interval={name: ratio.interval for name, ratio in ratios[number].items() if ratio.interval},
        )
        for number, group in groups.items()
    }


def _choose_shown(groups: Mapping[int, Sequence[TraceMeasures]]) -> dict[str, set[int]]:
    """Return the groups of traces of which each figure may be shown."""
    measures = [(number, one) for number, group in groups.items() for one in group]
    patients = number_patients([one.note_id for _, one in measures]).tolist()
    sides: dict[str, dict[int, Sides]] = {}
    for name, part in _list_parts(has_notes=True).items():
        sides[name] = {number: (set(), set(), set(), set()) for number in groups}
        for (number, one), patient in zip(measures, patients, strict=True):
            some, whole = part(one)
            late = name == "named_early" and one.named_at is not None and not some  # follows from `named`
            lacks = not some if name in MEANS else some < whole
            for side, holds in zip(sides[name][number], (whole, whole and some, whole and lacks, late), strict=True):
                if holds:
                    side.add(patient)
    enough = choose_groups(sides["words"], groups)
    return {name: choose_groups(of_groups, enough) for name, of_groups in sides.items()}


def choose_groups(groups: Mapping[int, Sides], among: Iterable[int]) -> set[int]:
    """Return those of `among` of which a figure may be shown: on each side stands nobody, or ten patients or more.

    That of all groups is known. So if one is withheld, the smallest of the others is withheld too, until the withheld
    ones are several and no side of them together is small.

    >>> many, none = set(range(100)), set()
    >>> choose_groups({1: (many, many, {1}, none), 2: (many, none, many, none), 3: (many, many, many, none)}, [1, 2, 3])
    {3}
    """
    filled = {number for number, sides in groups.items() if sides[0]}
    shown = {number for number in among if not any(is_small(len(side)) for side in groups[number])}
    while hidden := filled - shown:
        small = [
            place
            for place, side in enumerate(zip(*(groups[number] for number in hidden), strict=True))
            if is_small(len(set().union(*side)))
        ]
        others = sorted(
            filled & shown,
            key=lambda number: (not any(groups[number][place] for place in small), len(groups[number][0]), number),
        )
        if not others or (len(hidden) > 1 and not small):
            break
        shown.discard(others[0])
    return shown


class Ratio(NamedTuple):
    value: float | None
    """None where there is nothing to count."""
    interval: Interval | None


def _get_value(ratios: Mapping[str, Ratio], name: str) -> float | None:
    return ratios[name].value if name in ratios else None


def measure_ratios(group: Sequence[TraceMeasures]) -> dict[str, Ratio]:
    """Return every figure of these traces with its interval; those that need notes only for traces with notes."""
    patients = number_patients([one.note_id for one in group])
    return {
        name: _measure_ratio(np.array([part(one) for one in group], float), patients, name in MEANS)
        for name, part in _list_parts(has_notes=any(one.grounded for one in group)).items()
    }


def _list_parts(*, has_notes: bool) -> dict[str, Callable[[TraceMeasures], Sequence[float]]]:
    """Return for each figure a function that gives part and whole of a trace."""
    parts: dict[str, Callable[[TraceMeasures], Sequence[float]]] = {
        name: partial(_count_one, value) for name, value in (*MEANS.items(), *SHARES.items())
    }
    return parts | {f"grounded.{name}": partial(_get_share, name) for name in GROUNDED if has_notes}


def _count_one(value: Callable[[TraceMeasures], float], one: TraceMeasures) -> Sequence[float]:
    """Return a figure of a trace as part of one."""
    return value(one), 1.0


def _get_share(name: str, one: TraceMeasures) -> Sequence[float]:
    return one.grounded.get(name, Share(0, 0))


def _measure_ratio(pairs: Numbers, patients: Indices, is_mean: bool) -> Ratio:
    """Return sum of parts / sum of wholes; `pairs` has a row (part, whole) per trace.

    No interval covers where fewer than three traces have any part, or, in a share, lack any.
    """
    part, whole = pairs[:, 0], pairs[:, 1]
    if not whole.any():
        return Ratio(None, None)
    value, spread = measure_ratio(part, whole, patients)
    lacking = (part < whole).sum() if not is_mean else len(pairs)
    if min((part > 0).sum(), lacking) < FEWEST_NOTES:
        return Ratio(value, None)
    return Ratio(value, (estimate_mean if is_mean else estimate_interval)(value, spread))
