"""What a verification asks a model, and how its answers are read: solve from the trace, write points, grade by them.

An answer counts only as far as it can be checked: a code has to be one, and a quotation has to stand in the outcome.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deepicd import answer_form
from deepicd.answer_form import Answer
from deepicd.engines.ledger import Entry
from deepicd.engines.runner import Question
from deepicd.icd10cm import Code
from deepicd.prompts import student
from deepicd.verification.points import (
    MET_SCHEMA,
    TRACE_HEADING,
    build_grading_messages,
    find_object,
    parse_met,
)
from distill.verification.recipe import VerifyRecipe

SHORTEST_QUOTATION = 8  # characters; shorter words stand in any text
MASK = "[diagnosis]"

OUTCOME_HEADING = "# What became of the stay"

SOLVER = f"""\
You are shown the line of thought of a physician about a patient at admission. You do not see the record. The name of \
the diagnosis that it closes on is blanked out as {MASK}. Say which ICD-10-CM code it leads to, relying on nothing but \
what it says: where it gives no reason for one diagnosis over another, take the most common.

Answer in exactly this form:
{answer_form.THINK}
your reasoning
{answer_form.THINK_END}
{answer_form.DIAGNOSIS}the code, without a dot{answer_form.DIAGNOSIS_END}"""

POINTS = """\
You are a physician who sets the points by which a line of thought at admission is graded. You are shown what became \
of the stay: what was found, done and concluded later. Write {least} to {most} yes-or-no points about what a good line \
of thought should have considered, expected or set out to exclude, each decided by one passage of the record. Do not \
ask for what could not be foreseen, and not for the name of the final diagnosis alone. Quote for each point the words \
of the record that decide it, verbatim and short.

Answer as JSON: {{"points": [{{"question": "Does it …?", "quotation": "…"}}]}}"""


class Point(NamedTuple):
    """A yes-or-no question about a stay."""

    question: str
    quotation: str
    """Words of the outcome that decide it."""


def ask_from_trace(recipe: VerifyRecipe, note_id: str, masked: str) -> Question[Code]:
    """Return the question for the code that a masked trace leads to."""
    messages = [{"role": "system", "content": SOLVER}, {"role": "user", "content": f"{TRACE_HEADING}\n{masked}"}]
    return Question(recipe, recipe.attempts, note_id, messages, parse_code)


def ask_from_note(recipe: VerifyRecipe, note_id: str, note: str, sample: int) -> Question[Code]:
    """Return the question for the code of a note: the prompt of a student."""
    return Question(recipe, recipe.attempts, note_id, student.build_messages(note), parse_code, rollout=sample)


def ask_for_points(recipe: VerifyRecipe, note_id: str, outcome: str) -> Question[list[Point]]:
    """Return the question for the points of a stay. It knows no trace, so all traces of a row share its answer."""
    texts = {"question": {"type": "string", "maxLength": 300}, "quotation": {"type": "string", "maxLength": 400}}
    point = {"type": "object", "properties": texts, "required": [*texts], "additionalProperties": False}
    points = {"type": "array", "items": point, "minItems": recipe.points_least, "maxItems": recipe.points_most}
    schema = {"type": "object", "properties": {"points": points}, "required": ["points"], "additionalProperties": False}
    system = POINTS.format(least=recipe.points_least, most=recipe.points_most)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"{OUTCOME_HEADING}\n{outcome}"}]
    plain = normalize(outcome)

    def parse(text: str) -> list[Point] | None:
        found = [point for point in parse_points(text) if is_quoted(point.quotation, plain)]
        return found[: recipe.points_most] if len(found) >= recipe.points_least else None

    return Question(recipe, recipe.attempts, note_id, messages, parse, schema)


def ask_for_grades(recipe: VerifyRecipe, note_id: str, points: Sequence[Point], trace: str) -> Question[list[bool]]:
    """Return the question whether a trace meets the points of its stay."""
    messages = build_grading_messages([point.question for point in points], trace)

    def parse(text: str) -> list[bool] | None:
        return parse_met(text, len(points))

    return Question(recipe, recipe.attempts, note_id, messages, parse, MET_SCHEMA)


def parse_code(text: str) -> Code | None:
    """Return the code of an answer in the usual form, or of the first diagnosis block with a code.

    >>> parse_code("<think>Crackles.</think><diagnosis>**I50.21**</diagnosis>"), parse_code("heart failure")
    (Code(value='I5021'), None)
    """
    answer = answer_form.parse_answer(text)
    if isinstance(answer, Answer):
        return answer.code
    diagnosis = answer_form.find_diagnosis(text.rpartition(answer_form.THINK_END)[2])
    return None if diagnosis is None else answer_form.read_code(diagnosis)


def parse_points(text: str) -> list[Point]:
    """Return the points in an answer; [] for one without any."""
    points = find_object(text, "points")
    return [
        Point(" ".join(str(item["question"]).split()), str(item["quotation"]))
        for item in (points if isinstance(points, list) else [])
        if isinstance(item, dict) and item.get("question") and item.get("quotation")
    ]


def is_quoted(quotation: str, plain: str) -> bool:
    """Return whether a normalized text has the words of a quotation."""
    words = normalize(quotation).strip(" .\"'“”…")
    return len(words) >= SHORTEST_QUOTATION and words in plain


def normalize(text: str) -> str:
    """Return a text in lower case, with single spaces."""
    return " ".join(text.lower().split())


def count_tokens(entries: Iterable[Entry]) -> tuple[int, int]:
    """Return the tokens of prompts and completions; 0 where an engine reports none."""
    listed = list(entries)
    return sum(one["prompt_tokens"] or 0 for one in listed), sum(one["completion_tokens"] or 0 for one in listed)
