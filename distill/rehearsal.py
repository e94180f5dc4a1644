"""Rehearsal: an engine without a model, for trying the pipeline. It argues with the note's own sentences.

No language model takes part, and what it writes is no evidence of anything: a dozen turns of phrase around quotations.
It knows the answer and never looks for it. A few answers in a hundred are spoiled on purpose, the way a model spoils
them (cut off, another code, no diagnosis), so that rejected rows are rehearsed too.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deepicd import __version__
from deepicd.answer_form import THINK, THINK_END, write_answer
from deepicd.engines.base import Completion, Failure, Request
from deepicd.icd10cm import Code
from distill.prompt import Material
from distill.recipe import Recipe

# Shares of answers spoiled on purpose.
CUT_OFF = 0.02
OTHER_CODE = 0.02
NO_DIAGNOSIS = 0.01

QUOTED = 14  # words of a quotation at most

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


def engine(recipe: Recipe) -> "Rehearsal":
    return Rehearsal()


class Rehearsal:
    """The same request gives the same answer, whenever it is asked."""

    name, version, ahead = "rehearsal", __version__, 64

    def __init__(self) -> None:
        self._under_way: list[Request] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self._under_way += requests

    def finished(self) -> list[Completion | Failure]:
        done, self._under_way = self._under_way, []
        return [_answer(request) for request in done]

    def close(self) -> None:
        self._under_way.clear()


def _answer(request: Request) -> Completion:
    chance = random.Random(f"{request.key}:{request.seed}")
    if request.schema is not None:
        return Completion(request.key, _filled_in(request.schema, chance), "stop")
    assert isinstance(request.material, Material), "a request for a trace brings its material"
    trace, code = _trace(request.material, chance), request.material.code
    luck = chance.random()
    if luck < CUT_OFF:
        words = trace.split()
        return Completion(request.key, f"{request.opening}{' '.join(words[: len(words) // 2])}", "length")
    if luck < CUT_OFF + OTHER_CODE:
        return Completion(request.key, write_answer(trace, _neighbour(code)), "stop")
    if luck < CUT_OFF + OTHER_CODE + NO_DIAGNOSIS:
        return Completion(request.key, f"{THINK}\n{trace}\n{THINK_END}", "stop")
    return Completion(request.key, write_answer(trace, code), "stop")


def _filled_in(schema: Mapping[str, Any], chance: random.Random) -> str:
    """A flat JSON object that meets a schema of whole numbers and texts, drawn by chance."""
    values = {
        name: chance.randint(field["minimum"], field["maximum"])
        if field["type"] == "integer"
        else "No model read this."
        for name, field in schema["properties"].items()
    }
    return json.dumps(values)


def _trace(material: Material, chance: random.Random) -> str:
    """Quotations of the note section by section, a doubt, and the diagnosis last."""
    parts = _quotations(material.note)

    def say(phrases: tuple[str, ...], section: str, most: int) -> list[str]:
        quotes = parts.get(section, [])[: 2 * most]  # a section's beginning tells more than its end
        chosen = sorted(chance.sample(range(len(quotes)), min(most, len(quotes))))
        turns = chance.sample(phrases, len(phrases))
        return [turns[place % len(turns)].format(quotes[index]) for place, index in enumerate(chosen)]

    closing = chance.choice(_CLOSINGS).format(
        chapter=material.code.chapter.title.lower(), title=material.title or str(material.code)
    )
    paragraphs = [
        say(_OPENINGS, "Chief Complaint", 1) + say(_STORY, "History of Present Illness", 4),
        say(_HISTORY, "Past Medical History", 2) + say(_MEDICATION, "Medications on Admission", 1),
        say(_EXAM, "Physical Exam", 3),
        [chance.choice(_DOUBT), closing],
    ]
    return "\n\n".join(" ".join(sentences) for sentences in paragraphs if sentences)


# What ends a sentence: its full stop, an empty line, or a line that opens a list entry or has a label of its own.
_ENDS = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n|\n(?=\s*(?:[-#•*]|\d+[.)])|[A-Z][A-Za-z/ ]{0,24}:)")


def _quotations(note: str) -> dict[str, list[str]]:
    """Section → its sentences and list entries, wrapped lines joined, each cut to a quotation of a few words."""
    return {
        header: [" ".join(sentence.split()[:QUOTED]) for sentence in sentences]
        for header, sentences in statements(note).items()
    }


def statements(note: str) -> dict[str, list[str]]:
    """Section → its sentences and list entries as they stand in the note, without bullets and full stops."""
    parts: dict[str, list[str]] = {}
    for block in re.split(r"\n\n(?=[A-Z][A-Za-z ]+:\n)", note):
        header, _, text = block.partition(":\n")
        pieces = (piece.strip('-#•*"“” .\n') for piece in _ENDS.split(text))
        parts[header] = [piece for piece in pieces if len(piece) > 2]
    return parts


def _neighbour(code: Code) -> Code:
    """Another code, one step away in its last character: what a slip of the pen would write.

    >>> _neighbour(Code.parse("I21.4")).value, _neighbour(Code.parse("S72.001A")).value
    ('I215', 'S72001B')
    """
    last = code.value[-1]
    return Code(code.value[:-1] + {"9": "0", "Z": "A"}.get(last, chr(ord(last) + 1)))
