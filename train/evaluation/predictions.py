"""Predictions from any source: one JSON object per line, or a CSV file with a header.

    {"note_id": "10000001-DS-1", "icd_code": "I5021", "completion": "<think>…</think><diagnosis>I5023</diagnosis>"}
    {"note_id": "10000001-DS-1", "icd_code": "I5021", "code": "I50.23"}
    {"note_id": "10000001-DS-1", "icd_code": "I5021", "codes": ["I50.23", "I10"]}

`icd_code` is the true code, with or without its dot. With a dataset it may be left out; if present, it must agree.
`completion` is the whole answer of a model; where there is only a code, it stands under `code`, a list of codes under
`codes` (in CSV with spaces, commas or semicolons between them): all of them count with `--config multi`, without it the
first. A null, in CSV an empty cell, means no answer; only one of the three may have a value. Other keys are ignored. An
error names the line and never quotes its text, which may come from a credentialed record. `--predictions example` is a
file of this package, made up.

Answers are then matched with the notes of a split (`match_answers`), or with those of another run.
"""

import csv
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepicd import storage
from deepicd.answer_form import measure_overlap, read_code
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.parsing import ParseError, parse_json
from deepicd.schema import PREDICTIONS
from deepicd.storage import Origin
from deepicd.text_store import StoredText, TextStore
from train.data import EvaluationSplit
from train.evaluation.reading import NO_CODE, Reading, extract_code, extract_codes

PREDICTIONS_FILE = "predictions.parquet"
EXAMPLE = Path(__file__).parent / "example_predictions.jsonl"
EXPECTED = (
    'Each line is one JSON object: {"note_id": "…", "icd_code": "…", "completion": "…"}, or has "code" or "codes" for'
    " completion; a .csv file has these columns. For an example: --predictions example"
)
KINDS = {"completion": "a completion", "code": "a code", "codes": "codes"}
MAX_CELL = 2**27
"""Characters; the csv module's own limit is 131,072."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one note."""

    note_id: str
    truth: Code | None
    """As the line states it."""
    text: StoredText | None
    code: str | None = None
    """The predicted code, where there is no text."""
    others: tuple[str, ...] = ()
    """Those listed after it."""


@dataclass(frozen=True, slots=True)
class EvaluatedNote:
    """One note with its answer."""

    note_id: str
    truth: Code
    predicted: Code | None
    problem: str | None
    """Why nothing is predicted; None if a code is."""
    text: StoredText | None
    others: tuple[str, ...] = ()
    """Of an answer without text, the codes listed after the first."""

    @property
    def overlap(self) -> int:
        return measure_overlap(self.predicted.value, self.truth.value) if self.predicted else 0

    def list_codes(self, reading: Reading, opening: str) -> tuple[Code | None, ...]:
        """Return all codes that the answer lists, None for what is no code."""
        if self.text is not None:
            return tuple(extract_codes(self.text.read(), reading, opening))
        first = (self.predicted,) if self.predicted or self.problem == NO_CODE else ()
        return (*first, *map(read_code, self.others))


def find_predictions(path: Path) -> Path:
    """Return the file of this name, or the package's own for 'example'. Raises DeepicdError."""
    if not path.is_file() and path == Path("example"):
        return EXAMPLE
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", EXPECTED)
    return path


def read_predictions(path: Path, texts: TextStore) -> list[Prediction]:
    """Return all predictions of a file in its order. Raises DeepicdError with the number of the wrong line."""
    predictions: list[Prediction] = []
    first_line: dict[str, int] = {}
    for number, row in (_read_csv if path.suffix.lower() == ".csv" else _read_json_lines)(path):
        prediction = _parse_row(row, f"{path}, line {number:,}", texts)
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


def _read_json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ParseError as error:
                raise DeepicdError(f"{path}, line {number:,} is not JSON.", EXPECTED) from error
            if not isinstance(row, dict):
                raise DeepicdError(f"{path}, line {number:,} is not a JSON object.", EXPECTED)
            yield number, row


def _read_csv(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the rows of a CSV file with the last line of each; an empty cell is None."""
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DeepicdError(
                        f"{path}, line {reader.line_num:,} has not as many cells as the header.", EXPECTED
                    )
                yield reader.line_num, {name.strip(): cell or None for name, cell in row.items()}
        except (csv.Error, UnicodeDecodeError) as error:
            raise DeepicdError(f"{path}, after line {reader.line_num:,}, is not CSV in UTF-8.", EXPECTED) from error


def _parse_row(row: Mapping[str, object], where: str, texts: TextStore) -> Prediction:
    note_id = row.get("note_id")
    if not isinstance(note_id, (str, int)) or isinstance(note_id, bool) or not str(note_id).strip():
        raise DeepicdError(f"{where} has no note_id.", EXPECTED)
    kinds = [name for name in KINDS if name in row]
    filled = [name for name in kinds if row[name] not in (None, [], "")] or kinds[-1:]
    if len(filled) > 1:
        raise DeepicdError(f"{where} has both {' and '.join(KINDS[name] for name in filled)}.", EXPECTED)
    truth = _parse_truth(row.get("icd_code"), where)
    if filled == ["codes"]:
        codes = _parse_list(row["codes"], where)
        return Prediction(str(note_id), truth, None, codes[0] if codes else None, tuple(codes[1:]))
    if not filled or not isinstance(answer := row[filled[0]], str | None):
        raise DeepicdError(f"{where} has no completion and no code, or not as a text.", EXPECTED)
    if filled == ["code"]:
        return Prediction(str(note_id), truth, None, answer)
    return Prediction(str(note_id), truth, None if answer is None else texts.add(answer))


def _parse_list(value: object, where: str) -> list[str]:
    """Return the codes of a list, or of a text with commas, semicolons or spaces between them; none for null."""
    if value is None:
        return []
    codes = value.replace(",", " ").replace(";", " ").split() if isinstance(value, str) else value
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise DeepicdError(f"{where} has codes that are not a list of texts.", 'Write them like ["I21.4", "I10"].')
    return codes


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
        answer = answers.get(note_id) or Prediction(note_id, None, None)
        if answer.code is not None:
            result: Code | str = read_code(answer.code) or NO_CODE
        else:
            result = extract_code(answer.text.read() if answer.text is not None else None, reading, opening)
        code, problem = (result, None) if isinstance(result, Code) else (None, result)
        notes.append(EvaluatedNote(note_id, truth, code, problem, answer.text, answer.others))
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
            "icd_code is the true code, not the predicted one. Name the dataset that was answered: --dataset DIR",
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
        for row in storage.read_table(
            folder / PREDICTIONS_FILE, PREDICTIONS, ["note_id", "icd_code", "predicted", "problem"]
        ).to_pylist()
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
