"""Measure the reasoning of answers, not their codes alone: what the clinicians of DeepICD-R1 complained of.

    measures = measure_traces(notes, texts, opening="")       # one per answer with a trace
    summarize(measures, show_all=False)                       # Reasoning(overall=…, chapters={'9': …})

named early     the predicted code, its title or its category's stands in the first half of the trace: it closed early
weighing        sentences with "less likely", "rather than", "would bring", …, and traces without any
grounded        share of numbers, drugs and quotations that the note has (deepicd.grounding)
invented vitals traces with a vital sign with a value that the note does not have for it
repeated        share of words in runs of six that occurred before

Grounding needs the notes, so a dataset. Chapters are those of the true code. Shares of credentialed traces that would
reveal a small group are None.
"""

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from deepicd.answer_form import measure_repetition
from deepicd.evaluation_metrics import Reasoning, ReasoningMetrics
from deepicd.grounding import Grounding, Share, measure_grounding
from deepicd.icd10cm import Code
from deepicd.small_counts import suppress_small
from deepicd.trace_measures import count_weighing, find_first_mention
from train.evaluation.predictions import EvaluatedNote
from train.evaluation.reading import extract_trace
from train.evaluation.suppression import suppress_shares

EARLY = 0.5  # of the trace
IN_PROCESS = 500  # traces; more are measured by several processes
GROUNDED = ("numbers", "drugs", "quotations")


@dataclass(frozen=True, slots=True)
class TraceToMeasure:
    """A trace with what it is measured against."""

    chapter: int
    trace: str
    predicted: Code | None
    note: str | None


@dataclass(frozen=True, slots=True)
class TraceMeasures:
    """What is in one trace."""

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


def measure_traces(notes: Sequence[EvaluatedNote], texts: Mapping[str, str], opening: str) -> list[TraceMeasures]:
    """Return the measures of every answer that has a trace. `texts`: note_id → admission note, where it is known."""
    traces = [
        TraceToMeasure(note.truth.chapter.number, trace, note.predicted, texts.get(note.note_id))
        for note in notes
        if note.text is not None and (trace := extract_trace(note.text, opening))
    ]
    if len(traces) <= IN_PROCESS:
        return [measure_trace(trace) for trace in traces]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:  # an engine may have threads
        return list(pool.map(measure_trace, traces, chunksize=64))


def measure_trace(item: TraceToMeasure) -> TraceMeasures:
    """Return what is in one trace."""
    words = item.trace.split()
    grounding = measure_grounding(item.trace, item.note) if item.note is not None else None
    titles = [title for code in _list_names(item.predicted) if (title := code.title)]
    return TraceMeasures(
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
    sizes = {number: len(group) for number, group in groups.items()}
    shown: dict[int, int | None] = dict(sizes) if show_all else suppress_small(sizes)

    def share(holds: Callable[[TraceMeasures], bool]) -> dict[int, float | None]:
        return suppress_shares({n: sum(map(holds, group)) for n, group in groups.items()}, shown, show_all=show_all)

    early = share(lambda one: one.named_at is not None and one.named_at < EARLY)
    named = share(lambda one: one.named_at is not None)
    unweighed = share(lambda one: one.weighing == 0)
    invented = share(lambda one: one.invented_vitals > 0)
    return {
        number: ReasoningMetrics(
            traces=shown[number],
            words=_average(group, lambda one: one.words) if shown[number] is not None else None,
            named=named[number],
            named_early=early[number],
            weighing=_average(group, lambda one: one.weighing) if shown[number] is not None else None,
            without_weighing=unweighed[number],
            repeated=_average(group, lambda one: one.repeated) if shown[number] is not None else None,
            grounded=_ground(group) if shown[number] is not None else {},
            invented_vitals=invented[number] if any(one.grounded for one in group) else None,
        )
        for number, group in groups.items()
    }


def _average(group: Sequence[TraceMeasures], value: Callable[[TraceMeasures], float]) -> float:
    return fmean(map(value, group))


def _ground(group: Sequence[TraceMeasures]) -> dict[str, float | None]:
    """Return the share of all items of the traces that their notes have; empty without the notes."""
    if not any(one.grounded for one in group):
        return {}
    sums = {
        name: [sum(one.grounded[name][place] for one in group if one.grounded) for place in (0, 1)] for name in GROUNDED
    }
    return {name: supported / total if total else None for name, (supported, total) in sums.items()}
