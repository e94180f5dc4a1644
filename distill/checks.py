"""Is a trace fit for the dataset? Each check is a pure function and has a reason code; a row is kept if all pass.

>>> reasons("<think>Too brief.</think><diagnosis>I10</diagnosis>", "stop", Code.parse("I10"), Limits(31, 883))
['too short']
"""

from dataclasses import dataclass
from typing import Literal

from deepicd.completion import Malformed, parse
from deepicd.icd10cm import Code

Reason = Literal["cut off", "form", "wrong code", "too short", "too long"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Fewest and most words of a trace, tags and diagnosis not counted."""

    min_words: int
    max_words: int


def words(text: str) -> int:
    """Words as the paper counts a trace's length: what white space parts."""
    return len(text.split())


def reasons(text: str, finish_reason: str, code: Code, limits: Limits) -> list[Reason]:
    """Why an answer is no row of the dataset, the most telling reason first; empty for one that is kept."""
    found: list[Reason] = ["cut off"] if finish_reason == "length" else []
    answer = parse(text)
    if isinstance(answer, Malformed):
        return [*found, "form"]
    if answer.code != code:
        found.append("wrong code")
    length = words(answer.trace)
    if length < limits.min_words:
        found.append("too short")
    if length > limits.max_words:
        found.append("too long")
    return found
