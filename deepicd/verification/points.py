"""Grade a trace by the points of its stay: what a model is asked, and how its answer is read.

    messages = build_grading_messages(["Does it consider an embolism?"], trace)
    parse_met('{"met": [true]}', 1)       # [True]

Points are yes-or-no questions that `deepicd verify` draws from the sealed outcome, each with a verified quotation; its
rows keep the questions alone. `verify` grades by them, and so does a reward of GRPO.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deepicd import answer_form
from deepicd.engines.base import Message

TRACE_HEADING, POINTS_HEADING = "# Line of thought", "# Points"

GRADES = """\
You are shown points and a line of thought of a physician about a patient at admission. Decide for each point, in \
order, whether the line of thought meets it: it has to say so itself, not merely be compatible with it.

Answer as JSON: {"met": [true, false, …]}, one value per point."""

MET_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"met": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 20}},
    "required": ["met"],
    "additionalProperties": False,
}


def build_grading_messages(questions: Sequence[str], trace: str) -> list[Message]:
    """Return the prompt that asks whether a trace meets each point."""
    listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
    user = f"{POINTS_HEADING}\n{listed}\n\n{TRACE_HEADING}\n{trace}"
    return [{"role": "system", "content": GRADES}, {"role": "user", "content": user}]


def parse_met(text: str, number: int) -> list[bool] | None:
    """Return whether each of so many points is met; None for an answer in another form."""
    met = find_object(text, "met")
    if not isinstance(met, list) or len(met) != number:
        return None
    return met if all(isinstance(one, bool) for one in met) else None


def find_object(text: str, field: str) -> object:
    """Return a field of the last JSON object with it that stands behind the reasoning; None if there is none."""
    verdict = text.rpartition(answer_form.THINK_END)[2]
    start = verdict.rfind(f'{{"{field}"')
    if start < 0:
        start = verdict.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(verdict, start)
    except (ValueError, RecursionError):
        return None
    return value.get(field) if isinstance(value, dict) else None
