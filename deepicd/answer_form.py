"""The form of an answer, `<think>…</think><diagnosis>CODE</diagnosis>`: written, parsed and scored here only.

    >>> parse_answer(write_answer("Chest pain on exertion.", Code.parse("I20.0")))
    Answer(trace='Chest pain on exertion.', code=Code(value='I200'))
    >>> measure_overlap("I5021", "I5023")
    4

DeepICD-R1 requires exactly one block of each, neither empty. Its pattern for the code expects two digits after the
letter, which rules out C7A, M1A, Z3A and others; here every form of an ICD-10-CM code is accepted.

An answer with several diagnoses has a `<diagnosis>` for each code, in order. Whatever an answer of one diagnosis needs,
this needs too, so that an answer of one is an answer of several. Order and repetition stay as they are: what a
repeated code is worth is for scores to say.

    >>> parse_answers(write_answers("Chest pain on exertion.", [Code("I200"), Code("I10")]))
    Answers(trace='Chest pain on exertion.', codes=(Code(value='I200'), Code(value='I10')))
    >>> parse_answers("<think>Cough.</think>")
    Malformed(problem='missing tag')

Evaluation, selection and rewards share these functions; the prompt that asks for an answer is deepicd.prompts.student.
All are linear in the length of the text, even for a megabyte of `<`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from deepicd.icd10cm import Code

THINK, THINK_END = "<think>", "</think>"
DIAGNOSIS, DIAGNOSIS_END = "<diagnosis>", "</diagnosis>"
TAGS = (THINK, THINK_END, DIAGNOSIS, DIAGNOSIS_END)
_TAG = re.compile("|".join(TAGS))  # one pass over the text; after a `<` it looks ahead by one tag's length at most
LOOP = 6  # words in a run that counts as repeated when it occurs again

Problem = Literal[
    "missing tag",  # one of the four is absent: the text is empty or was cut off
    "repeated tag",  # two think blocks, two diagnoses, nested tags
    "tags out of order",
    "text outside the blocks",
    "empty trace",
    "no code in the diagnosis",  # not the shape of an ICD-10-CM code, or more than one
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed answer: the reasoning without its tags, and the predicted code."""

    trace: str
    code: Code


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer that violates the form, and the first problem with it."""

    problem: Problem


def write_answer(trace: str, code: Code) -> str:
    """Return the canonical text, with the code written without its dot as the dataset stores it."""
    return f"{THINK}\n{trace.strip()}\n{THINK_END}\n{DIAGNOSIS}{code.value}{DIAGNOSIS_END}"


def parse_answer(text: str) -> Answer | Malformed:
    """Parse the text of a model. Where the prompt opens the answer with `<think>`, put that back before parsing.

    >>> parse_answer("<think>Cough.</think>")
    Malformed(problem='missing tag')
    """
    tags = list(islice(_TAG.finditer(text), len(TAGS) + 1))
    if tuple(tag.group() for tag in tags) != TAGS:
        return _find_tag_problem(text)
    starts = [tag.start() for tag in tags]
    before, between, after = (
        text[: starts[0]],
        text[starts[1] + len(THINK_END) : starts[2]],
        text[starts[3] + len(DIAGNOSIS_END) :],
    )
    if before.strip() or between.strip() or after.strip():
        return Malformed("text outside the blocks")
    trace = text[starts[0] + len(THINK) : starts[1]].strip()
    if not trace:
        return Malformed("empty trace")
    code = Code.find(text[starts[2] + len(DIAGNOSIS) : starts[3]])
    return Answer(trace, code) if code else Malformed("no code in the diagnosis")


def _find_tag_problem(text: str) -> Malformed:
    """Return the problem of a text that does not have each tag once and in order."""
    counts = [text.count(tag) for tag in TAGS]
    if 0 in counts:
        return Malformed("missing tag")
    return Malformed("tags out of order" if counts == [1, 1, 1, 1] else "repeated tag")


def find_diagnosis(text: str) -> str | None:
    """Return the content of the first diagnosis block, whatever surrounds it; None without a complete block."""
    start = text.find(DIAGNOSIS)
    end = text.find(DIAGNOSIS_END, start) if start >= 0 else -1
    return text[start + len(DIAGNOSIS) : end] if end >= 0 else None


_LABELLED = re.compile(
    r"[\s*_`\"'(\[#>-]{0,20}(?:icd[- ]?10(?:[- ]?cm)?\s?)?(?:code\s?)?[:=]?[\s*_`\"'(\[]{0,20}"
    r"(?P<code>[a-z][0-9][0-9a-z](?:\.?[0-9a-z]{1,4})?)(?!\.?[0-9a-z])(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_CODE = re.compile(r"\b[a-z][0-9][0-9ab](?:\.[0-9a-z]{1,4}|[0-9a-z]{0,4})\b", re.IGNORECASE)


def read_code(diagnosis: str) -> Code | None:
    """Return the code that a diagnosis begins with, whatever markup, label or title surrounds it.

    None for a sentence that only mentions a code, and for two different codes.

    >>> texts = ["**I50.21**", "I50.21 - Acute systolic heart failure", "I50.21.", "ICD-10: I50.21", "I50.21 or I10"]
    >>> [str(read_code(text)) for text in texts]
    ['I50.21', 'I50.21', 'I50.21', 'I50.21', 'None']
    """
    match = _LABELLED.match(diagnosis)
    if match is None or (code := Code.find(match["code"])) is None:
        return None
    others = (Code.find(other.group()) for other in _OTHER_CODE.finditer(match["rest"]))
    return None if any(other not in (None, code) for other in others) else code


def measure_overlap(predicted: str, truth: str) -> int:
    """Return the length of the common prefix of two codes, ignoring dots (O in equation 1 of DeepICD-R1)."""
    shared = 0
    for left, right in zip(predicted.replace(".", ""), truth.replace(".", ""), strict=False):
        if left != right:
            break
        shared += 1
    return shared


def measure_repetition(words: Sequence[str]) -> float:
    """Return the share of words in runs of six that occurred before: 0 without repetition, near 1 for a loop.

    >>> measure_repetition("the pain grew worse over two days".split())
    0.0
    >>> round(measure_repetition("so it goes on and on again ".split() * 5), 2)
    0.8
    """
    seen: set[tuple[str, ...]] = set()
    covered = end = 0
    for start in range(len(words) - LOOP + 1):
        run = tuple(words[start : start + LOOP])
        if run in seen:
            covered += start + LOOP - max(start, end)
            end = start + LOOP
        seen.add(run)
    return covered / len(words) if words else 0.0


_TAG = re.compile("|".join(TAGS))


@dataclass(frozen=True, slots=True)
class Answers:
    """A well-formed answer: the reasoning without its tags, and the predicted codes, one or more."""

    trace: str
    codes: tuple[Code, ...]


def write_answers(trace: str, codes: Iterable[Code]) -> str:
    """Return the canonical text, with the codes written without their dots, a line each."""
    blocks = "\n".join(f"{DIAGNOSIS}{code.value}{DIAGNOSIS_END}" for code in codes)
    return f"{THINK}\n{trace.strip()}\n{THINK_END}\n{blocks}"


def parse_answers(text: str) -> Answers | Malformed:
    """Parse the text of a model. Where the prompt opens the answer with `<think>`, put that back before parsing."""
    end = text.find(THINK_END)
    head, tail = text[: end + len(THINK_END)], text[end + len(THINK_END) :]
    blocks = _split_blocks(tail) if end >= 0 else None
    if not blocks:
        return _find_problem(text)
    codes: list[Code] = []
    for block in blocks:
        answer = parse_answer(f"{head}{DIAGNOSIS}{block}{DIAGNOSIS_END}") if not codes else None
        if isinstance(answer, Malformed):
            return answer
        code = answer.code if answer else Code.find(block)
        if code is None:
            return Malformed("no code in the diagnosis")
        codes.append(code)
    return Answers(head.removesuffix(THINK_END).partition(THINK)[2].strip(), tuple(codes))


def _split_blocks(tail: str) -> list[str] | None:
    """Return the contents of the diagnosis blocks that a text consists of; None if it is anything else."""
    blocks: list[str] = []
    at = 0
    tags = list(_TAG.finditer(tail))
    for opening, closing in zip(tags[::2], tags[1::2], strict=False):
        if (opening.group(), closing.group()) != (DIAGNOSIS, DIAGNOSIS_END) or tail[at : opening.start()].strip():
            return None
        blocks.append(tail[opening.end() : closing.start()])
        at = closing.end()
    return None if len(tags) % 2 or tail[at:].strip() else blocks


def _find_problem(text: str) -> Malformed:
    """Return the first problem of a text that is no think block with diagnosis blocks after it."""
    counts = {tag: text.count(tag) for tag in TAGS}
    if 0 in counts.values():
        return Malformed("missing tag")
    if counts[THINK] > 1 or counts[THINK_END] > 1:
        return Malformed("repeated tag")
    is_paired = counts[DIAGNOSIS] == counts[DIAGNOSIS_END]
    in_order = is_paired and text.find(THINK_END) < text.find(DIAGNOSIS)
    return Malformed("text outside the blocks" if in_order else "tags out of order")


def list_diagnoses(text: str) -> list[Code | None]:
    """Return the code of each complete diagnosis block, whatever surrounds the blocks; None for one without a code."""
    ends = [part.partition(DIAGNOSIS_END) for part in text.split(DIAGNOSIS)[1:]]
    return [read_code(content) for content, end, _ in ends if end]
