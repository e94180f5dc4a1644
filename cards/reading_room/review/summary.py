"""How far reviewers agree with each other and with a judge, and which teacher they prefer.

    OUT/summary.json

Agreement is Krippendorff's alpha, nominal for yes or no and ordinal for scales, with a 95 % interval by leaving out one
item at a time (the jackknife). Where fewer than `SMALLEST` items have two answers there is no interval, and where all
answers are the same there is no alpha; either says why. A trace is clinically wrong if most of its reviewers gave an
answer that the rubric calls so.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np

from cards.reading_room.review.assignment import Review, read_review
from cards.reading_room.review.ratings import EQUAL, Rating, read_known_ratings
from cards.reading_room.review.rubric import SCALE, Question, Rubric
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.record_model import Model

SUMMARY = "summary.json"
SMALLEST = 40  # items with two answers or more, for an interval: with 20, intervals of 95 % covered 84 to 92 %
PASSES = 4  # from this score of a judge on, a trace passes
Z = 1.96  # 95 %
Level = Literal["nominal", "ordinal", "interval"]
Form = tuple[int, int]
"""Item and index of the trace."""


class Agreement(Model):
    """Of the answers to one question."""

    answers: dict[str, int]
    items: int
    """Traces with two answers or more."""
    alpha: float | None
    interval: list[float] | None
    missing: str | None
    """Why there is no alpha, or no interval."""


class Preference(Model):
    """Of two teachers, by items: what most of an item's reviewers preferred."""

    items: dict[str, int]
    """Digest of the recipe, or 'equal' → items."""
    share: float | None
    """Of the first recipe among the items with a preference; None without any."""
    interval: list[float] | None


class Calibration(Model):
    """The scores of a judge against those of the reviewers."""

    traces: int
    confusion: list[list[int]]
    """Judge's score, 1 to 5 → rounded mean of the reviewers, 1 to 5 → traces."""
    alpha: float | None
    wrong: int
    """Traces that most reviewers call clinically wrong."""
    wrong_passed: int
    """Of these, traces to which the judge gave 4 or 5."""


class ReviewSummary(Model):
    forms: dict[str, list[int]]
    """Reviewer → [filled in, assigned]."""
    questions: dict[str, Agreement]
    wrong: int
    rated: int
    """Traces with a rating."""
    preference: Preference | None
    judge: Calibration | None


def summarize_review(out: Path, scores: Mapping[Form, float]) -> ReviewSummary:
    """Write and return the summary of a review; `scores` are those of a judge. Raises DeepicdError without a rating."""
    review, _ = read_review(out)
    ratings = read_known_ratings(out, review)
    if not ratings:
        raise DeepicdError(
            f"{out} holds no rating.", f"Let somebody rate first: deepicd review rate {out} --reviewer NAME"
        )
    done = Counter(rating.reviewer for rating in ratings)
    by_form: dict[Form, list[Rating]] = defaultdict(list)
    for rating in ratings:
        by_form[rating.item, rating.trace].append(rating)
    wrong = {form for form, own in by_form.items() if _is_wrong(own, review.rubric)}
    summary = ReviewSummary(
        forms={name: [done[name], len(steps)] for name, steps in review.steps.items()},
        questions={
            question.name: _measure_agreement(question, by_form)
            for question in review.rubric.questions
            if question.kind != "text"
        },
        wrong=len(wrong),
        rated=len(by_form),
        preference=_count_preferences(review, ratings),
        judge=_calibrate(review.rubric, by_form, wrong, scores),
    )
    storage.write_json(out / SUMMARY, summary.dump())
    return summary


def _measure_agreement(question: Question, by_form: Mapping[Form, Sequence[Rating]]) -> Agreement:
    answers = [
        [rating.answers[question.name] for rating in own if question.name in rating.answers] for own in by_form.values()
    ]
    values = [[question.choices.index(str(answer)) for answer in own] for own in answers if len(own) > 1]
    level: Level = "ordinal" if question.kind == "scale" else "nominal"
    counted = Counter(str(answer) for own in answers for answer in own)
    alpha = measure_alpha(values, level)
    interval = None if alpha is None else measure_interval(values, level)
    missing = None
    if not values:
        missing = "no trace has two answers"
    elif alpha is None:
        missing = "all answers are the same"
    elif interval is None:
        missing = f"fewer than {SMALLEST} traces have two answers, or all but one of them are alike"
    return Agreement(
        answers={choice: counted[choice] for choice in question.choices},
        items=len(values),
        alpha=alpha,
        interval=interval,
        missing=missing,
    )


def measure_alpha(values: Sequence[Sequence[float]], level: Level) -> float | None:
    """Return Krippendorff's alpha of answers, one list per item; None where all are the same or there are none.

    >>> measure_alpha([[1, 1], [0, 0], [1, 1]], "nominal"), measure_alpha([[1, 1], [1, 1]], "nominal")
    (1.0, None)
    """
    import krippendorff

    if len({value for own in values for value in own}) < 2:
        return None
    width = max(map(len, values))
    data = [[*own, *[np.nan] * (width - len(own))] for own in values]
    return float(krippendorff.alpha(reliability_data=np.array(data, dtype=float).T, level_of_measurement=level))


