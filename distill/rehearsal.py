"""The engine `rehearsal`: no model, for trying the pipeline. It argues with the note's own sentences.

Its traces are stock phrases around quotations (rehearsal_trace.py), and the code from the prompt; they are evidence of
nothing. A few completions in a hundred are spoiled on purpose, as a model would spoil them (cut off, another code, no
diagnosis), so that rejections are rehearsed too. A JSON schema is filled in at random; a prompt without a code (that of
`evaluate`) gets `NO_CODE`.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from deepicd import __version__
from deepicd.answer_form import THINK, THINK_END, write_answer
from deepicd.engines.base import Completion, Message, Request, Result
from deepicd.engines.recipe import ModelRecipe
from deepicd.icd10cm import Code
from distill import prompt
from distill.rehearsal_trace import find_sentences, rehearse
from distill.verification import rehearsal as verification_answers

USES_MODEL = False
ASKS_SERVER = False
NO_CODE = Code("R69")  # illness, unspecified

# Shares of completions that are spoiled on purpose
CUT_OFF = 0.02
OTHER_CODE = 0.02
NO_DIAGNOSIS = 0.01


def open_engine(recipe: ModelRecipe) -> "RehearsalEngine":
    return RehearsalEngine()


class RehearsalEngine:
    """An Engine that returns the same completion for the same request."""

    name, version, capacity = "rehearsal", __version__, 64

    def __init__(self) -> None:
        self._in_flight: list[Request] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self._in_flight += requests

    def collect(self) -> list[Result]:
        requests, self._in_flight = self._in_flight, []
        return [_complete(request) for request in requests]

    def close(self) -> None:
        self._in_flight.clear()


@dataclass(frozen=True, slots=True)
class Case:
    """What a prompt is about."""

    note: str
    code: Code
    title: str


# The sections of a prompt for a trace, in either layout. A text before them or between them belongs to none.
_SECTION = re.compile(
    "(?:^|\n\n)# ("
    + "|".join(
        map(
            re.escape, (prompt.NOTE_HEADING, prompt.CODE_HEADING, prompt.DESCRIPTION_HEADING, prompt.GUIDELINES_HEADING)
        )
    )
    + r")[^\n]*\n"
)
_CODE = re.compile(r"[^\n:]*: (?P<title>[^\n]*)\nWrite the code as (?P<code>\w+)\.")


def read_case(messages: Sequence[Message]) -> Case:
    """Return the case that a prompt is about; the last user message is the note where it has no sections."""
    text = next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), "")
    _, *parts = _SECTION.split(text)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    diagnosis = _CODE.match(sections.get(prompt.CODE_HEADING, ""))
    code = Code(diagnosis["code"]) if diagnosis else NO_CODE
    title = diagnosis["title"] if diagnosis else code.title or ""
    return Case(sections.get(prompt.NOTE_HEADING, text), code, title)


def _complete(request: Request) -> Completion:
    chance = random.Random(f"{request.key}:{request.seed}")
    if (text := verification_answers.answer(request)) is not None:
        return Completion(request.key, text, "stop")
    if request.schema is not None:
        return Completion(request.key, _fill_in(request.schema, chance), "stop")
    case = read_case(request.messages)
    code = case.code
    trace = rehearse(case.note, code, case.title, f"{request.key}:{request.seed}").text
    luck = chance.random()
    if luck < CUT_OFF:
        words = trace.split()
        return Completion(request.key, f"{request.opening}{' '.join(words[: len(words) // 2])}", "length")
    if luck < CUT_OFF + OTHER_CODE:
        return Completion(request.key, write_answer(trace, _pick_next_code(code)), "stop")
    if luck < CUT_OFF + OTHER_CODE + NO_DIAGNOSIS:
        return Completion(request.key, f"{THINK}\n{trace}\n{THINK_END}", "stop")
    return Completion(request.key, write_answer(trace, code), "stop")


def _fill_in(schema: Mapping[str, object], chance: random.Random) -> str:
    """Return a random flat JSON object that meets a schema of integers and texts."""
    properties = cast(Mapping[str, Mapping[str, Any]], schema["properties"])
    values = {
        name: chance.randint(field["minimum"], field["maximum"])
        if field["type"] == "integer"
        else "No model read this."
        for name, field in properties.items()
    }
    return json.dumps(values)


def split_sentences(note: str) -> dict[str, list[str]]:
    """Return section → its sentences and list entries as they stand in the note, without bullets and full stops."""
    return {section: [passage.text for passage in passages] for section, passages in find_sentences(note).items()}


def _pick_next_code(code: Code) -> Code:
    """Return the code one step away in its last character, as a slip of the pen would write it.

    >>> _pick_next_code(Code.parse("I21.4")).value, _pick_next_code(Code.parse("S72.001A")).value
    ('I215', 'S72001B')
    """
    last = code.value[-1]
    return Code(code.value[:-1] + {"9": "0", "Z": "A"}.get(last, chr(ord(last) + 1)))
