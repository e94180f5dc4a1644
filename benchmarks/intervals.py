"""Measure how often the intervals of an evaluation cover, and how often equal models differ "significantly".

Made-up test sets of 61, 332, 1,865 and 18,654 notes are drawn again and again from one population: the paper's 6,368
codes, real ICD-10-CM codes, with frequencies like Zipf's. Models of several strengths answer them; common codes are
easier, and half of the wrong answers stay in the right chapter. The value to cover is the mean over all test sets.

  coverage     share of 95 % intervals that hold it: macro precision, recall and F1, accuracy, at each level
  pairs        share of p < 0.05 between two models of equal strength, with independent and with similar answers
  patients     coverage where a patient has up to four notes, of one category, and one answer suits all or none
  gap          share of test sets in which the largest gap between five groups that do not differ excludes 0
  reasoning    coverage of the figures about traces: lengths and counts with long tails, patients with several traces

Results stand in benchmarks/results/intervals.json and, as tables, in docs/evaluation.md.
Run: python -m benchmarks.intervals      (two minutes)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import RESULTS, write_into_doc
from deepicd.evaluation_metrics import Interval, LevelName
from deepicd.icd10cm import Code, load_release
from deepicd.paper import MIMIC_REASON
from deepicd.trace_measures import Share
from train.evaluation.intervals import (
    FEWEST_DIFFERING,
    estimate_difference,
    estimate_interval,
    explain_no_interval,
    measure_spread,
)
from train.evaluation.metric_vector import METRICS, MetricVector
from train.evaluation.metrics import LEVELS, Indices, LevelRows, Numbers, get_class
from train.evaluation.reasoning import GROUNDED, TraceMeasures, measure_ratios
from train.evaluation.subgroups import find_largest_gap

TRIALS = {61: 2000, 332: 1200, 1865: 800, 18_654: 300}
SKILLS = {"weak": (0.03, 0.3), "middling": (0.3, 0.2), "strong": (0.9, 0.15)}
"""Chance to be right on the commonest code, and the power of a code's frequency that others fall off with."""
SIMILAR = 0.6  # of the answers are the same in both runs
RESULT = RESULTS / "intervals.json"
GROUP_SHARES = (0.5, 0.2, 0.15, 0.1, 0.05)
DOC = Path(__file__).parents[1] / "docs" / "evaluation.md"
START, END = "<!-- coverage: written by benchmarks.intervals -->", "<!-- end of coverage -->"

Answers = Indices


@dataclass(frozen=True, eq=False)
class Population:
    """Codes by frequency, commonest first, and their classes at each level."""

    chances: Numbers
    classes: Mapping[LevelName, Indices]
    names: Mapping[LevelName, tuple[str, ...]]

    def draw_codes(self, rng: np.random.Generator, rows: int) -> Indices:
        return rng.choice(len(self.chances), rows, p=self.chances)

    def draw_codes_near(self, rng: np.random.Generator, truths: Indices) -> Indices:
        """Return codes of the same chapters, by their frequencies."""
        chapters = self.classes["chapter"]
        order = np.argsort(chapters, kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(self.chances[order])])
        starts = np.searchsorted(chapters[order], np.arange(chapters.max() + 2))
        low, high = sums[starts[chapters[truths]]], sums[starts[chapters[truths] + 1]]
        places = np.searchsorted(sums, low + (high - low) * rng.random(len(truths)), side="right") - 1
        return np.asarray(order[np.clip(places, 0, len(order) - 1)])

    def build_vector(self, truths: Indices, predicted: Answers) -> MetricVector:
        levels = {
            name: LevelRows(
                name,
                self.names[name],
                self.classes[name][truths],
                self.classes[name][predicted],
                np.ones(len(self.names[name]) + 1, np.bool_),
            )
            for name in LEVELS
        }
        return MetricVector(levels)


def make_population(seed: int = 1) -> Population:
    rng = np.random.default_rng(seed)
    release = [Code(code.value) for code in load_release().list_codes()]
    codes = [release[place] for place in rng.choice(len(release), MIMIC_REASON.codes, replace=False)]
    chances = 1 / (np.arange(len(codes)) + 2.0)
    classes, names = {}, {}
    for level in LEVELS:
        labels, indices = np.unique([get_class(level, code) for code in codes], return_inverse=True)
        if level == "chapter":  # the figures of chapters go by their numbers
            labels, indices = (
                np.array([f"{n:02d}" for n in range(1, 23)]),
                np.array([c.chapter.number - 1 for c in codes]),
            )
        classes[level], names[level] = indices.astype(np.int64), tuple(labels.tolist())
    return Population(chances / chances.sum(), classes, names)


