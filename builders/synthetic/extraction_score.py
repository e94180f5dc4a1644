"""How well an extraction does on a copy with gold.parquet: what it keeps of what was known, and what leaks, by section.

    scores = scored(Path("out/mimic"), WITH_LABS)
    scores["Chief Complaint"].recall       # 1.0

What is counted are lines with a word in them, as often as they occur: a normal finding may stand in both exams and is
known once. Read note by note, so that a copy of real size takes no memory. Run: python -m benchmarks.sections COPY
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.sections import extract_admission_sections
from builders.mimic.table_rows import read_rows
from builders.mimic.tables import Table
from builders.synthetic.mimic_csv import table_path
from deepicd.errors import DeepicdError

WITH_LABS = DEFAULT.but(admission_labs=True)

GoldRow = dict[str, Any]


@dataclass(slots=True)
class Score:
    """Lines of a section over all notes."""

    known: int = 0  # at admission
    found: int = 0  # by the extraction
    right: int = 0  # both
    leaked: int = 0  # of this section, not known at admission, and in the extraction all the same
    notes_short: int = 0  # that lack a known line

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.known if self.known else 1.0


def scored(copy: Path, criteria: Criteria = WITH_LABS) -> dict[str, Score]:
    """Section → score, over the notes of a copy that `deepicd synthesize` made."""
    scores = defaultdict[str, Score](Score)
    for text, gold in notes(copy):
        add(scores, extract_admission_sections(text, criteria), gold)
    return dict(scores)


def add(scores: defaultdict[str, Score], parts: dict[str, str], gold: Iterable[GoldRow]) -> None:
    """Count one note."""
    found = {section: Counter(told(text)) for section, text in parts.items()}
    wanted, later = defaultdict[str, Counter[str]](Counter), dict[str, str]()
    for row in gold:
        if row["known_at_admission"]:
            wanted[row["section"]].update(told(row["text"]))
        else:
            later |= {line: str(row["section"]) for line in told(row["text"])}
    for section in found.keys() | wanted.keys():
        score, right = scores[section], wanted[section] & found.get(section, Counter())
        score.known += wanted[section].total()
        score.found += found[section].total() if section in found else 0
        score.right += right.total()
        score.notes_short += right != wanted[section]
    over = sum(found.values(), Counter[str]()) - sum(wanted.values(), Counter[str]())
    for line, times in over.items():
        if line in later:
            scores[later[line]].leaked += times


def told(text: str) -> Iterator[str]:
    """Lines with a word in them."""
    return (line.rstrip() for line in text.split("\n") if any(map(str.isalnum, line)))


def notes(copy: Path) -> Iterator[tuple[str, list[GoldRow]]]:
    """Each note's text with its rows of gold, which stand in the same order. Raises DeepicdError for another copy's."""
    import pyarrow.parquet as pq

    file = copy / "gold.parquet"
    if not file.is_file():
        raise DeepicdError(f"{copy} has no gold.parquet.", "Make up a copy that has: deepicd synthesize OUT")
    gold = (row for batch in pq.ParquetFile(file).iter_batches(4096) for row in batch.to_pylist())
    of_notes = groupby(gold, key=itemgetter("note_id"))
    columns = ("note_id", "text")
    for batch in read_rows(Table.at(table_path(copy, "note/discharge"), "discharge"), columns):
        for note_id, text in zip(*(batch[name].to_pylist() for name in columns), strict=True):
            gold_id, parts = next(of_notes, (None, iter(())))
            if gold_id != note_id:
                raise DeepicdError(f"{file} is not that of the notes beside it.", "Make the copy up anew.")
            yield text, list(parts)
