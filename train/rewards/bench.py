"""`deepicd train bench-rewards`: what each reward variant pays, before a GPU is spent on it.

    results = benchmark_rewards(truths, train)   # true codes of a cohort's test and training rows; both may be empty
    print_tables(results)

It answers three questions. What do good, broken and hostile answers earn (train.rewards.bench_cases)? What would a
policy earn that never reads the note: always the most common code, always A00, always the longest code? And do the
properties hold that training relies on: the true answer earns most, a longer correct prefix never pays less, nothing
raises, and a hostile megabyte costs as much as a megabyte of plain text?
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from deepicd import storage
from deepicd.answer_form import write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import COHORT
from deepicd.verification.borne_out import find_borne_out, list_expectations, pay
from deepicd.verification.outcome_text import read_outcome
from train.data import load_evaluation_split
from train.rewards import score
from train.rewards.bench_cases import (
    EXPECTATION_CODES,
    EXPECTATION_NOTE,
    EXPECTATION_OUTCOME,
    POINTS_OF_STAYS,
    TRACE,
    AnswerCase,
    build_cases,
    build_expectation_cases,
    build_list_cases,
)
from train.rewards.outcome import OUTCOMES, Variant
from train.rewards.points import draw_points, leave_out_copies
from train.rewards.points import pay as pay_points
from train.rewards.score import RewardScheme

VARIANTS: tuple[Variant, ...] = ("default", "paper", "authors")
TRUTH, OTHER = Code("I5021"), Code("J189")
MAX_SLOWDOWN = 3.0  # for twice the text: exactly linear would be 2, quadratic 4
ROUNDS = 5
MAX_LOSS = 10.0  # GRPO divides by the spread of a group, which one outlier would otherwise dominate
TAILS = ("", "0", "9", "ZZ", "XXXX")

# property → what it means, for the table
PROPERTIES = {
    "gold_earns_most": "only the true code earns most",
    "longer_prefix_never_less": "a longer correct prefix never pays less",
    "no_overlap_earns_least_of_well_formed": "no correct character earns least of all codes",
    "letters_in_third_place_earn_the_form": "C7A, M1A, Z3A … earn the form",
    "bounded": f"no answer loses more than {MAX_LOSS:.0f}",
    "linear": "twice a hostile megabyte takes twice as long",
}

Schemes = Mapping[Variant, RewardScheme]


class Results(TypedDict):
    """What the benchmark measured, as `--json` writes it."""

    cases: list[dict[str, object]]
    """case, characters, and per variant {form, outcome, total}."""
    policies: list[dict[str, str | float]]
    """policy, and per variant its mean reward."""
    rows: int
    properties: dict[Variant, dict[str, bool]]
    lists: list[dict[str, str | float]]
    """case, and what a list of codes earns in `several`."""
    expectations: list[dict[str, str | float]]
    """case, and what its expectations and its points earn, from −1 to 1."""


def benchmark_rewards(truths: Sequence[Code] = (), train: Sequence[Code] = ()) -> Results:
    """Return what each variant pays, by case and by policy, and which properties hold."""
    schemes = {variant: score.parse_scheme(variant) for variant in VARIANTS}
    cases = list(build_cases(TRUTH, OTHER))
    return {
        "cases": [
            {"case": case.name, "characters": len(case.text)}
            | {variant: _score_case(case, scheme) for variant, scheme in schemes.items()}
            for case in cases
        ],
        "policies": _score_policies(truths, train, schemes) if truths else [],
        "rows": len(truths),
        "properties": {variant: _check_properties(cases, scheme) for variant, scheme in schemes.items()},
        "lists": [{"case": case.name, "several": _score_list(case)} for case in build_list_cases()],
        "expectations": [
            {"case": case.name, "borne_out": round(_hold(case.trace), 3), "points": round(_grade(case.trace), 3)}
            for case in build_expectation_cases()
        ],
    }


def _score_list(case: AnswerCase) -> float:
    (reward,) = score.score([case.text], [case.truth], score.parse_scheme("several"))
    return round(reward.total, 3)


def _hold(trace: str) -> float:
    titles = [Code(value).title or "" for value in EXPECTATION_CODES]
    read = read_outcome(EXPECTATION_OUTCOME, titles)
    return pay(find_borne_out(list_expectations(trace, EXPECTATION_NOTE, read.names, [TRUTH.title or ""]), read))


def _grade(trace: str) -> float:
    """Return what points pay if one counts as met where its words stand in the trace; no model reads it."""
    asked = draw_points("breathlessness", POINTS_OF_STAYS, sorted(POINTS_OF_STAYS))
    own = leave_out_copies(trace, EXPECTATION_NOTE).lower()
    return pay_points([point in own for point in asked.questions], asked)


def load_codes(folder: Path | None) -> tuple[list[Code], list[Code]]:
    """Return the true codes of the test and training rows of a cohort or dataset folder. Raises DeepicdError."""
    if folder is None:
        return [], []
    if (folder / "test.parquet").is_file():
        test, train = (_read_codes(folder / f"{split}.parquet") for split in ("test", "train"))
    elif (folder / "grpo").is_dir():
        split = load_evaluation_split(str(folder), "test")
        test, train = [question.code for question in split.questions], split.train
    else:
        raise DeepicdError(
            f"{folder} is neither a cohort nor a dataset.",
            "Point at the output of `deepicd build` or `deepicd assemble`, or name none for the cases alone.",
        )
    if not test:
        raise DeepicdError(f"{folder} has no test rows.", "Use a larger cohort.")
    return test, train


def _read_codes(path: Path) -> list[Code]:
    return [Code(value) for value in storage.read_table(path, COHORT, ["icd_code"])["icd_code"].to_pylist()]


def print_tables(results: Results) -> None:
    """Print the benchmark on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    cases = Table("answer", *VARIANTS, title=f"What an answer earns (true code {TRUTH})", title_justify="left")
    for case in results["cases"]:
        totals: list[Mapping[str, float]] = [case[variant] for variant in VARIANTS]  # type: ignore[misc]
        cases.add_row(str(case["case"]), *(f"{total['total']:.2f}" for total in totals))
    console.print(cases)
    if results["policies"]:
        title = f"What a policy earns per note, over {results['rows']:,} notes"
        policies = Table("policy", *VARIANTS, title=title, title_justify="left")
        for policy in results["policies"]:
            policies.add_row(str(policy["policy"]), *(f"{policy[variant]:.2f}" for variant in VARIANTS))
        console.print(policies)
    title = "What a list of codes earns in several (with --config multi)"
    lists = Table("answer", "several", title=title, title_justify="left")
    for row in results["lists"]:
        lists.add_row(str(row["case"]), f"{row['several']:.2f}")
    console.print(lists)
    expectations = Table("trace", "borne out", "points", title="What a trace earns, −1 to 1", title_justify="left")
    for row in results["expectations"]:
        expectations.add_row(str(row["case"]), f"{row['borne_out']:.2f}", f"{row['points']:.2f}")
    console.print(expectations)
    properties = Table("property", *VARIANTS, title="What training relies on", title_justify="left")
    for name, description in PROPERTIES.items():
        holds = (results["properties"][variant][name] for variant in VARIANTS)
        properties.add_row(description, *("yes" if each else "NO" for each in holds))
    console.print(properties)


