"""The budget of a run by how often a code occurs: more attempts for the rare ones, and what their guideline says.

    budget = plan_budget(recipe, {"I214": 900, "A3681": 1})
    budget.get_attempts(Code("A3681")), budget.get_attempts(Code("I214"))     # (6, 3)

Rare is a code with fewer rows in the cohort than `rare_below`. Attempts beyond those of other codes are capped: only so
many rows have them as `rare_most` of the cohort, the rarest codes first; how many did not is counted.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.verification.diseases import mask_diagnosis
from distill.recipe import Recipe
from distill.sources import Sources

ANY_CODE = re.compile(r"\b[A-Z]\d[\dA-Z](?:\.[\dA-Z]{1,4})?\b")
MASK = "[…]"
GUIDELINE_HINT = "The coding guidelines say of such cases, with names blanked out: "


@dataclass(frozen=True, slots=True)
class Budget:
    """Which codes are rare, and what they get."""

    recipe: Recipe
    rare: Mapping[str, int]
    """Code → rows of the cohort."""
    beyond: int
    """Rows of rare codes that the cap leaves with the usual attempts."""

    def get_attempts(self, code: Code) -> int:
        """Return how many attempts a rollout of a code's row has."""
        return self.recipe.rare_attempts if code.value in self.rare else self.recipe.attempts

    def describe(self) -> dict[str, int]:
        """Return the codes and rows with the larger budget, and the rows beyond the cap; empty without one."""
        if not self.recipe.rare_below:
            return {}
        return {
            "attempts at most": self.recipe.rare_attempts,
            "codes": len(self.rare),
            "rows": sum(self.rare.values()),
            "rows beyond the cap": self.beyond,
        }


def plan_budget(recipe: Recipe, rows_of: Mapping[str, int]) -> Budget:
    """Return the budget of a recipe over a cohort. `rows_of`: code → rows."""
    ascending = sorted((rows, code) for code, rows in rows_of.items() if rows < recipe.rare_below)
    room = recipe.rare_most * sum(rows_of.values())
    rare: dict[str, int] = {}
    for rows, code in ascending:
        if rows > room:
            break  # those that follow are as frequent or more
        rare[code] = rows
        room -= rows
    return Budget(recipe, rare, sum(rows for rows, _ in ascending) - sum(rare.values()))


def count_codes(sources: Sources) -> Counter[str]:
    """Return code → rows of the whole cohort."""
    return Counter(
        code
        for file in sources.files.values()
        for batch in file.iter_batches(columns=["icd_code"])
        for code in batch["icd_code"].to_pylist()
    )


def quote_guideline(knowledge: Knowledge, code: Code, title: str, max_tokens: int) -> str | None:
    """Return what the guidelines say on a code, with its names blanked out; None for nothing.

    Other codes are blanked out as well: a hint tells what to weigh, never what to answer.
    """
    excerpt = knowledge.build_excerpt(code, max_tokens=max_tokens)
    if excerpt is None:
        return None
    masked = mask_diagnosis(excerpt, code, [title], MASK)
    return GUIDELINE_HINT + " ".join(ANY_CODE.sub(MASK, masked).split())
