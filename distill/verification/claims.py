"""What a model says of the claims that the rules leave untouched: confirmed or refuted, with the outcome's sentence.

The rules know names; a model also knows that 'the leg was cut open to relieve pressure' bears out a fasciotomy. It is
believed as far as it quotes: a verdict whose quotation does not stand in the outcome counts as untouched, and so does
one that refutes what the trace only weighs. That the quoted words decide the claim is the model's own judgement.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deepicd.engines.runner import Question
from deepicd.outcome import Outcome
from deepicd.verification.borne_out import Forecast, Stance, Verdict
from deepicd.verification.points import find_object
from distill.verification.questions import OUTCOME_HEADING, is_quoted, normalize
from distill.verification.recipe import VerifyRecipe

MOST_CLAIMS = 20
"""Claims of one trace that are asked, from its beginning; the others stay untouched."""
AROUND = 160  # characters of the trace on each side of a claim's name, up to the ends of its sentence
CLAIMS_HEADING = "# Claims"
STANCES = {Stance.ASSERTED: "expects", Stance.WEIGHED: "weighs", Stance.EXCLUDED: "excludes"}

CLAIMS = """\
You are shown what became of a hospital stay, and claims that a physician made at admission. Decide for each claim \
what the record says of it: "confirmed" if a passage shows that it was right, "refuted" if a passage shows that it was \
wrong, "untouched" if the record is silent or leaves it open. For the first two quote the passage that decides, \
verbatim, at most one sentence. Do not infer from silence.

Answer as JSON: {"claims": [{"number": 1, "verdict": "confirmed", "quotation": "…"}]}, one entry per claim."""

Ruling = tuple[Verdict, str]
"""A verdict, and the quotation that decides it; '' for untouched."""


def list_untouched(forecasts: Sequence[Forecast]) -> list[int]:
    """Return the places of the forecasts that a model is asked for."""
    return [place for place, one in enumerate(forecasts) if one.verdict is Verdict.UNTOUCHED][:MOST_CLAIMS]


def ask_for_claims(
    recipe: VerifyRecipe, note_id: str, trace: str, forecasts: Sequence[Forecast], outcome: str
) -> Question[list[Ruling]] | None:
    """Return the question for the untouched claims of a trace; None where there are none."""
    asked = [forecasts[place] for place in list_untouched(forecasts)]
    if not asked or not outcome:
        return None
    listed = "\n".join(
        f"{number}. It {STANCES[one.stance]} {trace[one.start : one.end]!r}: {quote_claim(trace, one)}"
        for number, one in enumerate(asked, 1)
    )
    user = f"{OUTCOME_HEADING}\n{outcome}\n\n{CLAIMS_HEADING}\n{listed}"
    messages = [{"role": "system", "content": CLAIMS}, {"role": "user", "content": user}]
    plain = normalize(outcome)

    def parse(text: str) -> list[Ruling] | None:
        return read_rulings(find_object(text, "claims"), [one.stance for one in asked], plain)

    return Question(recipe, recipe.attempts, note_id, messages, parse, _build_schema(len(asked)))


def quote_claim(trace: str, claim: Forecast) -> str:
    """Return the sentence of a trace that makes a claim."""
    before = trace[max(claim.start - AROUND, 0) : claim.start]
    after = trace[claim.end : claim.end + AROUND]
    for end in (". ", "? ", "! ", "\n"):
        before, after = before.rpartition(end)[2], after.partition(end)[0]
    return " ".join(f"{before}{trace[claim.start : claim.end]}{after}".split())


def read_rulings(answer: object, stances: Sequence[Stance], plain: str) -> list[Ruling] | None:
    """Return a ruling per claim; None for an answer that is no list of claims. `plain`: the normalized outcome.

    A claim without an entry, with two that differ, or with a quotation that is not there is untouched.
    """
    if not isinstance(answer, list):
        return None
    rulings: dict[int, Ruling] = {}
    for entry in answer:
        if not isinstance(entry, dict) or type(number := entry.get("number")) is not int:
            return None
        if not 0 < number <= len(stances) or entry.get("verdict") not in list(Verdict):
            return None
        ruling = _believe(Verdict(entry["verdict"]), entry.get("quotation"), stances[number - 1], plain)
        if rulings.setdefault(number, ruling)[0] is not ruling[0]:
            rulings[number] = Verdict.UNTOUCHED, ""
    return [rulings.get(number, (Verdict.UNTOUCHED, "")) for number in range(1, len(stances) + 1)]


def _believe(verdict: Verdict, quotation: object, stance: Stance, plain: str) -> Ruling:
    if verdict is Verdict.UNTOUCHED or not isinstance(quotation, str) or not is_quoted(quotation, plain):
        return Verdict.UNTOUCHED, ""
    if verdict is Verdict.REFUTED and stance is Stance.WEIGHED:
        return Verdict.UNTOUCHED, ""
    return verdict, quotation


def apply_rulings(forecasts: Sequence[Forecast], rulings: Sequence[Ruling] | None, outcome: Outcome) -> list[Forecast]:
    """Return the forecasts with what a model has ruled; unchanged without rulings."""
    ruled = list(forecasts)
    for place, (verdict, quotation) in zip(list_untouched(forecasts), rulings or (), strict=False):
        if verdict is not Verdict.UNTOUCHED:
            section = next(
                (name for name, text in outcome.reveal_sections() if is_quoted(quotation, normalize(text))), ""
            )
            ruled[place] = replace(forecasts[place], verdict=verdict, section=section, by_model=True)
    return ruled


def _build_schema(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "number": {"type": "integer", "minimum": 1, "maximum": number},
        "verdict": {"type": "string", "enum": [str(verdict) for verdict in Verdict]},
        "quotation": {"type": "string", "maxLength": 400},
    }
    claim = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    claims = {"type": "array", "items": claim, "maxItems": number}
    return {"type": "object", "properties": {"claims": claims}, "required": ["claims"], "additionalProperties": False}
