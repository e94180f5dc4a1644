"""The reward bench: what each variant pays, before a GPU is spent on it.

    found = bench(truths, train)       # true codes of a cohort, and of its training rows; both may be empty
    print(shown(found))

Three questions. What do good, broken and hostile answers earn (train.rewards.bench_cases)? What would a policy earn
that does
not read the note: always the commonest code, always A00, always the longest code, the same with every code of its
kind spelled out? And do the properties hold that training relies on: the true answer earns most, a longer correct
prefix never pays less, nothing raises, and a megabyte costs what a megabyte of plain text costs?
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from train.rewards import score
from train.rewards.bench_cases import TRACE, AnswerCase, build_cases
from train.rewards.outcome import OUTCOMES, Variant
from train.rewards.score import RewardScheme

VARIANTS: tuple[Variant, ...] = ("default", "paper", "authors")
TRUTH, OTHER = Code("I5021"), Code("J189")
LINEAR = 3.0  # times that twice the text may take; twice would be exact, four times quadratic
ROUNDS = 5
BOUND = 10.0  # what an answer may lose; GRPO divides by the spread of a group, which one outlier would make its own
TAILS = ("", "0", "9", "ZZ", "XXXX")


def benchmark_rewards(truths: Sequence[Code] = (), train: Sequence[Code] = ()) -> dict[str, Any]:
    """What was paid, case by case and policy by policy, and which properties hold."""
    schemes = {variant: score.parse_scheme(variant) for variant in VARIANTS}
    every = list(build_cases(TRUTH, OTHER))
    return {
        "cases": [
            {"case": case.name, "characters": len(case.text), **{name: _paid(case, of) for name, of in schemes.items()}}
            for case in every
        ],
        "policies": _policies(truths, train, schemes) if truths else [],
        "rows": len(truths),
        "properties": {name: _properties(every, of) for name, of in schemes.items()},
    }


def _paid(case: AnswerCase, scheme: RewardScheme) -> dict[str, float]:
    (reward,) = score.score([case.text], [case.truth], scheme)
    return {"form": reward.form, "outcome": round(reward.outcome, 6), "total": round(reward.total, 6)}


def _policies(
    truths: Sequence[Code], train: Sequence[Code], schemes: dict[Variant, RewardScheme]
) -> list[dict[str, Any]]:
    """Mean reward of policies over a cohort; the first two know the truth, the others never read the note."""
    often = Counter(train or truths)
    commonest = min(often, key=lambda code: (-often[code], code))
    longest = min(often, key=lambda code: (-len(code.value), -often[code], code))
    letters = Counter(code.value[0] for code in often.elements())
    spam = "".join(write_answer(TRACE, code) for code, _ in often.most_common(20))
    shared = _answers_to(truths)
    fixed = {
        f"always the commonest code ({commonest})": write_answer(TRACE, commonest),
        "always A00": write_answer(TRACE, Code("A00")),
        f"always the longest code ({longest})": write_answer(TRACE, longest),
        f"always the commonest letter, {letters.most_common(1)[0][0]}99": write_answer(
            TRACE, Code(f"{letters.most_common(1)[0][0]}99")
        ),
        "the 20 commonest codes, an answer each": spam,
        "nothing": "",
    }
    table = []
    for name, texts in [
        ("the true code", [write_answer(TRACE, code) for code, _ in shared]),
        ("the true category", [write_answer(TRACE, Code(code.category)) for code, _ in shared]),
        *((name, [text] * len(shared)) for name, text in fixed.items()),
    ]:
        row: dict[str, Any] = {"policy": name}
        for variant, scheme in schemes.items():
            paid = score.score(texts, [code.value for code, _ in shared], scheme)
            total = sum(reward.total * number for reward, (_, number) in zip(paid, shared, strict=True))
            row[variant] = round(total / len(truths), 6)
        table.append(row)
    return table


def _answers_to(truths: Sequence[Code]) -> list[tuple[Code, int]]:
    """Each true code with how often it is one: what a fixed answer earns depends on nothing else."""
    return sorted(Counter(truths).items())


def _properties(every: Sequence[AnswerCase], scheme: RewardScheme) -> dict[str, Any]:
    paid = [(case, score.score([case.text], [case.truth], scheme)[0].total) for case in every]
    best = {case.truth: total for case, total in paid if case.gold}
    top = max(total for case, total in paid if case.truth == TRUTH.value)
    return {
        "gold_earns_most": best[TRUTH.value] == top and _alone_on_top(scheme, best[TRUTH.value]),
        "longer_prefix_never_less": _monotone(scheme),
        "letters_in_third_place_earn_the_form": all(
            score.score([case.text], [case.truth], scheme)[0].form > 0 for case, _ in paid if case.gold
        ),
        "no_overlap_earns_least_of_well_formed": _least(scheme),
        "bounded": min(total for _, total in paid) >= -BOUND,
        "linear": _linear(every, scheme),
    }


def _alone_on_top(scheme: RewardScheme, gold: float) -> bool:
    """Whether every code that is not the true one, shorter, longer or other, earns less."""
    guesses = {TRUTH.value[:end] + tail for end in range(1, len(TRUTH.value) + 1) for tail in TAILS}
    others = [write_answer(TRACE, code) for guess in sorted(guesses) if (code := Code.find(guess)) and code != TRUTH]
    return all(one.total < gold for one in score.score(others, [TRUTH.value] * len(others), scheme))


def _monotone(scheme: RewardScheme) -> bool:
    """Whether one more correct character never pays less, whatever stands behind it."""
    outcome = OUTCOMES[scheme.variant]
    for truth in ("I10", "J189", "I5021", "M1A9XX", "S72001A"):
        worst, best_before = 0.0, float("-inf")
        for overlap in range(len(truth) + 1):
            paid = [outcome(truth[:overlap] + tail, truth) for tail in ("", "~", "~~~~")]
            worst = min(paid)
            if worst < best_before:
                return False
            best_before = max(paid)
    return True


def _least(scheme: RewardScheme) -> bool:
    outcome = OUTCOMES[scheme.variant]
    return all(outcome("~", TRUTH.value) < outcome(TRUTH.value[:overlap], TRUTH.value) for overlap in range(1, 6))


def _linear(every: Sequence[AnswerCase], scheme: RewardScheme) -> bool:
    """Whether twice a hostile megabyte takes at most thrice the time."""
    long = [case for case in every if len(case.text) >= 2**19]
    return all(any(_twice_as_long(case, scheme) for _ in range(ROUNDS)) for case in long)  # a busy machine spoils some


def _twice_as_long(case: AnswerCase, scheme: RewardScheme) -> bool:
    once, twice = _seconds(case.text, case.truth, scheme), _seconds(case.text * 2, case.truth, scheme)
    return twice <= LINEAR * once + 0.005


def _seconds(text: str, truth: str, scheme: RewardScheme) -> float:
    """The shortest of some rounds: what the text costs when nobody else is at work."""
    taken = []
    for _ in range(ROUNDS):
        clock = time.process_time()
        score.score([text], [truth], scheme)
        taken.append(time.process_time() - clock)
    return min(taken)
