"""From joined discharge notes to admission notes, a batch at a time: the costly step of a build.

In: batches of note_id, subject_id, hadm_id, icd_code, second_code, seq_num, reason, text; a note that ids and codes
have ruled out comes with its reason and without its text. Out: `ROWS` for the
notes that have what the criteria ask for, `EXCLUDED` for all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from builders.criteria import Criteria
from builders.leakage import Terms, without_signals
from builders.sections import admission_sections, as_text, hospital_course
from deepicd.icd10cm import Code
from deepicd.schema import EXCLUDED

ROWS = pa.schema(
    [
        ("note_id", pa.string()),
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("admission_note", pa.string()),
        ("icd_code", pa.string()),
        ("second_code", pa.string()),  # of the second rank, null for none; decides a flag
        ("category", pa.string()),
        ("chapter", pa.int8()),
        ("seq_num", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of one batch."""

    rows: pa.RecordBatch
    excluded: pa.RecordBatch


def extract(batch: pa.RecordBatch, criteria: Criteria, naming: Mapping[str, Terms]) -> Extracted:
    """One batch; runs in whatever process. `naming`: what would name each code, needed by strict criteria only."""
    rows: list[dict[str, Any]] = []
    excluded: list[dict[str, Any]] = []
    for note in batch.to_pylist():
        code = None if note["reason"] else Code.find(note["icd_code"])
        parts = admission_sections(note["text"] or "", criteria) if code else {}
        if criteria.strict and code and parts:
            parts = without_signals(parts, naming[code.value], hospital_course(note["text"]))
        text = as_text(parts)
        reason = note["reason"] or _reason(code, parts, text, criteria)
        if reason or code is None:
            excluded.append({**note, "reason": reason})
        else:
            rows.append(
                {
                    **note,
                    "admission_note": text,
                    "icd_code": code.value,
                    "category": code.category,
                    "chapter": code.chapter.number,
                }
            )
    return Extracted(_batch(rows, ROWS), _batch(excluded, EXCLUDED))


def _reason(code: Code | None, parts: dict[str, str], text: str, criteria: Criteria) -> str | None:
    """Why a note that has been read falls out; None for one that stays."""
    if code is None:
        return "no ICD-10-CM code"
    if not any(name in parts for name in criteria.required):
        return "no admission section"
    words = len(text.split()) if criteria.min_words or criteria.max_words else 0
    if words < criteria.min_words:
        return "too short"
    if criteria.max_words and words > criteria.max_words:
        return "too long"
    return None


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema)
