"""Is a trace fit for the dataset? What was found in it (`findings`), and what of that speaks against it (`reasons`).

    found = findings(text, "stop", material)
    reasons(found, recipe)     # ['too short'], or [] for a trace that is kept

Findings depend on the text and its note alone and are kept in the ledger; thresholds are the recipe's, so that a
changed threshold measures nothing again. Shares of grounding count only where there are enough items to speak of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from deepicd.answer_form import Answer, measure_repetition, parse_answer
from distill import hindsight
from distill.grounding import Share, grounding
from distill.prompt import Material
from distill.recipe import Recipe

VERSION = "checks-1"
"""Other ways of measuring need another name: findings in the ledger are then measured anew."""

Reason = Literal[
    "cut off",
    "form",
    "wrong code",
    "too short",
    "too long",
    "diagnosis named early",
    "hindsight",
    "loop",
    "language",
    "numbers not in the note",
    "drugs not in the note",
    "quotes not in the note",
    "copies the note",
]

FEWEST = 4  # items of a kind below which their share says nothing


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be known of a completion; the trace's part is None or empty where there is no trace."""

    cut_off: bool
    form: str | None
    """What is wrong with the form (deepicd.answer_form.Problem), None for nothing."""
    code: str | None
    """The code it closes on."""
    right_code: bool
    words: int
    """Of the trace; of the whole text where there is no trace."""
    named_at: float | None
    """Where code or title first stand, 0 the start and 1 the end; None for nowhere."""
    giveaways: int
    repeated: float
    english: float
    other_script: float
    numbers: Share
    drugs: Share
    quotes: Share
    verbatim: int

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Findings":
        """As a line of the ledger has them."""
        values = {field.name: entry[field.name] for field in fields(cls)}
        return cls(**values | {name: Share(*values[name]) for name in ("numbers", "drugs", "quotes")})

    def entry(self) -> dict[str, Any]:
        return {"checks": VERSION} | {field.name: getattr(self, field.name) for field in fields(self)}


def words(text: str) -> int:
    """Words as the paper counts a trace's length: what white space parts."""
    return len(text.split())


def findings(text: str, finish_reason: str, material: Material) -> Findings:
    """Look at a completion once; linear in the length of text and note."""
    parsed = parse_answer(text)
    trace = parsed.trace if isinstance(parsed, Answer) else text
    split = trace.split()
    grounded = grounding(trace, material.note)
    return Findings(
        cut_off=finish_reason == "length",
        form=None if isinstance(parsed, Answer) else parsed.problem,
        code=parsed.code.value if isinstance(parsed, Answer) else None,
        right_code=isinstance(parsed, Answer) and parsed.code == material.code,
        words=len(split),
        named_at=hindsight.named_at(trace, material.code, material.title, material.note),
        giveaways=hindsight.giveaways(trace),
        repeated=measure_repetition(split),
        english=hindsight.english(split),
        other_script=hindsight.other_script(trace),
        numbers=grounded.numbers,
        drugs=grounded.drugs,
        quotes=grounded.quotes,
        verbatim=grounded.verbatim,
    )


def reasons(found: Findings, recipe: Recipe) -> list[Reason]:
    """Why a completion is no row of the dataset, the most telling reason first; empty for one that is kept.

    Without the form there is no trace to judge, so nothing more is said of it.
    """
    if found.form is not None:
        return ["cut off", "form"] if found.cut_off else ["form"]
    held_against: dict[Reason, bool] = {
        "cut off": found.cut_off,
        "wrong code": not found.right_code,
        "too short": found.words < recipe.min_words,
        "too long": found.words > recipe.max_words,
        "diagnosis named early": found.named_at is not None and found.named_at < recipe.named_from,
        "hindsight": found.giveaways > recipe.max_giveaways,
        "loop": found.repeated > recipe.max_repeated,
        "language": found.english < recipe.min_english or found.other_script > recipe.max_other_script,
        "numbers not in the note": _less(found.numbers, recipe.min_numbers),
        "drugs not in the note": _less(found.drugs, recipe.min_drugs),
        "quotes not in the note": _less(found.quotes, recipe.min_quotes),
        "copies the note": bool(recipe.max_verbatim) and found.verbatim > recipe.max_verbatim,
    }
    return [reason for reason, held in held_against.items() if held]


def _less(items: Share, wanted: float) -> bool:
    return items.of >= FEWEST and items.found < wanted * items.of