def measure_interval(values: Sequence[Sequence[float]], level: Level) -> list[float] | None:
    """Return the 95 % interval of alpha by the delete-one jackknife over items; None for too few items."""
    if len(values) < SMALLEST:
        return None
    without = [measure_alpha([*values[:place], *values[place + 1 :]], level) for place in range(len(values))]
    known = [alpha for alpha in without if alpha is not None]
    whole = measure_alpha(values, level)
    if whole is None or len(known) < len(without):
        return None
    spread = sqrt((len(known) - 1) / len(known) * sum((alpha - mean(known)) ** 2 for alpha in known))
    half = spread * (Z + (Z**3 + Z) / (4 * (len(values) - 1)))  # Student's t of that many items
    return [max(-1.0, whole - half), min(1.0, whole + half)] if spread else None


def _is_wrong(ratings: Sequence[Rating], rubric: Rubric) -> bool:
    votes = [
        any(
            question.name in rating.answers and question.means_wrong(rating.answers[question.name])
            for question in rubric.questions
        )
        for rating in ratings
    ]
    return 2 * sum(votes) > len(votes)


def _count_preferences(review: Review, ratings: Sequence[Rating]) -> Preference | None:
    """Count what most reviewers of an item preferred; None for a review of single traces."""
    if not any(len(item.traces) > 1 for item in review.items):
        return None
    votes: dict[int, list[str]] = defaultdict(list)
    for rating in ratings:
        if rating.preferred is not None:
            traces = review.items[rating.item].traces
            votes[rating.item].append(
                EQUAL if rating.preferred == EQUAL else traces[int(rating.preferred)].recipe_digest
            )
    names = [*(trace.recipe_digest for trace in review.items[0].traces), EQUAL]
    counted = dict.fromkeys(names, 0)
    for own in votes.values():
        (favourite, most), *rest = Counter(own).most_common()
        counted[EQUAL if rest and rest[0][1] == most else favourite] += 1
    first, second = counted[names[0]], counted[names[1]]
    share = first / (first + second) if first + second else None
    return Preference(items=counted, share=share, interval=measure_wilson(first, first + second))


def measure_wilson(part: int, whole: int) -> list[float] | None:
    """Return Wilson's 95 % interval of a share; None for nothing.

    >>> [round(end, 3) for end in measure_wilson(8, 10)]
    [0.49, 0.943]
    """
    if not whole:
        return None
    share, squared = part / whole, Z * Z
    middle = (share + squared / (2 * whole)) / (1 + squared / whole)
    half = Z * sqrt(share * (1 - share) / whole + squared / (4 * whole * whole)) / (1 + squared / whole)
    return [middle - half, middle + half]


def _calibrate(
    rubric: Rubric, by_form: Mapping[Form, Sequence[Rating]], wrong: set[Form], scores: Mapping[Form, float]
) -> Calibration | None:
    """Compare the judge's scores with the reviewers' means; None without a judge or a question to compare with."""
    judged = [form for form in by_form if form in scores]
    if not judged or rubric.judged is None:
        return None
    means = {form: mean(int(rating.answers[rubric.judged]) for rating in by_form[form]) for form in judged}
    confusion = [[0] * len(SCALE) for _ in SCALE]
    for form in judged:
        confusion[_round(scores[form]) - 1][_round(means[form]) - 1] += 1
    return Calibration(
        traces=len(judged),
        confusion=confusion,
        alpha=measure_alpha([[scores[form], means[form]] for form in judged], "interval"),
        wrong=sum(form in wrong for form in judged),
        wrong_passed=sum(form in wrong and scores[form] >= PASSES for form in judged),
    )


def _round(score: float) -> int:
    """Round half up: 2.5 is 3, as readers expect of grades."""
    return int(score + 0.5)


def format_summary(summary: ReviewSummary) -> str:
    """Return the summary as the command prints it."""
    lines = [f"{name}: {done} of {total} forms" for name, (done, total) in summary.forms.items()]
    lines.append(f"{summary.rated:,} traces rated, {summary.wrong:,} of them clinically wrong")
    width = max(map(len, summary.questions), default=0)
    for name, agreement in summary.questions.items():
        counted = ", ".join(f"{choice} {number}" for choice, number in agreement.answers.items() if number)
        alpha = "no alpha" if agreement.alpha is None else f"alpha {agreement.alpha:.2f}"
        interval = f" ({agreement.interval[0]:.2f} to {agreement.interval[1]:.2f})" if agreement.interval else ""
        why = f"; {agreement.missing}" if agreement.missing else ""
        lines.append(f"  {name:<{width}}  {alpha}{interval} over {agreement.items} shared traces{why}  [{counted}]")
    if preference := summary.preference:
        counted = ", ".join(f"{name} {number}" for name, number in preference.items.items())
        interval = f" ({preference.interval[0]:.0%} to {preference.interval[1]:.0%})" if preference.interval else ""
        share = "none" if preference.share is None else f"{preference.share:.0%}{interval}"
        lines.append(f"preferred: {counted}; share of the first: {share}")
    if judge := summary.judge:
        alpha = "none" if judge.alpha is None else f"{judge.alpha:.2f}"
        lines.append(
            f"judge: alpha {alpha} over {judge.traces} traces;"
            f" passed {judge.wrong_passed} of {judge.wrong} clinically wrong ones"
        )
    return "\n".join(lines)
