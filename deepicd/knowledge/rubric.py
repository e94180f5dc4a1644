"""The prompt of a judge: how good is a trace, from 1 to 5, given the note and the knowledge of the predicted code?

    messages, is_shortened = fit_messages(judged, knowledge, recipe, tokens, guidelines, template=template)

The judge sees description and guideline sections of the code that the trace *predicts*, never of the true one: it
grades the reasoning, not the outcome (DeepICD-R1, LLM as a judge). The words are a template: prompts/rubric-1.yaml, or
a recipe's own. As with the teacher's prompt, the note is never cut: guidelines give way as far as needed, and a note
and a trace that do not fit without them get no prompt. `deepicd judge` and the reward of GRPO use it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from deepicd.answer_form import THINK, THINK_END
from deepicd.engines.base import Message
from deepicd.engines.tokens import CHAT_TOKENS, TokenCounter
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.icd10gm import Description
from deepicd.prompts.template import Kind, PromptTemplate

PROMPT = Kind(
    who="judge",
    own=Path(__file__).parent.parent / "prompts" / "rubric-1.yaml",
    values={
        "note": "Chest pain.",
        "trace": "Pressure for two hours points to ischemia.",
        "code": "I21.4",
        "icd_code": "I214",
        "title": "Non-ST elevation (NSTEMI) myocardial infarction",
        "description": "Too little blood reaches the heart.",
        "guidelines": "9. Chapter 9",
    },
    optional=frozenset({"description", "guidelines"}),
    once=("note", "trace", "guidelines", "description"),
    required=("note", "trace"),
    has_opening=False,
)
VERSION = PROMPT.version

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "why": {"type": "string", "maxLength": 600},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["why", "score"],
    "additionalProperties": False,
}


MAX_OBJECTS = 200  # objects that are tried, from the end: an answer may be a megabyte of braces
_OBJECT = re.compile(r"\{\s*[\"}]")


@dataclass(frozen=True, slots=True)
class JudgedTrace:
    """What is judged: a trace beside its note, and the code that it predicts."""

    note: str
    trace: str
    code: Code
    title: str


class Score(NamedTuple):
    value: int
    """1 to 5."""
    why: str


def build_messages(
    judged: JudgedTrace, template: PromptTemplate, *, description: Description | None, guidelines: str | None
) -> list[dict[str, str]]:
    """Return the chat that asks for one score."""
    return template.render(
        {
            "note": judged.note,
            "trace": judged.trace,
            "code": str(judged.code),
            "icd_code": judged.code.value,
            "title": judged.title,
            "description": description.text if description else None,
            "guidelines": guidelines or None,
        }
    )


def parse_score(text: str) -> Score | None:
    """Return the last score in a judge's answer, wherever its JSON object stands; None if there is none.

    What stands in a think block is reasoning and no verdict, so an answer that was cut in it has no score.

    >>> parse_score('{"why": "It follows.", "score": 4}'), parse_score("4 of 5"), parse_score('{"score": 9}')
    (Score(value=4, why='It follows.'), None, None)
    >>> parse_score('<think>{"score": 1}? No.</think> {"why": "Sound.", "score": 4.0} Is {that} clear?')
    Score(value=4, why='Sound.')
    """
    verdict = text.rpartition(THINK_END)[2].partition(THINK)[0]
    starts = [match.start() for match in _OBJECT.finditer(verdict)]
    score, end = None, 0
    for start in starts[-MAX_OBJECTS:]:
        if start < end:
            continue  # within the object that has the score
        try:
            answer, after = json.JSONDecoder().raw_decode(verdict, start)
        except (ValueError, RecursionError):
            continue
        if (value := _read_value(answer.get("score"))) is not None:
            score, end = Score(value, str(answer.get("why", ""))), after
    return score


def _read_value(value: object) -> int | None:
    """Return a whole number from 1 to 5, also where it is written as 4.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value in (1, 2, 3, 4, 5) else None


TOO_LONG = "too long for the context"
SMALLEST_EXCERPT = 64  # tokens; less room than that holds no section


class Lengths(Protocol):
    """What of a judge's recipe limits its prompt."""

    @property
    def context(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...


def fit_messages(
    judged: JudgedTrace,
    knowledge: Knowledge,
    lengths: Lengths,
    tokens: TokenCounter,
    guidelines: str | None,
    *,
    template: PromptTemplate,
) -> tuple[list[Message] | None, bool]:
    """Return the chat that asks for a score, and whether guidelines were shortened; None where it cannot fit."""
    messages = _build(judged, knowledge, template, guidelines)
    if _measure_room(messages, lengths, tokens) >= 0:
        return messages, False
    bare = _build(judged, knowledge, template, None)
    room = _measure_room(bare, lengths, tokens)
    if room < 0:
        return None, False
    if guidelines and room > SMALLEST_EXCERPT:
        excerpt = knowledge.build_excerpt(judged.code, max_tokens=room, count_tokens=tokens.count)
        messages = _build(judged, knowledge, template, excerpt)
        if _measure_room(messages, lengths, tokens) >= 0:
            return messages, True
    return bare, True


def _build(
    judged: JudgedTrace, knowledge: Knowledge, template: PromptTemplate, guidelines: str | None
) -> list[Message]:
    description = knowledge.find_description(judged.code)
    return build_messages(judged, template, description=description, guidelines=guidelines)


def _measure_room(messages: list[Message], lengths: Lengths, tokens: TokenCounter) -> int:
    """Return the tokens that are left of the context; a cheap bound where it shows that there are enough."""
    text = "\n".join(message["content"] for message in messages)
    available = lengths.context - lengths.max_tokens - CHAT_TOKENS
    if (room := available - tokens.bound_tokens(text)) >= 0:
        return room
    return available - tokens.count(text)