def make_skill(population: Population, name: str, seed: int = 5) -> Numbers:
    """Return the chance to be right by code."""
    best, power = SKILLS[name]
    luck = np.exp(0.5 * np.random.default_rng(seed).normal(size=len(population.chances)))
    return np.asarray(np.clip(best * (population.chances / population.chances[0]) ** power * luck, 0, 0.97))


def answer(population: Population, rng: np.random.Generator, truths: Indices, skill: Numbers) -> Answers:
    near, far = population.draw_codes_near(rng, truths), population.draw_codes(rng, len(truths))
    wrong = np.where(rng.random(len(truths)) < 0.5, near, far)
    return np.where(rng.random(len(truths)) < skill[truths], truths, wrong)


def measure_size(population: Population, rows: int, skill_name: str) -> Iterator[dict[str, Any]]:
    """Yield a result per level and metric: coverage, and false positives of both kinds of pairs."""
    rng, skill = np.random.default_rng(rows), make_skill(population, skill_name)
    singles: list[list[tuple[float, Interval | None]]] = []
    pairs: dict[str, list[list[float | None]]] = {"independent": [], "similar": []}
    for _ in range(TRIALS[rows]):
        truths = population.draw_codes(rng, rows)
        ours = answer(population, rng, truths, skill)
        vector = population.build_vector(truths, ours)
        spread = measure_spread(vector.compute_without_each())
        singles.append(_find_intervals(vector, spread.standard_errors, spread.freedom))
        other = answer(population, rng, truths, skill)
        both = {"independent": other, "similar": np.where(rng.random(rows) < SIMILAR, ours, other)}
        for kind, theirs in both.items():
            their_vector = population.build_vector(truths, theirs)
            errors = (spread - measure_spread(their_vector.compute_without_each())).standard_errors
            pairs[kind].append(_find_p_values(vector, their_vector, errors, rows))
    for place, name in enumerate(_names(vector)):
        values = np.array([trial[place][0] for trial in singles])
        bounds = [ends for trial in singles if (ends := trial[place][1])]
        mean = values.mean()
        result = {"rows": rows, "skill": skill_name, "figure": name, "value": round(float(mean), 4)}
        result["printed"] = round(len(bounds) / len(singles), 3)
        result["coverage"] = _measure_coverage(bounds, float(mean))
        for kind, trials in pairs.items():
            p_values = [p for trial in trials if (p := trial[place]) is not None]
            result[f"{kind}_printed"] = round(len(p_values) / len(trials), 3)
            result[kind] = round(sum(p < 0.05 for p in p_values) / len(p_values), 3) if p_values else None
        yield result


def _names(vector: MetricVector) -> list[str]:
    return [name for name in vector.names if name.split(".")[1] in METRICS]


def _measure_coverage(intervals: Sequence[Interval], value: float) -> float | None:
    return round(sum(low <= value <= high for low, high in intervals) / len(intervals), 3) if intervals else None


def _find_intervals(vector: MetricVector, errors: Numbers, freedom: Numbers) -> list[tuple[float, Interval | None]]:
    names = set(_names(vector))
    return [
        (
            figure.value,
            None
            if explain_no_interval(figure.right, figure.wrong)
            else estimate_interval(figure.value, error, degrees),
        )
        for figure, error, degrees in zip(vector.figures, errors.tolist(), freedom.tolist(), strict=True)
        if figure.name in names
    ]


def _find_p_values(ours: MetricVector, theirs: MetricVector, errors: Numbers, patients: int) -> list[float | None]:
    found: list[float | None] = []
    for name, difference, error in zip(
        ours.names, (ours.values - theirs.values).tolist(), errors.tolist(), strict=True
    ):
        level, metric = name.split(".")[:2]
        if metric not in METRICS:
            continue
        one, other = ours.levels[level], theirs.levels[level]  # type: ignore[index]
        enough = (one.is_right != other.is_right).sum() >= FEWEST_DIFFERING
        estimate = estimate_difference(difference, error, patients) if enough else None
        found.append(estimate[1] if estimate else None)
    return found


def measure_patients(population: Population, rows: int = 1865, trials: int = 400) -> dict[str, float | None]:
    """Return the coverage at each level where patients have one to four notes that stand or fall together."""
    rng, skill = np.random.default_rng(3), make_skill(population, "middling")
    found: dict[str, list[tuple[float, Interval | None]]] = {f"{level}.macro_f1": [] for level in LEVELS}
    for _ in range(trials):
        notes = rng.choice([1, 2, 3, 4], rows, p=[0.7, 0.17, 0.08, 0.05])
        first = population.draw_codes(rng, rows)
        patients = np.repeat(np.arange(rows), notes)
        vector = population.build_vector(first[patients], answer(population, rng, first, skill)[patients])
        spread = measure_spread(vector.compute_without_each(), patients)
        for name, pair in zip(
            _names(vector), _find_intervals(vector, spread.standard_errors, spread.freedom), strict=True
        ):
            if name in found:
                found[name].append(pair)
    return {
        name: _measure_coverage([ends for _, ends in pairs if ends], float(np.mean([value for value, _ in pairs])))
        for name, pairs in found.items()
    }


