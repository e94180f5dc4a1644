"""The form of an answer with several diagnoses: one `<think>`, then a `<diagnosis>` for each code, in order.

    >>> text = write_answers("Chest pain on exertion.", [Code("I200"), Code("I10")])
    >>> parse_answers(text)
    Answers(trace='Chest pain on exertion.', codes=(Code(value='I200'), Code(value='I10')))
    >>> parse_answers("<think>Cough.</think>")
    Malformed(problem='missing tag')

Order and repetition stay as they are: what a repeated code is worth is for scores to say. Whatever an answer of one
diagnosis needs (deepicd.answer_form), this needs too, so that an answer of one diagnosis is an answer of several.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from deepicd import answer_form
from deepicd.answer_form import DIAGNOSIS, DIAGNOSIS_END, TAGS, THINK, THINK_END, Malformed, read_code
from deepicd.icd10cm import Code

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
        answer = answer_form.parse_answer(f"{head}{DIAGNOSIS}{block}{DIAGNOSIS_END}") if not codes else None
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
