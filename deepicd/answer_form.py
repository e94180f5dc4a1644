"""The form of an answer, `<think>…</think><diagnosis>CODE</diagnosis>`: written and parsed here and nowhere else.

    >>> parse_answer(write_answer("Chest pain on exertion.", Code.parse("I20.0")))
    Answer(trace='Chest pain on exertion.', code=Code(value='I200'))

DeepICD-R1 asks for exactly one block of each, with text in them. Its pattern for the code wants two digits after the
letter, which no answer of C7A, M1A, Z3A … can meet; here every ICD-10-CM form counts (facts: the paper, format reward).
Parsing is a handful of linear scans, so that a megabyte of `<` costs what a megabyte of text costs.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from deepicd.icd10cm import Code

THINK, THINK_END = "<think>", "</think>"
DIAGNOSIS, DIAGNOSIS_END = "<diagnosis>", "</diagnosis>"
TAGS = (THINK, THINK_END, DIAGNOSIS, DIAGNOSIS_END)
_TAG = re.compile("|".join(TAGS))  # one pass over the text; behind a `<` it looks at most a tag's length ahead

TASK = f"""\
You read the admission note of a hospital stay and predict the ICD-10-CM code of its first diagnosis. Reason from what \
the note states, weigh the alternatives, then settle on one code, as specific as the findings allow.

Answer in exactly this form:
{THINK}
your reasoning
{THINK_END}
{DIAGNOSIS}the code, without a dot{DIAGNOSIS_END}"""

Problem = Literal[
    "missing tag",  # one of the four is absent: nothing was written, or the text was cut off
    "repeated tag",  # two think blocks, two diagnoses, nested tags
    "tags out of order",
    "text outside the blocks",
    "empty trace",
    "no code in the diagnosis",  # not the shape of an ICD-10-CM code, or more than one
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed answer: the reasoning without its tags, and the code it closes on."""

    trace: str
    code: Code


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer without the form, and the first thing that is wrong with it."""

    problem: Problem


def write_answer(trace: str, code: Code) -> str:
    """The canonical text: the code is written without its dot, as the dataset stores it."""
    return f"{THINK}\n{trace.strip()}\n{THINK_END}\n{DIAGNOSIS}{code.value}{DIAGNOSIS_END}"


def build_messages(note: str) -> list[dict[str, str]]:
    """The chat that asks a model (never the teacher) for such an answer to an admission note."""
    return [{"role": "system", "content": TASK}, {"role": "user", "content": note}]


def parse_answer(text: str) -> Answer | Malformed:
    """The answer in a model's text. The prompt opens with `<think>`: put it back before parsing.

    >>> parse_answer("<think>Cough.</think>")
    Malformed(problem='missing tag')
    """
    tags = list(islice(_TAG.finditer(text), len(TAGS) + 1))
    if tuple(tag.group() for tag in tags) != TAGS:
        return _disorder(text)
    at = [tag.start() for tag in tags]
    before, between, after = text[: at[0]], text[at[1] + len(THINK_END) : at[2]], text[at[3] + len(DIAGNOSIS_END) :]
    if before.strip() or between.strip() or after.strip():
        return Malformed("text outside the blocks")
    trace = text[at[0] + len(THINK) : at[1]].strip()
    if not trace:
        return Malformed("empty trace")
    code = Code.find(text[at[2] + len(DIAGNOSIS) : at[3]])
    return Answer(trace, code) if code else Malformed("no code in the diagnosis")


def _disorder(text: str) -> Malformed:
    """What is wrong with the tags of a text that has not each of them once and in order."""
    counts = [text.count(tag) for tag in TAGS]
    if 0 in counts:
        return Malformed("missing tag")
    return Malformed("tags out of order" if counts == [1, 1, 1, 1] else "repeated tag")


def parse_answers(text: str) -> tuple[Answer, ...] | Malformed:
    """The answers in a text that gives one after the other, each with both blocks; what breaks one breaks all.

    >>> text = write_answer("Cough.", Code("J189")) + write_answer("Thirst.", Code("E119"))
    >>> [answer.code.value for answer in parse_answers(text)]
    ['J189', 'E119']
    """
    answers: list[Answer] = []
    start = 0
    while (end := text.find(DIAGNOSIS_END, start)) >= 0:
        end += len(DIAGNOSIS_END)
        answer = parse_answer(text[start:end])
        if isinstance(answer, Malformed):
            return answer
        answers.append(answer)
        start = end
    if text[start:].strip():
        return Malformed("text outside the blocks" if answers else "missing tag")
    return tuple(answers) or Malformed("missing tag")


def find_diagnosis(text: str) -> str | None:
    """What stands in the first diagnosis block, whatever is around it; None where no block is opened and closed."""
    start = text.find(DIAGNOSIS)
    end = text.find(DIAGNOSIS_END, start) if start >= 0 else -1
    return text[start + len(DIAGNOSIS) : end] if end >= 0 else None
