"""Made-up test sets for benchmarks.intervals: codes, answers of models of known strength, lists of codes, traces."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from deepicd.evaluation_metrics import LevelName
from deepicd.icd10cm import Code, load_release
from deepicd.paper import MIMIC_REASON
from deepicd.trace_measures import Share
from train.evaluation.metric_vector import Groups, MetricVector, split_terciles
from train.evaluation.metrics import LEVELS, Indices, LevelRows, Numbers, get_class
from train.evaluation.reasoning import GROUNDED, TraceMeasures
from train.evaluation.several import PredictedList

SKILLS = {"weak": (0.03, 0.3), "middling": (0.3, 0.2), "strong": (0.9, 0.15)}
"""Chance to be right on the commonest code, and the power of a code's frequency that others fall off with."""


@dataclass(frozen=True, eq=False)
class Population:
    """Codes by frequency, commonest first, and their classes at each level."""

    codes: list[Code]
    chances: Numbers
    classes: Mapping[LevelName, Indices]
    names: Mapping[LevelName, tuple[str, ...]]
    groups: Groups

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

    def build_vector(self, truths: Indices, predicted: Indices, patients: Indices) -> MetricVector:
        levels = {level: self.build_rows(level, truths, predicted) for level in LEVELS}
        return MetricVector(levels, patients, self.groups)

    def build_rows(self, level: LevelName, truths: Indices, predicted: Indices) -> LevelRows:
        classes, names = self.classes[level], self.names[level]
        return LevelRows(level, names, classes[truths], classes[predicted], np.ones(len(names) + 1, np.bool_))


def make_population(seed: int = 1) -> Population:
    rng = np.random.default_rng(seed)
    release = [Code(code.value) for code in load_release().list_codes()]
    codes = [release[place] for place in rng.choice(len(release), MIMIC_REASON.codes, replace=False)]
    chances = 1 / (np.arange(len(codes)) + 2.0)
    classes: dict[LevelName, Indices] = {}
    names: dict[LevelName, tuple[str, ...]] = {}
    for level in LEVELS:
        labels, indices = np.unique([get_class(level, code) for code in codes], return_inverse=True)
        if level == "chapter":  # the figures of chapters go by their numbers
            labels, indices = (
                np.array([f"{n:02d}" for n in range(1, 23)]),
                np.array([c.chapter.number - 1 for c in codes]),
            )
        classes[level], names[level] = indices.astype(np.int64), tuple(labels.tolist())
    population = Population(codes, chances / chances.sum(), classes, names, {})
    drawn = population.draw_codes(rng, MIMIC_REASON.rows["train"])
    train = [codes[place] for place in drawn]
    groups = {level: split_terciles(population.build_rows(level, drawn, drawn), train) for level in LEVELS[1:]}
    return replace(population, groups=groups)


def make_skill(population: Population, name: str, seed: int = 5) -> Numbers:
    """Return the chance to be right by code."""
    best, power = SKILLS[name]
    luck = np.exp(0.5 * np.random.default_rng(seed).normal(size=len(population.chances)))
    return np.asarray(np.clip(best * (population.chances / population.chances[0]) ** power * luck, 0, 0.97))


def answer(population: Population, rng: np.random.Generator, truths: Indices, skill: Numbers) -> Indices:
    near, far = population.draw_codes_near(rng, truths), population.draw_codes(rng, len(truths))
    wrong = np.where(rng.random(len(truths)) < 0.5, near, far)
    return np.where(rng.random(len(truths)) < skill[truths], truths, wrong)


def draw_lists(
    population: Population, rng: np.random.Generator, rows: int
) -> tuple[list[PredictedList], list[PredictedList]]:
    """Return the lists of two equal models, which are equally good on all notes of a patient."""
    patients = np.repeat(np.arange(rows), rng.choice([1, 2], rows, p=[0.7, 0.3]))[:rows]
    true_places = np.split(population.draw_codes(rng, 4 * rows), rows)
    wrong_places = np.split(population.draw_codes(rng, 4 * rows), rows)
    sizes = 1 + rng.binomial(3, 0.6, rows)
    lists: list[list[PredictedList]] = []
    for _ in range(2):
        luck = rng.beta(2, 3, rows)[patients]
        hits, wrong = rng.random((rows, 4)) < luck[:, None], rng.binomial(4, 0.4, rows)
        lists.append([])
        for note in range(rows):
            truth = dict.fromkeys(population.codes[place] for place in true_places[note][: sizes[note]])
            listed = [code for code, hit in zip(truth, hits[note], strict=False) if hit]
            listed += [population.codes[place] for place in wrong_places[note][: wrong[note]]]
            order = rng.permutation(len(listed))
            answer = tuple(listed[place] for place in order)
            lists[-1].append(PredictedList(f"{patients[note]}-DS-{note}", tuple(truth), answer))
    return lists[0], lists[1]


def draw_traces(rng: np.random.Generator, rows: int) -> Iterator[TraceMeasures]:
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
