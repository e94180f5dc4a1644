"""gold.parquet: what each note says and what of it was known at admission, so that an extraction can be scored.

    note_id           place  section           text             known_at_admission
    10000019-DS-3     8      Chief Complaint   Chest pain       true
    10000019-DS-3     14     Physical Exam     T 98.4 BP 132/…  true
    10000019-DS-3     15     Discharge Exam    DISCHARGE EXAM…  false

One row a part of the note, in the note's order. `text` stands in the note verbatim (line ends apart) and is what a
perfect extraction returns: the present illness without a hospital course that somebody wrote into it, the exam without
its discharge part. Sections are named as builders.cohort.headers names them, and 'Addendum'. Left out is what holds no
sentence: lines of the form's own, headings over an admission exam or its results, `___` by itself. Results count as
known where they are marked as those of admission.
"""

from collections.abc import Iterable

import pyarrow as pa

from builders.synthetic.discharge_note import Part

GOLD = pa.schema(
    [
        ("note_id", pa.string()),
        ("place", pa.int16()),  # of the part in its note, from 0
        ("section", pa.string()),
        ("text", pa.string()),
        ("known_at_admission", pa.bool_()),
    ]
)

GoldRow = tuple[str, int, str, str, bool]


def gold_rows(note_id: str, parts: Iterable[Part]) -> list[GoldRow]:
    return [
        (note_id, place, _name(part.name), part.text, part.known_at_admission)
        for place, part in enumerate(parts)
        if part.text not in ("", "___")
    ]


def _name(section: str) -> str:
    """The template has one heading, 'Discharge', for all that begins so but the exam."""
    return "Discharge" if section.startswith("Discharge ") and section != "Discharge Exam" else section


def as_table(rows: list[GoldRow]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [() for _ in GOLD]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, GOLD, strict=True)], GOLD)