def _score_case(case: AnswerCase, scheme: RewardScheme) -> dict[str, float]:
    (reward,) = score.score([case.text], [case.truth], scheme)
    return {"form": reward.form, "outcome": round(reward.outcome, 6), "total": round(reward.total, 6)}


def _score_policies(truths: Sequence[Code], train: Sequence[Code], schemes: Schemes) -> list[dict[str, str | float]]:
    """Return the mean reward per policy over a cohort; only the first two know the truth, none reads the note."""
    frequencies = Counter(train or truths)
    most_common = min(frequencies, key=lambda code: (-frequencies[code], code))
    longest = min(frequencies, key=lambda code: (-len(code.value), -frequencies[code], code))
    letter = Counter(code.value[0] for code in frequencies.elements()).most_common(1)[0][0]
    counts = sorted(Counter(truths).items())  # what a fixed answer earns depends on the true code alone
    fixed = {
        f"always the commonest code ({most_common})": write_answer(TRACE, most_common),
        "always A00": write_answer(TRACE, Code("A00")),
        f"always the longest code ({longest})": write_answer(TRACE, longest),
        f"always the commonest letter, {letter}99": write_answer(TRACE, Code(f"{letter}99")),
        "the 20 commonest codes, an answer each": "".join(
            write_answer(TRACE, code) for code, _ in frequencies.most_common(20)
        ),
        "nothing": "",
    }
    policies: dict[str, list[str]] = {
        "the true code": [write_answer(TRACE, code) for code, _ in counts],
        "the true category": [write_answer(TRACE, Code(code.category)) for code, _ in counts],
        **{name: [text] * len(counts) for name, text in fixed.items()},
    }
    rows = []
    for name, texts in policies.items():
        row: dict[str, str | float] = {"policy": name}
        for variant, scheme in schemes.items():
            rewards = score.score(texts, [code.value for code, _ in counts], scheme)
            total = sum(reward.total * number for reward, (_, number) in zip(rewards, counts, strict=True))
            row[variant] = round(total / len(truths), 6)
        rows.append(row)
    return rows


