"""Decide whether a trace is fit for the dataset: `measure` returns what is in it, `find_reasons` why it is rejected.

    findings = measure(text, "stop", material)
    find_reasons(findings, recipe)     # ['too short'], or [] for a trace that is kept

Findings depend on the text and its note alone and are kept in the ledger; thresholds are the recipe's, so
changing one repeats no measurement. Shares of grounding count only where there are enough items for a share.
Every measure is linear in the length of text and note.

A run of which nothing was kept is an error, with the commonest reasons and what to look at first.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from deepicd.answer_form import Answer, measure_repetition, parse_answer
from deepicd.errors import DeepicdError
from deepicd.evidence import Evidence
from deepicd.stage_records import DistillCounts
from deepicd.trace_measures import Share, find_first_mention, measure_grounding
from distill.prompt import Material
from distill.recipe import Recipe

VERSION = "checks-2"
"""Change it with the measurements: findings of other versions in the ledger are then measured again."""

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

FEWEST_ITEMS = 4  # of a kind; a share of fewer says nothing


@dataclass(frozen=True, slots=True)
class Findings:
    """What is in a completion. Without a trace, the whole text is measured."""

    cut_off: bool
    form: str | None
    """What is wrong with the form (deepicd.answer_form.Problem); None where it is right."""
    code: str | None
    """The code in its diagnosis."""
    right_code: bool
    words: int
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
    evidence: tuple[tuple[int, int, str, str, int | None, int | None], ...]
    """The claims of the trace, as deepicd.schema.EVIDENCE has them; empty without a trace."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "Findings":
        """Return the findings in an entry of the ledger."""
        values = {field.name: entry[field.name] for field in fields(cls)}
        shares = {name: Share(*values[name]) for name in ("numbers", "drugs", "quotes")}
        return cls(**values | shares | {"evidence": tuple(map(tuple, values["evidence"]))})

    def to_entry(self) -> dict[str, Any]:
        """Return the findings as the ledger has them."""
        return {"checks": VERSION} | {field.name: getattr(self, field.name) for field in fields(self)}


def measure(text: str, finish_reason: str, material: Material) -> Findings:
    """Return the findings of a completion."""
    parsed = parse_answer(text)
    trace = parsed.trace if isinstance(parsed, Answer) else text
    words = trace.split()  # as the paper counts a trace's length
    grounding = measure_grounding(trace, material.note)
    return Findings(
        cut_off=finish_reason == "length",
        form=None if isinstance(parsed, Answer) else parsed.problem,
        code=parsed.code.value if isinstance(parsed, Answer) else None,
        right_code=isinstance(parsed, Answer) and parsed.code == material.code,
        words=len(words),
        named_at=find_first_mention(trace, material.code, [material.title], material.note),
        giveaways=count_giveaways(trace),
        repeated=measure_repetition(words),
        english=measure_english(words),
        other_script=measure_other_script(trace),
        numbers=grounding.numbers,
        drugs=grounding.drugs,
        quotes=grounding.quotes,
        verbatim=grounding.verbatim,
        evidence=tuple(map(_list_values, grounding.evidence)) if isinstance(parsed, Answer) else (),
    )


def _list_values(claim: Evidence) -> tuple[int, int, str, str, int | None, int | None]:
    return (
        claim.claim_start, claim.claim_end, claim.category.value, claim.kind.value, claim.note_start, claim.note_end
    )  # fmt: skip


def find_reasons(findings: Findings, recipe: Recipe) -> list[Reason]:
    """Return why a completion is rejected, the most telling reason first; empty for one that is kept.

    Without the form there is no trace to check, so the form is the only reason.
    """
    if findings.form is not None:
        return ["cut off", "form"] if findings.cut_off else ["form"]
    is_early = findings.named_at is not None and findings.named_at < recipe.named_from
    applies: dict[Reason, bool] = {
        "cut off": findings.cut_off,
        "wrong code": not findings.right_code,
        "too short": findings.words < recipe.min_words,
        "too long": findings.words > recipe.max_words,
        "diagnosis named early": is_early,
        "hindsight": findings.giveaways > recipe.max_giveaways,
        "loop": findings.repeated > recipe.max_repeated,
        "language": findings.english < recipe.min_english or findings.other_script > recipe.max_other_script,
        "numbers not in the note": _is_below(findings.numbers, recipe.min_numbers),
        "drugs not in the note": _is_below(findings.drugs, recipe.min_drugs),
        "quotes not in the note": _is_below(findings.quotes, recipe.min_quotes),
        "copies the note": bool(recipe.max_verbatim) and findings.verbatim > recipe.max_verbatim,
    }
    return [reason for reason, does_apply in applies.items() if does_apply]


def _is_below(items: Share, least: float) -> bool:
    return items.total >= FEWEST_ITEMS and items.in_note < least * items.total


