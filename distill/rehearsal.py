"""The engine `rehearsal`: no model, for trying the pipeline. It argues with the note's own sentences.

Its traces are a dozen stock phrases around quotations, and the code from the prompt; they are evidence of nothing. A
few completions in a hundred are spoiled on purpose, as a model would spoil them (cut off, another code, no diagnosis),
so that rejections are rehearsed too. A JSON schema is filled in at random; a prompt without a code (that of `evaluate`)
gets `NO_CODE`.
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

USES_MODEL = False
ASKS_SERVER = False
NO_CODE = Code("R69")  # illness, unspecified

# Shares of completions that are spoiled on purpose
CUT_OFF = 0.02
OTHER_CODE = 0.02
NO_DIAGNOSIS = 0.01

QUOTED_WORDS = 14  # of a quotation, at most

_OPENINGS = (
    "The complaint that brought the patient in is “{}”.",
    "I start from the chief complaint, “{}”.",
    "The note opens with “{}”, and everything else has to fit that.",
)
_STORY = (
    "The present illness adds “{}”, which I take as stated.",
    "It goes on: “{}”.",
    "Of weight here is “{}”.",
    "I also read “{}”.",
)
_HISTORY = (
    "The history lists “{}”, which shifts the odds without deciding them.",
    "Known beforehand is “{}”; it may be background only.",
)
_EXAM = (
    "On examination I find “{}”, and this weighs more than the history.",
    "The examination at admission records “{}”.",
)
_MEDICATION = ("Among the medications stands “{}”, in keeping with that history.",)
_DOUBT = (
    "Other explanations remain possible at this point; none accounts for all of these findings at once.",
    "I considered a less specific reading, but it would leave the findings just quoted unexplained.",
    "One finding alone would not settle it. Taken together they point one way, though this is my inference.",
)
_CLOSINGS = (
    "Together this belongs to the field of {chapter}. The most specific diagnosis that the findings carry is {title}.",
    "The field is therefore {chapter}, and within it the findings fit best with {title}.",
)


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
    if request.schema is not None:
        return Completion(request.key, _fill_in(request.schema, chance), "stop")
    case = read_case(request.messages)
    trace, code = _write_trace(case, chance), case.code
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


def _write_trace(case: Case, chance: random.Random) -> str:
    """Return quotations of the note section by section, a doubt, and the diagnosis last."""
    parts = _find_quotations(case.note)

    def argue(phrases: tuple[str, ...], section: str, most: int) -> list[str]:
        quotes = parts.get(section, [])[: 2 * most]  # a section's beginning tells more than its end
        chosen = sorted(chance.sample(range(len(quotes)), min(most, len(quotes))))
        turns = chance.sample(phrases, len(phrases))
        return [turns[place % len(turns)].format(quotes[index]) for place, index in enumerate(chosen)]

    closing = chance.choice(_CLOSINGS).format(
        chapter=case.code.chapter.title.lower(), title=case.title or str(case.code)
    )
    paragraphs = [
        argue(_OPENINGS, "Chief Complaint", 1) + argue(_STORY, "History of Present Illness", 4),
        argue(_HISTORY, "Past Medical History", 2) + argue(_MEDICATION, "Medications on Admission", 1),
        argue(_EXAM, "Physical Exam", 3),
        [chance.choice(_DOUBT), closing],
    ]
    return "\n\n".join(" ".join(sentences) for sentences in paragraphs if sentences)


# The end of a sentence: its full stop, an empty line, or a line that opens a list entry or has a label of its own
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n|\n(?=\s*(?:[-#•*]|\d+[.)])|[A-Z][A-Za-z/ ]{0,24}:)")


def _find_quotations(note: str) -> dict[str, list[str]]:
    """Return section → its sentences and list entries, wrapped lines joined, each cut to a few words."""
    return {
        header: [" ".join(sentence.split()[:QUOTED_WORDS]) for sentence in sentences]
        for header, sentences in split_sentences(note).items()
    }


def split_sentences(note: str) -> dict[str, list[str]]:
    """Return section → its sentences and list entries as they stand in the note, without bullets and full stops."""
    parts: dict[str, list[str]] = {}
    for block in re.split(r"\n\n(?=[A-Z][A-Za-z ]+:\n)", note):
        header, _, text = block.partition(":\n")
        pieces = (piece.strip('-#•*"“” .\n') for piece in _SENTENCE_END.split(text))
        parts[header] = [piece for piece in pieces if len(piece) > 2]
    return parts


def _pick_next_code(code: Code) -> Code:
    """Return the code one step away in its last character, as a slip of the pen would write it.

    >>> _pick_next_code(Code.parse("I21.4")).value, _pick_next_code(Code.parse("S72.001A")).value
    ('I215', 'S72001B')
    """
    last = code.value[-1]
    return Code(code.value[:-1] + {"9": "0", "Z": "A"}.get(last, chr(ord(last) + 1)))
