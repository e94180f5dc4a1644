"""Score the sections that `deepicd build` keeps against gold.parquet of a copy made by `deepicd synthesize`.

Prints per section the number of lines known at admission, recall, precision, and the number of lines that leak. Only
lines with a word in them count, as often as they occur: a normal finding may be in both exams but known only once.
Precision is below one where a heading over admission labs or exam is kept too, since gold has no such lines.
Run: python -m benchmarks.sections COPY
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.headers import ORDER
from builders.cohort.sections import extract_admission_sections
from builders.synthetic.discharge_note import GOLD_FILE
from builders.synthetic.mimic_csv import get_table_path
from deepicd.errors import DeepicdError
from deepicd.mimic.table_rows import read_rows
from deepicd.mimic.tables import Table

WITH_LABS = DEFAULT.replace(admission_labs=True)

GoldRecord = dict[str, Any]


@dataclass(slots=True)
class Score:
    """Lines of a section over all notes."""

    known: int = 0  # at admission
    extracted: int = 0
    right: int = 0  # both
    leaked: int = 0  # of this section, extracted although not known at admission
    notes_short: int = 0  # in which a known line is missing

    @property
    def precision(self) -> float:
        return self.right / self.extracted if self.extracted else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.known if self.known else 1.0


def score_extraction(copy: Path, criteria: Criteria = WITH_LABS) -> dict[str, Score]:
    """Return section → score over the notes of a copy that `deepicd synthesize` made."""
    scores = defaultdict[str, Score](Score)
    for text, gold in read_notes(copy):
        add_note(scores, extract_admission_sections(text, criteria), gold)
    return dict(scores)


def add_note(scores: defaultdict[str, Score], parts: dict[str, str], gold: Iterable[GoldRecord]) -> None:
    """Add one note's sections, as extracted, to the scores."""
    extracted = {section: Counter(split_lines(text)) for section, text in parts.items()}
    known, later = defaultdict[str, Counter[str]](Counter), dict[str, str]()
    for row in gold:
        if row["known_at_admission"]:
            known[row["section"]].update(split_lines(row["text"]))
        else:
            later |= {line: str(row["section"]) for line in split_lines(row["text"])}
    for section in extracted.keys() | known.keys():
        score, right = scores[section], known[section] & extracted.get(section, Counter())
        score.known += known[section].total()
        score.extracted += extracted[section].total() if section in extracted else 0
        score.right += right.total()
        score.notes_short += right != known[section]
    surplus = sum(extracted.values(), Counter[str]()) - sum(known.values(), Counter[str]())
    for line, times in surplus.items():
        if line in later:
            scores[later[line]].leaked += times


def split_lines(text: str) -> Iterator[str]:
    """Yield the lines with a word in them."""
    return (line.rstrip() for line in text.split("\n") if any(map(str.isalnum, line)))


def read_notes(copy: Path) -> Iterator[tuple[str, list[GoldRecord]]]:
    """Yield each note's text with its gold rows, which come in the same order. Raises DeepicdError for foreign gold."""
    import pyarrow.parquet as pq

    file = copy / GOLD_FILE
    if not file.is_file():
        raise DeepicdError(f"{copy} has no {GOLD_FILE}.", "Score a copy that has one: deepicd synthesize OUT")
    gold_rows = (row for batch in pq.ParquetFile(file).iter_batches(4096) for row in batch.to_pylist())
    gold_by_note = groupby(gold_rows, key=itemgetter("note_id"))
    columns = ("note_id", "text")
    for batch in read_rows(Table.at(get_table_path(copy, "note/discharge"), "discharge"), columns):
        for note_id, text in zip(*(batch[name].to_pylist() for name in columns), strict=True):
            gold_id, parts = next(gold_by_note, (None, iter(())))
            if gold_id != note_id:
                raise DeepicdError(
                    f"{file} belongs to other notes than those beside it.",
                    "Generate the copy again: deepicd synthesize OUT",
                )
            yield text, list(parts)


def main(copy: Path) -> None:
    scores = score_extraction(copy)
    print(f"{'section':<30}{'known':>12}{'kept':>9}{'right':>9}{'leaked':>9}")
    for section in sorted(scores, key=lambda name: ORDER.get(name, len(ORDER))):
        score = scores[section]
        if score.known or score.extracted or score.leaked:
            print(f"{section:<30}{score.known:>12,}{score.recall:>9.3%}{score.precision:>9.3%}{score.leaked:>9,}")
    known, right = sum(s.known for s in scores.values()), sum(s.right for s in scores.values())
    leaked = sum(score.leaked for score in scores.values())
    print(f"{'all':<30}{known:>12,}{right / known:>9.3%}{'':>9}{leaked:>9,}")
    result = {section: asdict(score) for section, score in sorted(scores.items())}
    (RESULTS / "sections.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