def measure_gaps(trials: int = 2000) -> dict[str, float]:
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


def measure_reasoning(trials: int = 1000) -> dict[str, dict[str, float | None]]:
    """Return the coverage of each figure about traces, by number of traces."""
    rng = np.random.default_rng(6)
    found: dict[str, dict[str, float | None]] = {}
    for rows, repeats in {61: trials, 332: trials, 1865: trials // 3}.items():
        drawn = [measure_ratios(list(_draw_traces(rng, rows))) for _ in range(repeats)]
        found[str(rows)] = {}
        for name in drawn[0]:
            value = float(np.mean([ratios[name].value for ratios in drawn]))
            bounds = [ends for ratios in drawn if (ends := ratios[name].interval)]
            found[str(rows)][name] = _measure_coverage(bounds, value)
    return found


def _draw_traces(rng: np.random.Generator, rows: int) -> Iterator[TraceMeasures]:
    """Yield traces of patients with one or two each; a patient's notes share how well they are quoted and weighed."""
    patients = np.repeat(np.arange(rows), rng.choice([1, 2], rows, p=[0.7, 0.3]))[:rows]
    habits = rng.random(rows)[patients]
    for number, (patient, habit) in enumerate(zip(patients.tolist(), habits.tolist(), strict=True)):
        items = int(rng.poisson(8)) + 1
        yield TraceMeasures(
            note_id=f"{patient}-DS-{number}",
            chapter=1,
            words=int(rng.lognormal(6, 0.5)),
            named_at=float(rng.random()) if rng.random() < 0.6 else None,
            weighing=int(rng.poisson(2 * habit)),
            repeated=float(rng.beta(2, 5)) if rng.random() < 0.15 else 0.0,
            grounded={name: Share(int(rng.binomial(items, 0.97 - 0.3 * habit)), items) for name in GROUNDED},
            invented_vitals=int(rng.random() < 0.2 * habit),
        )


def main() -> None:
    population = make_population()
    rows = []
    for size in TRIALS:
        for skill in SKILLS:
            results = list(measure_size(population, size, skill))
            rows += results
            for result in results:
                if result["figure"].endswith("macro_f1"):
                    print(result, flush=True)
    patients = measure_patients(population)
    document = {
        "trials": {str(size): number for size, number in TRIALS.items()},
        "patients": patients,
        "gaps": measure_gaps(),
        "reasoning": measure_reasoning(),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_into_doc(DOC, START, format_tables(), END)


def format_tables() -> str:
    """Return the recorded figures as Markdown: ranges over the three models; p-values of macro F1."""
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    head = "| notes | level | coverage, all figures | coverage, macro F1 | p < 0.05, independent | p < 0.05, similar |"
    lines = [head, "|---:|---|---|---|---|---|"]
    for size in TRIALS:
        for level in LEVELS:
            rows = [row for row in document["rows"] if row["rows"] == size and row["figure"].startswith(level)]
            f1 = [row for row in rows if row["figure"].endswith("macro_f1")]
            cells = [
                _format_range([row["coverage"] for row in rows]),
                *(_format_range([row[name] for row in f1]) for name in ("coverage", "independent", "similar")),
            ]
            lines.append(f"| {size:,} | {level} | {' | '.join(cells)} |")
    patients = ", ".join(f"{name.split('.')[0]} {100 * share:.1f} %" for name, share in document["patients"].items())
    gaps = ", ".join(f"{100 * share:.1f} % of {int(size):,}" for size, share in document["gaps"].items())
    reasoning = "; ".join(
        f"{_format_range(list(figures.values()))} with {int(size):,} traces"
        for size, figures in document["reasoning"].items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"Coverage of the figures about traces, the lowest and the highest of ten: {reasoning}.",
            f"Coverage of macro F1 with patients of one to four notes that stand or fall together: {patients}.",
            f"Largest gap between five equal subgroups excludes 0 (at most 5 % wanted): {gaps} notes.",
            "",
        ]
    )


def _format_range(shares: Sequence[float | None]) -> str:
    known = [100 * share for share in shares if share is not None]
    return f"{min(known):.1f}–{max(known):.1f} %" if known else "never printed"


if __name__ == "__main__":
    main()
