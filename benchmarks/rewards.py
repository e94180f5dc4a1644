"""Measure the rewards of a training step and an evaluation, each against the plain way of computing it.

  rewards      completions/s on one core, against a pattern and a loop with the same rewards (without hostile inputs, on
               which the pattern would not return); and milliseconds for 512 completions, one step of verl
  evaluation   18,654 predictions at three levels with their intervals, and two runs compared, each against scikit-learn
               computing the same means once, without intervals

Run: python -m benchmarks.rewards
"""

import random
import re
import resource
import time
from collections.abc import Callable, Sequence

from benchmarks.measure import Comparison, Cost, compare, record
from deepicd.paper import GRPO_BATCH, GRPO_ROLLOUTS, MIMIC_REASON

STEP = GRPO_BATCH * GRPO_ROLLOUTS
ROWS = MIMIC_REASON.rows["test"]
WORDS = int(MIMIC_REASON.words_mean)
PATTERN = re.compile(r"^\s*<think>(.+?)</think>\s*<diagnosis>(.+?)</diagnosis>\s*$", re.DOTALL)
CODE = re.compile(r"^[A-Z][0-9][0-9AB](\.?[0-9A-Z]{1,4})?$")


def main() -> None:
    texts, truths = make_answers(STEP)
    comparisons = [compare_rewards(texts, truths), *compare_evaluation(*make_answers(ROWS, words=3))]
    seconds = comparisons[0].seconds
    print(f"{STEP} completions: {1000 * seconds:.1f} ms, {STEP / seconds:,.0f} completions/s per core")
    record("rewards", comparisons, ["numpy", "scikit-learn"])


def make_answers(rows: int, words: int = WORDS, seed: int = 1) -> tuple[list[str], list[str]]:
    """Return answers and their true codes: a fifth of the answers are right, a few are malformed."""
    from deepicd.answer_form import write_answer
    from deepicd.icd10cm import Code, load_release

    rng = random.Random(seed)
    codes = rng.sample([code.value for code in load_release().list_codes()], MIMIC_REASON.codes)
    weights = [1 / (place + 1) for place in range(len(codes))]
    truths = rng.choices(codes, weights, k=rows)
    guesses = [truth if rng.random() < 0.2 else rng.choices(codes, weights)[0] for truth in truths]
    trace = "finding " * words
    texts = [write_answer(trace, Code(guess)) if rng.random() < 0.97 else trace for guess in guesses]
    return texts, truths


def compare_rewards(texts: Sequence[str], truths: Sequence[str]) -> Comparison:
    from train.rewards import score

    ours = [reward.total for reward in score.score(texts, truths)]
    if ours != [score_plainly(text, truth) for text, truth in zip(texts, truths, strict=True)]:
        raise RuntimeError("The two rewards differ.")
    return compare(
        f"rewards of {len(texts)} completions",
        lambda: time_call(lambda: score.score(texts, truths)),
        "a pattern and a loop",
        lambda: time_call(lambda: [score_plainly(text, truth) for text, truth in zip(texts, truths, strict=True)]),
        rounds=9,
    )


def score_plainly(text: str, truth: str) -> float:
    """Return the default reward, written in the most obvious way."""
    if not (match := PATTERN.match(text)):
        return 0.0
    predicted = match.group(2).strip().upper()
    if any(text.count(tag) != 1 for tag in ("<think>", "</think>", "<diagnosis>", "</diagnosis>")):
        return 0.0
    if not CODE.match(predicted):
        return 0.0
    predicted = predicted.replace(".", "")
    if predicted == truth:
        return 1.0 + len(truth)
    overlap = 0
    for i in range(min(len(predicted), len(truth))):
        if predicted[i] != truth[i]:
            break
        overlap += 1
    return 1.0 + overlap / len(truth) + max(0, overlap - 2)


def compare_evaluation(texts: Sequence[str], truths: Sequence[str]) -> list[Comparison]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    from deepicd.icd10cm import Code
    from train.evaluation.comparison import SHUFFLES, compare_runs
    from train.evaluation.metric_vector import METRICS, MetricVector
    from train.evaluation.metrics import LEVELS, get_class
    from train.evaluation.reading import extract_code

    true = [Code(code) for code in truths]
    given = [code if isinstance(code := extract_code(text, "form"), Code) else None for text in texts]

    def theirs() -> list[float]:
        means = []
        for name in LEVELS:
            y_true = [get_class(name, code) for code in true]
            y_pred = ["NIL" if code is None else get_class(name, code) for code in given]
            macro = precision_recall_fscore_support(
                y_true, y_pred, labels=sorted(set(y_true)), average="macro", zero_division=0
            )
            means += [*map(float, macro[:3]), float(accuracy_score(y_true, y_pred))]
        return means

    vector, other = MetricVector.build(true, given), MetricVector.build(true, given[::-1])
    shared = [vector.values[f"{name}.{metric}"] for name in LEVELS for metric in METRICS]
    if not max(abs(mean - expected) for mean, expected in zip(shared, theirs(), strict=True)) < 1e-12:
        raise RuntimeError("The means differ from those of scikit-learn.")
    rows = f"{len(true):,} predictions"
    return [
        compare(
            f"metrics of {rows}, with intervals",
            lambda: time_call(lambda: MetricVector.build(true, given).estimate_intervals()),
            "scikit-learn, the same means once", lambda: time_call(theirs),
        ),
        compare(
            f"two runs compared on {rows}, {SHUFFLES:,} swaps",
            lambda: time_call(lambda: compare_runs(vector, other)),
            "scikit-learn, the means once", lambda: time_call(theirs),
        ),
    ]  # fmt: skip


def time_call(work: Callable[[], object]) -> Cost:
    start = time.perf_counter()
    work()
    return Cost(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