def _check_properties(cases: Sequence[AnswerCase], scheme: RewardScheme) -> dict[str, bool]:
    rewards = [(case, score.score([case.text], [case.truth], scheme)[0]) for case in cases]
    gold = next(reward.total for case, reward in rewards if case.is_gold and case.truth == TRUTH.value)
    best = max(reward.total for case, reward in rewards if case.truth == TRUTH.value)
    return {
        "gold_earns_most": gold == best and _beats_every_other_code(scheme, gold),
        "longer_prefix_never_less": _is_monotone(scheme),
        "letters_in_third_place_earn_the_form": all(reward.form > 0 for case, reward in rewards if case.is_gold),
        "no_overlap_earns_least_of_well_formed": _pays_least_for_no_overlap(scheme),
        "bounded": min(reward.total for _, reward in rewards) >= -MAX_LOSS,
        "linear": _is_linear(cases, scheme),
    }


def _beats_every_other_code(scheme: RewardScheme, gold: float) -> bool:
    """Return whether every other code, whether shorter, longer or different, earns less than the true one."""
    guesses = {TRUTH.value[:end] + tail for end in range(1, len(TRUTH.value) + 1) for tail in TAILS}
    others = [write_answer(TRACE, code) for guess in sorted(guesses) if (code := Code.find(guess)) and code != TRUTH]
    return all(reward.total < gold for reward in score.score(others, [TRUTH.value] * len(others), scheme))


def _is_monotone(scheme: RewardScheme) -> bool:
    """Return whether one more correct character never pays less, whatever follows it."""
    outcome = OUTCOMES[scheme.variant]
    for truth in ("I10", "J189", "I5021", "M1A9XX", "S72001A"):
        best_before = float("-inf")
        for overlap in range(len(truth) + 1):
            rewards = [outcome(truth[:overlap] + tail, truth) for tail in ("", "~", "~~~~")]
            if min(rewards) < best_before:
                return False
            best_before = max(rewards)
    return True


def _pays_least_for_no_overlap(scheme: RewardScheme) -> bool:
    outcome = OUTCOMES[scheme.variant]
    return all(outcome("~", TRUTH.value) < outcome(TRUTH.value[:overlap], TRUTH.value) for overlap in range(1, 6))


def _is_linear(cases: Sequence[AnswerCase], scheme: RewardScheme) -> bool:
    """Return whether twice a hostile megabyte takes at most three times as long."""
    hostile = [case for case in cases if len(case.text) >= 2**19]
    # any of several rounds: a busy machine spoils some
    return all(any(_scales_linearly(case, scheme) for _ in range(ROUNDS)) for case in hostile)


def _scales_linearly(case: AnswerCase, scheme: RewardScheme) -> bool:
    once, twice = _time(case.text, case.truth, scheme), _time(case.text * 2, case.truth, scheme)
    return twice <= MAX_SLOWDOWN * once + 0.005


def _time(text: str, truth: str, scheme: RewardScheme) -> float:
    """Return the CPU seconds of the fastest of some rounds, the one that other processes disturbed least."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        score.score([text], [truth], scheme)
        seconds.append(time.process_time() - start)
    return min(seconds)
