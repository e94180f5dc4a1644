"""What an evaluation holds does not grow with the length of its answers."""

import json
import tracemalloc
from pathlib import Path

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from deepicd.text_store import open_text_store
from train.evaluation.predictions import match_answers, read_predictions

ROWS, LENGTH = 200, 100_000


def test_answers_wait_on_disk(tmp_path: Path) -> None:
    answer = write_answer("cough " * (LENGTH // 6), Code("J189"))
    line = {"icd_code": "J189", "completion": answer}
    with (tmp_path / "answers.jsonl").open("w") as file:
        file.writelines(json.dumps({"note_id": str(number)} | line) + "\n" for number in range(ROWS))
    with open_text_store(tmp_path) as texts:
        tracemalloc.start()
        predictions = read_predictions(tmp_path / "answers.jsonl", texts)
        notes = match_answers(predictions, None, limit=None, reading="form", opening="")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(notes) == ROWS and {note.predicted for note in notes} == {Code("J189")}
        assert notes[-1].text is not None and notes[-1].text.read() == answer
    assert peak < ROWS * LENGTH / 10
