"""Measure how often the intervals of an evaluation cover, and how often equal models differ "significantly".

Made-up test sets of 61, 332, 1,865 and 18,654 notes are drawn again and again from one population: the paper's 6,368
codes, real ICD-10-CM codes, with frequencies like Zipf's. Models of several strengths answer them; common codes are
easier, and half of the wrong answers stay in the right chapter. The value to cover is the mean over all test sets.

  rows         share of 95 % intervals that hold it: macro precision, recall, F1 and accuracy at each level; share of
               p < 0.05 between two models of equal strength, with independent and with similar answers; and coverage of
               the difference from a better model. With `repeated`, a patient has up to four notes of one code, and one
               answer suits all or none
  parts        coverage of the F1 of each chapter, and of the macro F1 of head, middle and tail
  lists        the same of the figures of lists of codes; patients with several notes share how well they are answered
  gaps         share of test sets in which the largest gap between five groups that do not differ excludes 0
  reasoning    coverage of the figures about traces: lengths and counts with long tails, patients with several traces

Results stand in benchmarks/results/intervals.json and, as tables, in docs/evaluation.md.
Run: OMP_NUM_THREADS=1 python -m benchmarks.intervals      (a quarter of an hour on two idle cores)
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interval_samples import SKILLS, answer, draw_lists, draw_traces, make_population, make_skill
from benchmarks.measure import RESULTS, write_into_doc
from deepicd.evaluation_metrics import Difference, Interval
from train.evaluation.comparison import compare_runs
from train.evaluation.metric_vector import METRICS, MetricVector
from train.evaluation.metrics import LEVELS
from train.evaluation.reasoning import measure_ratios
from train.evaluation.several import measure_lists
from train.evaluation.subgroups import find_largest_gap

TRIALS = {61: 1200, 332: 1000, 1865: 150, 18_654: 20}
LIST_TRIALS = {61: 500, 332: 100, 1865: 20}
TRACE_TRIALS = {61: 400, 332: 100, 1865: 20}
SWAPS = 99
PART_TRIALS = {61: 300, 332: 200, 1865: 100, 18_654: 20}
LEAST = 0.15  # of the test sets have an interval, or its coverage is not measured
SIMILAR = 0.6  # of the answers are the same in both runs
RESULT = RESULTS / "intervals.json"
GROUP_SHARES = (0.5, 0.2, 0.15, 0.1, 0.05)
DOC = Path(__file__).parents[1] / "docs" / "evaluation.md"
START, END = "<!-- coverage: written by benchmarks.intervals -->", "<!-- end of coverage -->"


@dataclass(frozen=True, slots=True)
class Setting:
    """What one simulation draws. With `repeated`, patients have up to four notes that stand or fall together."""

    rows: int
    skill: str
    repeated: bool = False


def list_settings() -> list[Setting]:
    """Return all simulations."""
    repeated = [Setting(rows, "middling", repeated=True) for rows in (332, 1865)]
    return [*(Setting(rows, skill) for rows in TRIALS for skill in SKILLS), *repeated]


def measure_setting(setting: Setting) -> list[dict[str, Any]]:
    """Return a result per figure: coverage, and false positives of both kinds of pairs."""
    population = make_population()
    rng, skill = np.random.default_rng([setting.rows, setting.repeated]), make_skill(population, setting.skill)
    trials = TRIALS[setting.rows]
    values: dict[str, list[float]] = defaultdict(list)
    intervals: dict[str, list[Interval]] = defaultdict(list)
    p_values: dict[tuple[str, str], list[float]] = defaultdict(list)
    better: dict[str, list[Difference]] = defaultdict(list)
    for _ in range(trials):
        notes = rng.choice([1, 2, 3, 4], setting.rows, p=[0.7, 0.17, 0.08, 0.05] if setting.repeated else [1, 0, 0, 0])
        patients = np.repeat(np.arange(setting.rows), notes)
        truths = population.draw_codes(rng, setting.rows)
        ours, other = (answer(population, rng, truths, skill) for _ in range(2))
        similar = np.where(rng.random(setting.rows) < SIMILAR, ours, other)
        vector = population.build_vector(truths[patients], ours[patients], patients)
        _add_figures(vector, values, intervals)
        runs = {"independent": other, "similar": similar}
        if setting.skill == "weak":
            runs["better"] = answer(population, rng, truths, make_skill(population, "middling"))
        for kind, theirs in runs.items():
            run = population.build_vector(truths[patients], theirs[patients], patients)
            for name, difference in compare_runs(vector, run, SWAPS).items():
                if kind == "better":
                    better[name].append(difference)
                elif difference.p is not None:
                    p_values[kind, name].append(difference.p)
    return [
        {
            **asdict(setting),
            "figure": name,
            "value": round(float(np.mean(found)), 4),
            "printed": round(len(intervals[name]) / trials, 3),
            "coverage": _measure_coverage(intervals[name], float(np.mean(found)), trials),
            **{
                kind: round(sum(p < 0.05 for p in p_values[kind, name]) / len(p_values[kind, name]), 3)
                if len(p_values[kind, name]) >= LEAST * trials
                else None
                for kind in ("independent", "similar")
            },
            **({"difference": _measure_difference(better[name])} if name in better else {}),
        }
        for name, found in values.items()
        if name.split(".")[1] in METRICS
    ]


def _add_figures(vector: MetricVector, values: dict[str, list[float]], intervals: dict[str, list[Interval]]) -> None:
    for figure in vector.figures:
        values[figure.name].append(figure.value)
    for name, ends in vector.estimate_intervals()[0].items():
        intervals[name].append(ends)


def measure_parts(rows: int) -> dict[str, dict[str, float | None]]:
    """Return value, share of test sets with an interval, and coverage, of chapters and thirds of the classes."""
    population, rng, trials = make_population(), np.random.default_rng([rows, 2]), PART_TRIALS[rows]
    skill, patients = make_skill(population, "middling"), np.arange(rows)
    values: dict[str, list[float]] = defaultdict(list)
    intervals: dict[str, list[Interval]] = defaultdict(list)
    for _ in range(trials):
        truths = population.draw_codes(rng, rows)
        vector = population.build_vector(truths, answer(population, rng, truths, skill), patients)
        _add_figures(vector, values, intervals)
    return {
        name: {
            "value": round(float(np.mean(found)), 4),
            "printed": round(len(intervals[name]) / trials, 3),
            "coverage": _measure_coverage(intervals[name], float(np.mean(found)), trials),
        }
        for name, found in values.items()
        if name.split(".")[1] not in METRICS
    }


def _measure_difference(found: Sequence[Difference]) -> float | None:
    """Return the coverage of the difference from a better model."""
    mean = float(np.mean([one.difference for one in found]))
    return _measure_coverage([one.interval for one in found if one.interval], mean, len(found))


def _measure_coverage(intervals: Sequence[Interval], value: float, trials: int) -> float | None:
    """Return the share of intervals that hold the value; None if too few test sets have one."""
    if len(intervals) < LEAST * trials:
        return None
    return round(sum(low <= value <= high for low, high in intervals) / len(intervals), 3)


def measure_lists_of(rows: int) -> dict[str, dict[str, float | None]]:
    """Return coverage, and false positives of two equal models, of each figure of lists."""
    population, rng, trials = make_population(), np.random.default_rng(rows), LIST_TRIALS[rows]
    values: dict[str, list[float]] = defaultdict(list)
    intervals: dict[str, list[Interval]] = defaultdict(list)
    p_values: dict[str, list[float]] = defaultdict(list)
    for _ in range(trials):
        ours, theirs = draw_lists(population, rng, rows)
        found = measure_lists(ours, show_all=True, other=theirs)
        for level, figures in found.levels.items():
            for name, value in figures.means.items():
                values[f"{level}.{name}"].append(value)
                if ends := figures.interval[name]:
                    intervals[f"{level}.{name}"].append(ends)
        for name, difference in (found.comparison or {}).items():
            if difference.p is not None:
                p_values[name].append(difference.p)
    return {
        name: {
            "value": round(float(np.mean(found)), 4),
            "coverage": _measure_coverage(intervals[name], float(np.mean(found)), trials),
            "independent": round(sum(p < 0.05 for p in p_values[name]) / len(p_values[name]), 3),
        }
        for name, found in values.items()
    }


def measure_gaps(trials: int = 500) -> dict[str, float]:
    """Return how often five groups of equal accuracy seem to differ, by size of the test set."""
    rng = np.random.default_rng(4)
    found: dict[str, float] = {}
    for rows in TRIALS:
        sizes = [round(rows * share) for share in GROUP_SHARES]
        excluding = 0
        for trial in range(trials):
            accuracy = (0.05, 0.3, 0.8)[trial % 3]
            groups = {str(n): (float(rng.binomial(size, accuracy) / size), size) for n, size in enumerate(sizes)}
            gap = find_largest_gap(groups)
            excluding += gap is not None and gap.interval[0] > 0
        found[str(rows)] = round(excluding / trials, 3)
    return found


def measure_reasoning() -> dict[str, dict[str, float | None]]:
    """Return the coverage of each figure about traces, by number of traces."""
    rng = np.random.default_rng(6)
    found: dict[str, dict[str, float | None]] = {}
    for rows, trials in TRACE_TRIALS.items():
        drawn = [measure_ratios(list(draw_traces(rng, rows))) for _ in range(trials)]
        found[str(rows)] = {}
        for name in drawn[0]:
            value = float(np.mean([ratios[name].value for ratios in drawn]))
            bounds = [ends for ratios in drawn if (ends := ratios[name].interval)]
            found[str(rows)][name] = _measure_coverage(bounds, value, trials)
    return found


def main() -> None:
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor() as pool:
        settings = list_settings()
        found = [pool.submit(measure_setting, setting) for setting in settings]
        lists = {size: pool.submit(measure_lists_of, size) for size in LIST_TRIALS}
        for setting, results in zip(settings, found, strict=True):
            rows += results.result()
            print(setting, flush=True)
    document = {
        "trials": TRIALS,
        "swaps": SWAPS,
        "list_trials": LIST_TRIALS,
        "trace_trials": TRACE_TRIALS,
        "part_trials": PART_TRIALS,
        "parts": {size: measure_parts(size) for size in PART_TRIALS},
        "gaps": measure_gaps(),
        "reasoning": measure_reasoning(),
        "lists": {size: lists[size].result() for size in LIST_TRIALS},
    }
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    text = json.dumps(document, indent=1).removesuffix("\n}")
    RESULT.write_text(f'{text},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    write_into_doc(DOC, START, format_tables(), END)


COLUMNS = (
    "macro precision", "macro recall", "macro F1", "accuracy", "p < 0.05, independent", "p < 0.05, similar",
    "difference from a better model",
)  # fmt: skip
FURTHER = ("F1 of chapters", "macro F1 of head, middle, tail", "figures of lists", "of traces", "p < 0.05, lists")


def format_tables() -> str:
    """Return the recorded figures as Markdown: ranges over the models; p-values over the four figures."""
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    lines = [f"| notes | level | {' | '.join(COLUMNS)} |", f"|---:|---|{'---|' * len(COLUMNS)}"]
    for setting in dict.fromkeys((row["rows"], row["repeated"]) for row in document["rows"]):
        of_setting = [row for row in document["rows"] if (row["rows"], row["repeated"]) == setting]
        for level in LEVELS:
            of_level = {
                metric: [row for row in of_setting if row["figure"] == f"{level}.{metric}"] for metric in METRICS
            }
            every = [row for rows in of_level.values() for row in rows]
            cells = [_format_range(rows, "coverage") for rows in of_level.values()]
            cells += [_format_range(every, kind) for kind in ("independent", "similar", "difference")]
            notes = f"{setting[0]:,} patients" if setting[1] else f"{setting[0]:,}"
            lines.append(f"| {notes} | {level} | {' | '.join(cells)} |")
    lines += ["", f"| notes | {' | '.join(FURTHER)} |", f"|---:|{'---|' * len(FURTHER)}"]
    for size in TRIALS:
        parts = document["parts"][str(size)]
        lists = list(document["lists"].get(str(size), {}).values())
        traces = [{"coverage": share} for share in document["reasoning"].get(str(size), {}).values()]
        cells = [
            _format_range([part for name, part in parts.items() if name.endswith(".f1")], "coverage"),
            _format_range([part for name, part in parts.items() if name.endswith(".macro_f1")], "coverage"),
            _format_range(lists, "coverage"),
            _format_range(traces, "coverage"),
            _format_range(lists, "independent"),
        ]
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    gaps = ", ".join(f"{100 * share:.1f} % of {int(size):,}" for size, share in document["gaps"].items())
    lines += ["", f"Largest gap between five equal subgroups excludes 0 (at most 5 % wanted): {gaps} notes."]
    errors = ", ".join(
        f"{number:,} of {int(size):,} notes ({100 * (0.05 * 0.95 / number) ** 0.5:.1f})"
        for size, number in document["trials"].items()
    )
    lines += ["", f"Test sets per model, and the simulation's own standard error of a coverage in points: {errors}."]
    for name, trials in (("lists", "list_trials"), ("traces", "trace_trials"), ("chapters and thirds", "part_trials")):
        lines.append(
            f"For {name}: {', '.join(f'{number:,} of {int(size):,}' for size, number in document[trials].items())}."
        )
    return "\n".join([*lines, ""])


def _format_range(rows: Sequence[Mapping[str, Any]], field: str) -> str:
    known = [100 * share for row in rows if (share := row.get(field)) is not None]
    if not known:
        return "–"
    low, high = f"{min(known):.1f}", f"{max(known):.1f}"
    return f"{low} %" if low == high else f"{low}–{high} %"


if __name__ == "__main__":
    main()
