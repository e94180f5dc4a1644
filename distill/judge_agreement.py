"""Do two judges agree? Over the traces that both have scored.

Quadratically weighted kappa (Cohen 1968): 1 for agreement in all, 0 for what chance alone would give, with a difference
of two points weighing four times one of one point. Beside it what a reader can picture: how often the scores are the
same, and how often at most one apart.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.schema import SCORES

LOWEST, HIGHEST = 1, 5


def agreement(pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Of pairs of scores.

    >>> agreement([(1, 1), (3, 3), (5, 4), (2, 2)])["kappa"]
    0.93
    """
    same, near = (sum(abs(a - b) <= apart for a, b in pairs) for apart in (0, 1))
    kappa = weighted_kappa(pairs)
    return {
        "traces": len(pairs),
        "kappa": None if kappa is None else round(kappa, 2),
        "same": round(same / len(pairs), 3) if pairs else None,
        "at_most_one_apart": round(near / len(pairs), 3) if pairs else None,
        "means": [round(sum(scores) / len(pairs), 2) for scores in zip(*pairs, strict=True)],
    }


def weighted_kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """None where chance alone gives full agreement: no pairs, or both judges with one and the same score throughout.

    >>> weighted_kappa([(1, 2), (2, 1)]), weighted_kappa([(3, 3)])
    (-1.0, None)
    """
    one, other = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    apart = sum((a - b) ** 2 for a, b in pairs)
    values = range(LOWEST, HIGHEST + 1)
    by_chance = sum((a - b) ** 2 * one[a] * other[b] for a in values for b in values) / len(pairs) if pairs else 0.0
    return 1 - apart / by_chance if by_chance else None


def of_folders(folders: Mapping[str, Path]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(one judge, another, their agreement) for each two of the folders, by the judges' names."""
    given = {judge: dict(_scores(folder)) for judge, folder in folders.items()}
    for one, other in combinations(sorted(given), 2):
        both = given[one].keys() & given[other].keys()
        yield one, other, agreement([(given[one][key], given[other][key]) for key in sorted(both)])


def _scores(folder: Path) -> Iterator[tuple[tuple[str, str], int]]:
    """((note, trace), score) of what has one."""
    for path in sorted((folder / "scores").glob("*.parquet")):
        for row in storage.read_table(path, SCORES, ["note_id", "trace_sha256", "score"]).to_pylist():
            if row["score"] is not None:
                yield (row["note_id"], row["trace_sha256"]), row["score"]
