"""From discharge notes of ICD-10 stays to admission notes, a batch at a time: the costly step of a build.

In: batches of builders.cohort.stays.Notes.to_read. Out: `ROWS` for the notes that have what the criteria ask for,
`EXCLUDED` for all others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from builders.cohort.criteria import Criteria
from builders.cohort.leakage import Terms, remove_signals
from builders.cohort.sections import extract_admission_sections, extract_hospital_course, join_sections
from builders.cohort.token_limit import exceeds_tokens
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
    kept: dict[int, tuple[str, Code]] = {}  # place in the batch → admission note, code
    lost: dict[int, str] = {}  # place → reason
    pairs = zip(batch["text"].to_pylist(), batch["icd_code"].to_pylist(), strict=True)
    for place, (text, icd_code) in enumerate(pairs):
        code = Code.find(icd_code)
        if code is None:
            lost[place] = "no ICD-10-CM code"
            continue
        parts = extract_admission_sections(text or "", criteria)
        if criteria.strict and parts:
            parts = remove_signals(parts, naming[code.value], extract_hospital_course(text))
        note = join_sections(parts)
        if reason := _reason(parts, note, criteria):
            lost[place] = reason
        else:
            kept[place] = note, code
    columns: dict[str, list[Any]] = {
        "admission_note": [note for note, _ in kept.values()],
        "icd_code": [code.value for _, code in kept.values()],
        "category": [code.category for _, code in kept.values()],
        "chapter": [code.chapter.number for _, code in kept.values()],
    }
    return Extracted(_batch(batch, kept, columns, ROWS), _batch(batch, lost, {"reason": [*lost.values()]}, EXCLUDED))


def _batch(
    batch: pa.RecordBatch, places: Iterable[int], columns: Mapping[str, list[Any]], schema: pa.Schema
) -> pa.RecordBatch:
    """The rows at these places, with new columns, in a schema's order."""
    taken = batch.select([name for name in schema.names if name not in columns]).take(pa.array(places, pa.int64()))
    for name, values in columns.items():
        taken = taken.append_column(name, pa.array(values, schema.field(name).type))
    return taken.select(schema.names)


def _reason(parts: dict[str, str], text: str, criteria: Criteria) -> str | None:
    """Why a note of a stay with a code falls out; None for one that stays."""
    if not any(name in parts for name in criteria.required):
        return "no admission section"
    words = len(text.split()) if criteria.min_words or criteria.max_words else 0
    if words < criteria.min_words:
        return "too short"
    if criteria.max_words and words > criteria.max_words:
        return "too long"
    if criteria.max_tokens and exceeds_tokens(text, criteria.max_tokens, criteria.tokenizer):
        return "too many tokens"
    return None
