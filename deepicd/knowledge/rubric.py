"""The prompt of a judge: how good is a trace, from 1 to 5, given the note and the knowledge of the predicted code?

The judge sees description and guideline sections of the code that the trace *predicts*, never of the true one: it
grades the reasoning, not the outcome (DeepICD-R1, LLM as a judge). The wording is ours; change it with `VERSION`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from deepicd.answer_form import THINK, THINK_END
from deepicd.icd10cm import Code
from deepicd.knowledge.icd10gm_crosswalk import Description

VERSION = "rubric-1"

SYSTEM = """\
You are a physician who reviews diagnostic reasoning. You are shown an admission note, a line of thought that a writer \
derived from it, the diagnosis code that it closes on, and what is known of that code. You judge the line of thought, \
not whether the code is the one you would have chosen.

Ask, in this order:
- Faithful: does all that it states as a finding stand in the note? An invented finding weighs more than anything else.
- Complete: does it use the findings that matter, and deal with those that speak against it?
- Reasoned: does each conclusion follow, are other explanations weighed, is inference marked as such?
- Specific: do the findings carry the severity and detail of the code, in the light of the guidelines?
- Open: does it arrive at the diagnosis, rather than start from it and justify it?

Score:
5  all of these hold
4  sound, with a small gap or one loose step
3  the direction is right, but an important finding is missed or a step is asserted without grounds
2  mostly assertion, or a finding is misread in a way that matters
1  findings are invented, or the line of thought contradicts the note or itself

Say first in one or two sentences what decided it, then the score, as JSON: {"why": "…", "score": 3}"""

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


class Score(NamedTuple):
    value: int
    """1 to 5."""
    why: str


def build_messages(
    note: str, trace: str, code: Code, title: str, *, description: Description | None, guidelines: str | None
) -> list[dict[str, str]]:
    """Return the chat that asks for one score. It starts with the part that traces of the same code share."""
    about = f"\n\nWhat patients are told of it:\n{description.text}" if description else ""
    user = "\n\n".join(
        [
            f"# Coding guidelines that bear on the code\n{guidelines or '(none)'}",
            f"# The code it closes on\n{code}: {title}{about}",
            f"# Admission note\n{note}",
            f"# The line of thought\n{trace}",
        ]
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


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
