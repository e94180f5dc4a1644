"""Extraction against gold.parquet of a copy with every oddity of the generator: nothing later, all that was known.

Lines are counted as often as they occur: a normal finding may stand in both exams and is known once.
"""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from builders.criteria import DEFAULT
from builders.sections import admission_sections
from builders.synthetic.generator import synthesize
from builders.synthetic.tables import table_path

KEPT = 0.995
"""Share of the known lines of a section that must come out of it."""
WITH_LABS = DEFAULT.but(admission_labs=True)

Note = tuple[str, str, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=[4000, 10_500], ids=["usual length", "long"])
def notes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Note]:
    """(note_id, text, its gold rows)"""
    copy = tmp_path_factory.mktemp("gold") / "mimic"
    synthesize(copy, 800, seed=42, length=request.param)
    gold = defaultdict(list)
    for row in pq.read_table(copy / "gold.parquet").to_pylist():
        gold[row["note_id"]].append(row)
    with gzip.open(table_path(copy, "note/discharge"), "rt", encoding="utf-8", newline="") as file:
        return [(row["note_id"], row["text"], gold[row["note_id"]]) for row in csv.DictReader(file)]


def told(text: str) -> Iterator[str]:
    """Lines with a word in them."""
    return (line.rstrip() for line in text.split("\n") if any(map(str.isalnum, line)))


@pytest.mark.parametrize("criteria", [DEFAULT, WITH_LABS], ids=["default", "with admission labs"])
def test_no_line_that_was_not_known_at_admission_comes_out(notes, criteria):
    leaked = Counter[str]()
    for note_id, text, gold in notes:
        known = Counter(line for row in gold if row["known_at_admission"] for line in told(row["text"]))
        section_of = {
            line: row["section"] for row in gold if not row["known_at_admission"] for line in told(row["text"])
        }
        found = Counter(line for part in admission_sections(text, criteria).values() for line in told(part))
        leaked.update(f"{section_of[line]} of {note_id}: {line}" for line in found - known if line in section_of)
    assert not leaked, "\n".join(leaked)


def test_of_each_section_nearly_every_line_known_at_admission_is_kept(notes):
    kept, known, lost = Counter[str](), Counter[str](), defaultdict[str, set[str]](set)
    for note_id, text, gold in notes:
        found = {section: Counter(told(part)) for section, part in admission_sections(text, WITH_LABS).items()}
        wanted = defaultdict[str, Counter[str]](Counter)
        for row in gold:
            if row["known_at_admission"]:
                wanted[row["section"]].update(told(row["text"]))
        for section, lines in wanted.items():
            common = lines & found.get(section, Counter())
            known[section] += lines.total()
            kept[section] += common.total()
            if common != lines:
                lost[section].add(note_id)
    assert known.keys() == {*DEFAULT.sections, "Pertinent Results"} - {"Social History"}  # always ___
    short = {section: (kept[section], known[section], lost[section]) for section in known}
    assert not {section: counts for section, counts in short.items() if counts[0] < KEPT * counts[1]}
    assert kept.total() >= KEPT * known.total()
