"""Predictions as they come from anywhere: one JSON object a line.

    {"note_id": "10000001-DS-1", "icd_code": "I5021", "completion": "<think>…</think><diagnosis>I5023</diagnosis>"}

`icd_code` is the true code, with or without its dot; with a dataset it may be left out, and otherwise must agree. A
`completion` that is null is no answer. Other keys are passed over. What is wrong with a line is said with its number
and never with its text, which may be of a credentialed record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deepicd import answer_form, storage
from deepicd.answer_form import Answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.storage import Origin

Reading = Literal["form", "diagnosis"]
"""form: only an answer with the whole form predicts a code. diagnosis: the first diagnosis block is enough."""

NO_ANSWER = "no answer"
NO_DIAGNOSIS = "no diagnosis block"
EXPECTED = 'Each line is one JSON object: {"note_id": "…", "icd_code": "…", "completion": "…"}'


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was answered for one note."""

    note_id: str
    truth: Code | None
    """As the line has it."""
    text: str | None


def read_predictions(path: Path) -> list[Prediction]:
    """All predictions of a file, in its order. Raises DeepicdError with the number of the line that is wrong."""
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", EXPECTED)
    found: list[Prediction] = []
    first: dict[str, int] = {}
    for number, line in _lines(path):
        one = _prediction(line, f"{path}, line {number:,}")
        if one.note_id in first:
            raise DeepicdError(
                f"{path}, line {number:,} answers the same note as line {first[one.note_id]:,}.",
                "Keep one answer a note; to compare two runs, evaluate each and pass --against.",
            )
        first[one.note_id] = number
        found.append(one)
    if not found:
        raise DeepicdError(f"{path} holds no predictions.", EXPECTED)
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _prediction(line: bytes, where: str) -> Prediction:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DeepicdError(f"{where} is not JSON.", EXPECTED) from error
    if not isinstance(row, dict):
        raise DeepicdError(f"{where} is not a JSON object.", EXPECTED)
    note_id, text = row.get("note_id"), row.get("completion")
    if not isinstance(note_id, (str, int)) or isinstance(note_id, bool) or not str(note_id).strip():
        raise DeepicdError(f"{where} has no note_id.", EXPECTED)
    if "completion" not in row or not isinstance(text, str | None):
        raise DeepicdError(f"{where} has no completion, or one that is no text.", EXPECTED)
    return Prediction(str(note_id), _truth(row.get("icd_code"), where), text)


def _truth(value: Any, where: str) -> Code | None:
    if value is None:
        return None
    code = Code.find(value) if isinstance(value, str) else None
    if code is None:
        raise DeepicdError(
            f"{where} has an icd_code that is not an ICD-10-CM code.", "Write the true code like I5021 or I50.21."
        )
    return code


def read_predictions_origin(path: Path) -> Origin:
    """What the first line says under `origin`; a file that says nothing counts as credentialed."""
    return storage.read_origin(path) if path.suffix == ".jsonl" else "mimic"


def extract_code(text: str | None, reading: Reading, opening: str = "") -> Code | str:
    """The code that an answer predicts, or why it predicts none.

    >>> [extract_code("<diagnosis>I50.21</diagnosis>", reading) for reading in ("diagnosis", "form")]
    [Code(value='I5021'), 'missing tag']
    """
    if text is None:
        return NO_ANSWER
    if reading == "form":
        answer = answer_form.parse_answer(opening + text)
        return answer.code if isinstance(answer, Answer) else answer.problem
    named = answer_form.find_diagnosis(text)
    if named is None:
        return NO_DIAGNOSIS
    return Code.find(named) or "no code in the diagnosis"
