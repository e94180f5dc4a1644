"""One row of a verification: what each check found of a trace, and why it fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from deepicd import storage
from deepicd.answer_form import measure_overlap
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.runner import Question
from deepicd.icd10cm import Code
from deepicd.verification.borne_out import Forecast, Verdict, find_borne_out, list_expectations
from deepicd.verification.diseases import mask_diagnosis, weigh
from deepicd.verification.outcome_text import read_outcome
from distill.verification.cases import Case, CaseReader
from distill.verification.claims import Ruling, apply_rulings, ask_for_claims
from distill.verification.questions import (
    MASK,
    Point,
    ask_for_grades,
    ask_for_points,
    ask_from_note,
    ask_from_trace,
    count_tokens,
)
from distill.verification.recipe import LEVELS, VERSION, VerifyRecipe

Row = dict[str, Any]

MISLEADS, DECORATION, REFUTED, UNMET = (
    "does not lead to the diagnosis", "adds nothing to the note", "refuted by the outcome", "misses points of its stay",
)  # fmt: skip
CLAIMS_READ = "claims_read"
"""Key of a row, and no column: whether the answer for its untouched claims can be read; None where none was asked."""
UNREAD = "lacks an answer that can be read"
HINTS: Mapping[str, str] = {
    MISLEADS: "An earlier line of thought did not lead its reader to one diagnosis: name the findings that decide, and"
    " why they decide it.",
    DECORATION: "An earlier line of thought repeated the note: say what follows from the findings, beyond what the note"
    " says.",
    REFUTED: "An earlier line of thought claimed as certain what the note does not show: claim only what the note"
    " states, and mark the rest as expected or possible.",
    UNMET: "An earlier line of thought left out what has to be considered: weigh what else explains the findings, which"
    " complications threaten and what has to be excluded.",
}
"""Reason → what the next attempt is told. None names anything of the outcome; `UNREAD` is no fault of the trace."""


def measure_level(answer: Code | None, truth: Code) -> int | None:
    """Return how near an answer is: 0 another chapter, 1 chapter, 2 category, 3 code; None without an answer.

    >>> measure_level(Code("I5021"), Code("I5023")), measure_level(Code("J189"), Code("I5023"))
    (2, 0)
    """
    if answer is None:
        return None
    if answer == truth:
        return 3
    return 2 if answer.category == truth.category else int(answer.chapter == truth.chapter)


@dataclass(frozen=True)
class Questions:
    """What a case is asked; each None where the recipe does not ask it."""

    recipe: VerifyRecipe
    from_trace: Question[Code] | None
    from_note: tuple[Question[Code], ...]
    points: Question[list[Point]] | None
    claims: Question[list[Ruling]] | None

    @classmethod
    def build(cls, case: Case, reader: CaseReader) -> "Questions":
        recipe = reader.recipe
        asks_answer, asks_points = "answer" in recipe.checks, "rubric" in recipe.checks
        masked = mask_diagnosis(case.trace, case.code, case.diagnosis_names, MASK) if asks_answer else ""
        samples = range(recipe.note_answers) if asks_answer else ()
        asks_claims = "untouched" in recipe.checks
        outcome = reader.fit_outcome(case.outcome) if asks_points or asks_claims else ""
        return cls(
            recipe,
            ask_from_trace(recipe, case.note_id, masked) if asks_answer else None,
            tuple(ask_from_note(recipe, case.note_id, case.note, sample) for sample in samples),
            ask_for_points(recipe, case.note_id, outcome) if asks_points and outcome else None,
            ask_for_claims(recipe, case.note_id, case.trace, hold_expectations(case), outcome) if asks_claims else None,
        )

    def ask_for_grades(self, case: Case, ledger: Ledger) -> Question[list[bool]] | None:
        """Return the question for grades; None without points that the model has written."""
        points = self.points.read(ledger)[0] if self.points else None
        return ask_for_grades(self.recipe, case.note_id, points, case.trace) if points else None


def build_row(case: Case, reader: CaseReader, ledger: Ledger) -> Row:
    """Return the row of a case, from the rules and from what the ledger has."""
    recipe = reader.recipe
    row: Row = {
        "note_id": case.note_id,
        "split": case.split,
        "rollout": case.rollout,
        "icd_code": case.code.value,
        "trace_sha256": storage.digest_text(case.trace),
        **_weigh(case, recipe),
        **_read_answers(case, reader, ledger),
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "verifier": recipe.model if recipe.asks_model else None,
        "revision": recipe.revision if recipe.asks_model else None,
        "checks": VERSION,
    }
    return row | {"failed_for": find_reasons(row, recipe)}


def hold_expectations(case: Case) -> list[Forecast]:
    """Return what the rules say of the expectations of a case."""
    outcome = read_outcome(case.outcome.reveal_sections(), case.titles)
    return find_borne_out(list_expectations(case.trace, case.note, outcome.names, case.diagnosis_names), outcome)


def _count_verdicts(case: Case, recipe: VerifyRecipe, rulings: Sequence[Ruling] | None) -> Row:
    if "borne out" not in recipe.checks:
        return dict.fromkeys(("forecasts", "confirmed", "refuted", "untouched"))
    forecasts = apply_rulings(hold_expectations(case), rulings, case.outcome)
    return {"forecasts": [_list_values(one) for one in forecasts]} | {
        verdict.value: sum(one.verdict is verdict for one in forecasts) for verdict in Verdict
    }


def _list_values(one: Forecast) -> Row:
    return {
        "start": one.start,
        "end": one.end,
        "category": one.category,
        "stance": one.stance.value,
        "verdict": one.verdict.value,
        "section": one.section,
        "by_model": one.by_model,
    }


def _weigh(case: Case, recipe: VerifyRecipe) -> Row:
    if "weighing" not in recipe.checks:
        return dict.fromkeys(("named", "covered", "nameable"))
    codes = map(Code, case.outcome.icd_codes[1:])
    weighing = weigh(case.trace, first=case.code, codes=codes, k=recipe.diseases)
    return {"named": weighing.named, "covered": weighing.covered, "nameable": weighing.nameable}


def _read_answers(case: Case, reader: CaseReader, ledger: Ledger) -> Row:
    questions = Questions.build(case, reader)
    entries: list[Entry] = []

    def read(question: Question[Any] | None) -> Any:
        value, read_entries = question.read(ledger) if question else (None, [])
        entries.extend(read_entries)
        return value

    from_trace: Code | None = read(questions.from_trace)
    from_note: list[Code | None] = [read(question) for question in questions.from_note]
    levels = [level for code in from_note if (level := measure_level(code, case.code)) is not None]
    points: list[Point] | None = read(questions.points)
    met: list[bool] | None = read(questions.ask_for_grades(case, ledger))
    rulings: list[Ruling] | None = read(questions.claims)
    trace_level, note_level = measure_level(from_trace, case.code), sum(levels) / len(levels) if levels else None
    tokens_in, tokens_out = count_tokens(entries)
    return {
        **_count_verdicts(case, reader.recipe, rulings),
        CLAIMS_READ: None if questions.claims is None else rulings is not None,
        "from_trace": from_trace.value if from_trace else None,
        "from_note": [code.value if code else None for code in from_note] if questions.from_note else None,
        "trace_level": trace_level,
        "note_level": note_level,
        "lift": None if trace_level is None or note_level is None else trace_level - note_level,
        "overlap": measure_overlap(from_trace.value, case.code.value) if from_trace else None,
        "easy": sum(level >= 2 for level in levels) / len(levels) if levels else None,
        "points": [
            {"question": point.question, "is_met": is_met} for point, is_met in zip_longest(points or (), met or ())
        ]
        if questions.points
        else None,
        "met": sum(met) / len(met) if met else None,
        "engine": entries[-1]["engine"] if entries else None,
        "engine_version": entries[-1]["engine_version"] if entries else None,
        "prompt_tokens": tokens_in if entries else None,
        "completion_tokens": tokens_out if entries else None,
    }


def find_reasons(row: Row, recipe: VerifyRecipe) -> list[str]:
    """Return why a trace fails; empty for one that is verified."""
    reasons = []
    level, note_level = row["trace_level"], row["note_level"]
    if level is not None and level < LEVELS.index(recipe.least_answer):
        reasons.append(MISLEADS)
    if recipe.needs_lift and row["lift"] is not None and row["lift"] <= 0 and note_level < LEVELS.index("code"):
        reasons.append(DECORATION)
    decided = (row["confirmed"] or 0) + (row["refuted"] or 0)
    if decided and row["refuted"] > recipe.most_refuted * decided:
        reasons.append(REFUTED)
    if row["met"] is not None and row["met"] < recipe.least_met:
        reasons.append(UNMET)
    if list_unread(row, recipe):
        reasons.append(UNREAD)
    return reasons


def list_unread(row: Row, recipe: VerifyRecipe) -> list[str]:
    """Return the checks that were asked and stayed without an answer that can be read."""
    asks_answer, points = row["from_note"] is not None, row["points"]
    unread = {
        "answer from the trace": asks_answer and row["trace_level"] is None,
        "answer from the note": asks_answer and recipe.needs_lift and row["note_level"] is None,
        "points of the stay": points == [],
        "grades": bool(points) and row["met"] is None,
        "untouched claims": row.get(CLAIMS_READ) is False,
    }
    return [what for what, is_unread in unread.items() if is_unread]
