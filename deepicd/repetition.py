"""Does a text loop? One measure for the checks of a trace and for the rewards of training; linear in its length."""

from collections.abc import Sequence

LOOP = 6  # words of a run that counts as repeated when it stands in the text once more


def measure_repetition(words: Sequence[str]) -> float:
    """Share of the words that stand in a run of six which has been there before: 0 none, near 1 a loop.

    >>> measure_repetition("the pain grew worse over two days".split())
    0.0
    >>> round(measure_repetition("so it goes on and on again ".split() * 5), 2)
    0.8
    """
    seen: set[tuple[str, ...]] = set()
    covered = end = 0
    for start in range(len(words) - LOOP + 1):
        run = tuple(words[start : start + LOOP])
        if run in seen:
            covered += start + LOOP - max(start, end)
            end = start + LOOP
        seen.add(run)
    return covered / len(words) if words else 0.0
