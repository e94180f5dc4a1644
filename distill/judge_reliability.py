"""Assess a judge's reliability: is it independent of the teacher, and do two judges agree?

Models favour their own kind, so a judge should be of another family than the teacher. Agreement is measured over the
traces that both judges have scored, by quadratically weighted kappa (Cohen 1968): 1 for full agreement, 0 for what
chance alone would give, with a difference of two points weighing four times one of one point. It is reported
with two simpler figures: how often the scores are equal, and how often at most one apart.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import SCORES
from distill.recipe import Recipe

LOWEST, HIGHEST = 1, 5
CHANCE_SCORES = "No model has read these traces: the scores are drawn by chance."

# Family → parts of the names of its models and of their known descendants
FAMILIES = {
    "qwen": ("qwen", "qwq", "qvq", "deepicd-r1", "huatuogpt-o1-7b", "huatuogpt-o1-72b"),
    "llama": ("llama", "medreason", "huatuogpt-o1-8b", "huatuogpt-o1-70b", "nemotron", "tulu"),
    "mistral": ("mistral", "mixtral", "ministral", "magistral", "codestral"),
    "gemma": ("gemma", "gemini"),
    "phi": ("phi-",),
    "deepseek": ("deepseek-v", "deepseek-r1", "deepseek-llm", "deepseek-moe"),
    "gpt": ("gpt-",),
    "olmo": ("olmo",),
    "granite": ("granite",),
    "glm": ("glm-", "chatglm"),
    "command": ("command-r", "aya-"),
    "falcon": ("falcon",),
    "rehearsal": ("rehearsal",),
}


def find_families(model: str) -> frozenset[str]:
    """Return the families that a name or path points to: two for a distilled model, none where it says nothing.

    >>> sorted(find_families("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B")), find_families("our-own/model")
    (['deepseek', 'qwen'], frozenset())
    """
    name = model.lower()
    return frozenset(family for family, parts in FAMILIES.items() if any(part in name for part in parts))


def check_independence(teacher: str, recipe: Recipe, *, allow_same: bool) -> str | None:
    """Return a sentence for the record where the judge's independence is in doubt; None where it is not.

    Raises DeepicdError for a judge of the teacher's family, unless that is allowed.
    """
    if not recipe.uses_model:
        return CHANCE_SCORES
    judge = recipe.model
    shared = find_families(teacher) & find_families(judge)
    if judge == teacher or shared:
        if not allow_same:
            raise DeepicdError(
                f"The judge {judge!r} is of the teacher's family ({', '.join(sorted(shared)) or teacher}).",
                "Choose a model of another family; or, accepting that models favour their own kind, add --same-family.",
            )
        return "The judge is of the teacher's own family."
    if not find_families(teacher) or not find_families(judge):
        return f"Their names do not tell whether {judge} and {teacher} are of one family."
    return None


def measure_agreement(pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return the agreement of two judges by their pairs of scores.

    >>> measure_agreement([(1, 1), (3, 3), (5, 4), (2, 2)])["kappa"]
    0.93
    """
    same, near = (sum(abs(a - b) <= apart for a, b in pairs) for apart in (0, 1))
    kappa = compute_weighted_kappa(pairs)
    return {
        "traces": len(pairs),
        "kappa": None if kappa is None else round(kappa, 2),
        "same": round(same / len(pairs), 3) if pairs else None,
        "at_most_one_apart": round(near / len(pairs), 3) if pairs else None,
        "means": [round(sum(scores) / len(pairs), 2) for scores in zip(*pairs, strict=True)],
    }


def compute_weighted_kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Return kappa; None where chance alone gives full agreement: no pairs, or one and the same score throughout.

    >>> compute_weighted_kappa([(1, 2), (2, 1)]), compute_weighted_kappa([(3, 3)])
    (-1.0, None)
    """
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    apart = sum((a - b) ** 2 for a, b in pairs)
    values = range(LOWEST, HIGHEST + 1)
    by_chance = sum((a - b) ** 2 * first[a] * second[b] for a in values for b in values) / len(pairs) if pairs else 0.0
    return 1 - apart / by_chance if by_chance else None


def compare_judges(folders: Mapping[str, Path]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (judge, judge, their agreement) for each pair; `folders`: judge → folder of its scores."""
    scores = {judge: dict(_read_scores(folder)) for judge, folder in folders.items()}
    for first, second in combinations(sorted(scores), 2):
        common = scores[first].keys() & scores[second].keys()
        yield first, second, measure_agreement([(scores[first][key], scores[second][key]) for key in sorted(common)])


def _read_scores(folder: Path) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield ((note, trace), score) of each trace that has a score."""
    for path in sorted((folder / "scores").glob("*.parquet")):
        for row in storage.read_table(path, SCORES, ["note_id", "trace_sha256", "score"]).to_pylist():
            if row["score"] is not None:
                yield (row["note_id"], row["trace_sha256"]), row["score"]
