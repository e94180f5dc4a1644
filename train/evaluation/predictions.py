"""Predictions from any source: one JSON object per line.

    {"note_id": "10000001-DS-1", "icd_code": "I5021", "completion": "<think>…</think><diagnosis>I5023</diagnosis>"}

`icd_code` is the true code, with or without its dot. With a dataset it may be left out; if present, it must agree. A
`completion` of null means no answer. Other keys are ignored. An error names the line and never quotes its text, which
may come from a credentialed record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import answer_form, storage
from deepicd.answer_form import Answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.storage import Origin

Reading = Literal["form", "diagnosis"]
"""form: only a well-formed answer predicts a code. diagnosis: the first diagnosis block is enough."""

NO_ANSWER = "no answer"
NO_DIAGNOSIS = "no diagnosis block"
EXPECTED = 'Each line is one JSON object: {"note_id": "…", "icd_code": "…", "completion": "…"}'


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one note."""

    note_id: str
    truth: Code | None
    """As the line states it."""
    text: str | None


def read_predictions(path: Path) -> list[Prediction]:
    """Return all predictions of a file in its order. Raises DeepicdError with the number of the wrong line."""
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", EXPECTED)
    predictions: list[Prediction] = []
    first_line: dict[str, int] = {}
    for number, line in _read_lines(path):
        prediction = _parse_line(line, f"{path}, line {number:,}")
        if prediction.note_id in first_line:
            raise DeepicdError(
                f"{path}, line {number:,} answers the same note as line {first_line[prediction.note_id]:,}.",
                "Keep one answer per note; to compare two runs, evaluate each and pass --against.",
            )
        first_line[prediction.note_id] = number
        predictions.append(prediction)
    if not predictions:
        raise DeepicdError(f"{path} holds no predictions.", EXPECTED)
    return predictions


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _parse_line(line: bytes, where: str) -> Prediction:
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
        raise DeepicdError(f"{where} has no completion, or one that is not a text.", EXPECTED)
    return Prediction(str(note_id), _parse_truth(row.get("icd_code"), where), text)


def _parse_truth(value: object, where: str) -> Code | None:
    if value is None:
        return None
    code = Code.find(value) if isinstance(value, str) else None
    if code is None:
        raise DeepicdError(
            f"{where} has an icd_code that is not an ICD-10-CM code.", "Write the true code like I5021 or I50.21."
        )
    return code


def read_predictions_origin(path: Path) -> Origin:
    """Return what the first line states under `origin`; a file that states nothing counts as credentialed."""
    return storage.read_origin(path) if path.suffix == ".jsonl" else "mimic"


def extract_code(text: str | None, reading: Reading, opening: str = "") -> Code | str:
    """Return the code that an answer predicts, or why it predicts none.

    >>> [extract_code("<diagnosis>I50.21</diagnosis>", reading) for reading in ("diagnosis", "form")]
    [Code(value='I5021'), 'missing tag']
    """
    if text is None:
        return NO_ANSWER
    if reading == "form":
        answer = answer_form.parse_answer(opening + text)
        return answer.code if isinstance(answer, Answer) else answer.problem
    diagnosis = answer_form.find_diagnosis(text)
    if diagnosis is None:
        return NO_DIAGNOSIS
    return Code.find(diagnosis) or "no code in the diagnosis"