# Function words: some 40 in 100 words of English prose, some 25 in 100 of clinical shorthand.
_ENGLISH = frozenset(
    "a about after all also an and any are as at be because been before but by can could did do does for from had has"
    " have he her him his how i if in into is it its may more most no nor not of on or other over she should since so"
    " some such than that the their them then there these they this those though to under until was we were what when"
    " where which while who why will with without would yet you".split()
)
# Function words of German, which descriptions bring into the prompt, except those that are English words too.
_GERMAN = frozenset(
    "aber als auch auf aus bei beim bis das dem den der des die diese dieser durch ein eine einem einen einer eines er"
    " es für haben hat ich ihr ihre im ist kann mit nach nicht nur oder sehr sich sie sind und uns unter vom von vor"
    " wenn werden wie wird wurde zu zum zur über".split()
)

# Phrases that show that the writer has seen the answer. Each is a plain run of words, so that matching stays linear.
_GIVEAWAY = re.compile(
    r"\b(?:"
    r"as (?:was |were |is |are )?(?:provided|given|supplied|instructed|requested)\b(?! (?:in|by) the (?:note|history))"
    r"|(?:the|this|an?) (?:already )?(?:assigned|provided|given|supplied|target|billed|known|gold|true|correct|actual)"
    r" (?:icd[- ]?10(?:[- ]?cm)? )?(?:code|diagnosis|label|answer)"
    r"|(?:code|diagnosis|answer) (?:that )?(?:i|we) (?:was|were|am|are) (?:given|told|shown|asked to)"
    r"|(?:code|diagnosis|answer) (?:is|was) (?:already )?(?:given|provided|known|supplied|assigned)\b"
    r"|diagnosis to arrive at|what patients are told"
    r"|(?:was|were|been|is|are) (?:later |eventually |subsequently )?billed\b"
    r"|(?:provided|given|supplied) (?:coding )?(?:guidelines?|descriptions?)"
    r"|(?:guidelines?|descriptions?) (?:that (?:was|were) )?(?:provided|given|supplied)"
    r"|with (?:the benefit of )?hindsight|(?:pretend|as if|as though) (?:i|we) (?:do |did )?not know"
    r")",
    re.IGNORECASE,
)
# A letter beyond Latin with all its accents, except Greek
_OTHER_LETTER = re.compile(r"[^\W\d_\u0000-\u024f\u0370-\u03ff]")


def count_giveaways(trace: str) -> int:
    """Return how many phrases show that the writer knew the answer.

    >>> count_giveaways("The assigned code is I21.4, as provided."), count_giveaways("Oxygen was given at home.")
    (2, 0)
    """
    return sum(1 for _ in _GIVEAWAY.finditer(trace))


def measure_english(words: Sequence[str]) -> float:
    """Return the share of English function words, less that of German ones.

    >>> measure_english("the pain is worse".split()), measure_english("die Schmerzen sind und".split())
    (0.5, -0.75)
    """
    if not words:
        return 0.0
    return sum((word in _ENGLISH) - (word in _GERMAN) for word in map(str.lower, words)) / len(words)


def measure_other_script(text: str) -> float:
    """Return the share of letters that are not Latin; Greek, of which medicine uses single letters, does not count.

    >>> measure_other_script("β-blocker"), measure_other_script("心脏 ok")
    (0.0, 0.5)
    """
    letters = sum(map(str.isalpha, text))
    if text.isascii() or not letters:
        return 0.0
    return len(_OTHER_LETTER.findall(text)) / letters


COMMONEST = 5  # reasons in an error
CAUSES = {
    "cut off": "Answers end at max_tokens: raise it (--set max_tokens=4096).",
    "form": "The model does not answer in <think> and <diagnosis>: is it an instruct model, with its own chat template?"
    " --preview 1 shows what it reads.",
    "wrong code": "The model does not conclude with the code that it is given: --preview 1 shows what it reads.",
    "too long for the context": "Prompts do not fit: raise context, or choose --guideline-text relevant.",
}
"""What to look at first, by the commonest reason."""
THRESHOLD = "Each reason has a threshold in the recipe (docs/distillation.md, Checks)."


def require_kept(folder: Path, counts: DistillCounts) -> None:
    """Raise DeepicdError where a run kept no trace that a later stage could work on."""
    if not sum(counts.kept.values()):
        raise DeepicdError(
            f"{folder} holds no kept trace.", f"Why each was rejected: deepicd view {folder}. Write the traces again."
        )


def explain_nothing_kept(folder: Path, counts: DistillCounts) -> DeepicdError:
    """Return the error for a run without a kept trace: every later stage would have nothing to work on."""
    commonest = Counter(counts.reasons).most_common(COMMONEST)
    reasons = ", ".join(f"{reason} ({rows:,})" for reason, rows in commonest)
    [(first, _), *_] = commonest
    return DeepicdError(
        f"None of {sum(counts.rejected.values()):,} rows has a trace that was kept; of {counts.attempts:,} attempts all"
        f" were rejected. Rows by reason: {reasons}.",
        f"{CAUSES.get(first, THRESHOLD)} Every attempt is in {folder / 'rejected'}, and in the ledger: read some with"
        f" deepicd view {folder}. A changed recipe asks only for what is new.",
    )
