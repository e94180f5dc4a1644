"""A rehearsed trace with what it claims: which words of it rest on which words of the note, and planted errors.

    rehearsed = rehearse(note, Code("I214"), "NSTEMI", seed=1)
    rehearsed.claims[0]                    # Claim(start=31, end=41, kind='supported', note=(24, 34))
    plant_errors(rehearsed, note, seed=1)  # the same with a changed number, the other side, a lost negation, …

Gold for whatever links the claims of a trace to its note. Spans are character offsets, end excluded; claims come in the
order of the trace and do not overlap. Words between them only lead from one claim to the next.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["supported", "inference", "contradicted", "not in the note"]
Error = Literal["number", "side", "negation", "drug"]
ERRORS: tuple[Error, ...] = ("number", "side", "negation", "drug")

INVENTED_DRUGS = (
    "clozapine",
    "tofacitinib",
    "natalizumab",
    "disulfiram",
    "leflunomide",
    "ivabradine",
    "pyridostigmine",
)
"""Drugs that few notes mention; one that the note does mention is not used."""
_DRUG_SENTENCES = ("The patient also takes {} at home.", "Home medications include {} as well.")

_NUMBER = re.compile(r"(?<![\w./-])\d+(?:\.\d+)?(?![\w./-]|\.\d)")
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left"}
_NEGATIONS = (
    (re.compile(r"\b[Dd]enies\b"), "reports"),
    (re.compile(r"\bwithout\b"), "with"),
    (re.compile(r"\b(?:has|had) no\b"), "has"),
    (re.compile(r"\b(?:[Ii]s|[Ww]as|[Aa]re) not\b"), "is"),
    (re.compile(r"^No "), ""),
)


@dataclass(frozen=True, slots=True)
class Claim:
    start: int
    end: int
    """In the trace."""
    kind: Kind
    note: tuple[int, int] | None = None
    """Where the note says it, or says otherwise; None where it says nothing."""
    error: Error | None = None
    """What was planted."""


@dataclass(frozen=True, slots=True)
class RehearsedTrace:
    text: str
    claims: tuple[Claim, ...]

    def get_words(self, claim: Claim) -> str:
        return self.text[claim.start : claim.end]


def plant_errors(rehearsed: RehearsedTrace, note: str, seed: int, errors: Sequence[Error] = ERRORS) -> RehearsedTrace:
    """Return the trace with one error of each kind, as far as it has a claim for it, and gold that says so.

    A quotation with an error loses its marks, as a paraphrase has none. An invented drug gets a sentence of its own.
    """
    chance = random.Random(f"{seed}/{rehearsed.text}")
    for error in errors:
        change = _CHANGES.get(error)
        rehearsed = _invent_drug(rehearsed, note, chance) if change is None else _change(
            rehearsed, note, error, change, chance
        )  # fmt: skip
    return rehearsed


def _change(
    rehearsed: RehearsedTrace,
    note: str,
    error: Error,
    change: Callable[[str, str, random.Random], str | None],
    chance: random.Random,
) -> RehearsedTrace:
    """Change one supported claim, if one can be changed."""
    changed = [
        (place, words)
        for place, claim in enumerate(rehearsed.claims)
        if claim.kind == "supported" and (words := change(rehearsed.get_words(claim), note, chance)) is not None
    ]
    if not changed:
        return rehearsed
    place, words = chance.choice(changed)
    claim = rehearsed.claims[place]
    start, end = claim.start, claim.end
    is_quoted = rehearsed.text[start - 1 : start] == "“" and rehearsed.text[end : end + 1] == "”"
    if is_quoted:
        start, end = start - 1, end + 1
    text = rehearsed.text[:start] + words + rehearsed.text[end:]
    wrong = replace(claim, start=start, end=start + len(words), kind="contradicted", error=error)
    claims = (*rehearsed.claims[:place], wrong, *_shift(rehearsed.claims[place + 1 :], len(text) - len(rehearsed.text)))
    return RehearsedTrace(text, claims)


def _invent_drug(rehearsed: RehearsedTrace, note: str, chance: random.Random) -> RehearsedTrace:
    """Add a sentence about a drug that the note does not mention, at the end of a paragraph."""
    drugs = [drug for drug in INVENTED_DRUGS if drug not in note.lower()]
    ends = [match.start() for match in re.finditer(r"\n\n", rehearsed.text)]
    if not drugs or not ends:
        return rehearsed
    at, sentence = chance.choice(ends), chance.choice(_DRUG_SENTENCES).format(chance.choice(drugs))
    text = f"{rehearsed.text[:at]} {sentence}{rehearsed.text[at:]}"
    invented = Claim(at + 1, at + 1 + len(sentence), "not in the note", error="drug")
    before = tuple(claim for claim in rehearsed.claims if claim.end <= at)
    after = _shift(rehearsed.claims[len(before) :], len(sentence) + 1)
    return RehearsedTrace(text, (*before, invented, *after))


def _shift(claims: Sequence[Claim], by: int) -> tuple[Claim, ...]:
    return tuple(replace(claim, start=claim.start + by, end=claim.end + by) for claim in claims)


def _change_number(words: str, note: str, chance: random.Random) -> str | None:
    """Return the words with a number that the note does not have; None without a number."""
    matches = list(_NUMBER.finditer(words))
    if not matches:
        return None
    match = chance.choice(matches)
    whole = int(float(match[0]))
    known = {*map(str, _NUMBER.findall(note)), *re.findall(r"\d+", note)}
    other = next(str(number) for number in range(whole + max(2, whole // 3), 100_000) if str(number) not in known)
    return words[: match.start()] + other + words[match.end() :]


def _swap_side(words: str, _note: str, chance: random.Random) -> str | None:
    """Return the words with the other side; None without a side, or with both."""
    sides = {match.lower() for match in _SIDE.findall(words)}
    if len(sides) != 1:
        return None
    return _SIDE.sub(lambda match: _OTHER_SIDE[match[0].lower()], words)


def _drop_negation(words: str, _note: str, _chance: random.Random) -> str | None:
    """Return the words without their first negation; None without one."""
    for pattern, instead in _NEGATIONS:
        if pattern.search(words):
            return pattern.sub(instead, words, count=1)
    return None


_CHANGES: dict[Error, Callable[[str, str, random.Random], str | None]] = {
    "number": _change_number,
    "side": _swap_side,
    "negation": _drop_negation,
}
