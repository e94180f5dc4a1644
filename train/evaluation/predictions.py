"""Predictions from any source: one JSON object per line.

    {"note_id": "10000001-DS-1", "icd_code": "I5021", "completion": "<think>…</think><diagnosis>I5023</diagnosis>"}

`icd_code` is the true code, with or without its dot. With a dataset it may be left out; if present, it must agree. A
`completion` of null means no answer. Other keys are ignored. An error names the line and never quotes its text, which
may come from a credentialed record.

Answers are then matched with the notes of a split (`match_answers`), or with those of another run.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import answer_form, storage
from deepicd.answer_form import Answer, measure_overlap
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import PREDICTIONS
from deepicd.storage import Origin
from train.data import EvaluationSplit

Reading = Literal["form", "diagnosis"]
"""form: only a well-formed answer predicts a code. diagnosis: the first diagnosis block is enough."""

PREDICTIONS_FILE = "predictions.parquet"
NO_ANSWER = "no answer"
NO_DIAGNOSIS = "no diagnosis block"
EXPECTED = 'Each line is one JSON object: {"note_id": "…", "icd_code": "…", "completion": "…"}'

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one note."""

    note_id: str
    truth: Code | None
    """As the line states it."""
    text: str | None


@dataclass(frozen=True, slots=True)
class EvaluatedNote:
    """One note with its answer."""

    note_id: str
    truth: Code
    predicted: Code | None
    problem: str | None
    """Why nothing is predicted; None if a code is."""
    text: str | None

    @property
    def overlap(self) -> int:
        return measure_overlap(self.predicted.value, self.truth.value) if self.predicted else 0


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


def match_answers(
    predictions: Iterable[Prediction],
    split: EvaluationSplit | None,
    *,
    limit: int | None,
    reading: Reading,
    opening: str,
) -> list[EvaluatedNote]:
    """Return every note with its answer, sorted. Raises DeepicdError if answers and split do not belong together."""
    answers = {prediction.note_id: prediction for prediction in predictions}
    if split is None:
        truths = {note_id: answers[note_id].truth for note_id in sorted(answers)}
    else:
        truths = {question.note_id: question.code for question in split.questions[:limit]}
        _check_answers(answers, truths, split.split)
    notes = []
    for note_id, truth in truths.items():
        if truth is None:
            raise DeepicdError(
                f"{sum(code is None for code in truths.values()):,} predictions have no icd_code, and no dataset"
                " supplies the true codes.",
                "Put the true code under icd_code, or name the dataset: --dataset DIR_OR_REPOSITORY",
            )
        text = answers[note_id].text if note_id in answers else None
        result = extract_code(text, reading, opening)
        code, problem = (result, None) if isinstance(result, Code) else (None, result)
        notes.append(EvaluatedNote(note_id, truth, code, problem, text))
    return notes


def _check_answers(answers: Mapping[str, Prediction], truths: Mapping[str, Code | None], split: str) -> None:
    if unknown := len(answers.keys() - truths.keys()):
        raise DeepicdError(
            f"{unknown:,} of {len(answers):,} predictions answer notes that are not in the split {split!r}.",
            "Name the split (--split) and the dataset that were answered.",
        )
    if differing := sum(answer.truth not in (None, truths[note_id]) for note_id, answer in answers.items()):
        raise DeepicdError(
            f"{differing:,} of {len(answers):,} predictions have another icd_code than the dataset.",
            "icd_code is the true code, not the predicted one. Was another version of the dataset answered?",
        )
    if missing := len(truths) - len(answers):
        logger.warning("%s of %s notes have no answer: they count as wrong.", f"{missing:,}", f"{len(truths):,}")


def read_other_run(folder: Path, notes: Sequence[EvaluatedNote]) -> list[EvaluatedNote]:
    """Return another run's answers to the same notes, in the same order. Raises DeepicdError for other notes."""
    theirs = {
        row["note_id"]: EvaluatedNote(
            note_id=row["note_id"],
            truth=Code(row["icd_code"]),
            predicted=Code(row["predicted"]) if row["predicted"] else None,
            problem=row["problem"],
            text=None,
        )
        for row in storage.read_table(folder / PREDICTIONS_FILE, PREDICTIONS).to_pylist()
    }
    ours = {note.note_id: note.truth for note in notes}
    if ours != {note_id: note.truth for note_id, note in theirs.items()}:
        shared = len(ours.keys() & theirs.keys())
        raise DeepicdError(
            f"The two runs answer different questions: {shared:,} notes are in both, of {len(ours):,} here and"
            f" {len(theirs):,} there.",
            "Compare runs on the same split of the same dataset.",
        )
    return [theirs[note.note_id] for note in notes]
