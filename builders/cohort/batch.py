"""Turn a batch of discharge notes into rows of admission notes, in a worker process: the costly step of a build.

extract_batch(candidates, criteria, terms={}).rows     # ROWS; the others are in .excluded
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import pyarrow as pa

from builders.cohort.criteria import Criteria, exceeds_tokens
from builders.cohort.leakage import Terms, remove_signals
from builders.cohort.section_rules import COURSE
from builders.cohort.sections import divide_note, drop_references, join_sections
from builders.cohort.unknown_headers import UnknownHeader
from deepicd.icd10cm import Code
from deepicd.schema import EXCLUDED, OUTCOME

NO_SECTION = "no admission section"
ILLNESS = "History of Present Illness"
ROWS = pa.schema(
    [
        ("note_id", pa.string()),
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("second_code", pa.string()),  # of the second rank, null for none; decides a flag
        ("seq_num", pa.int64()),
        ("admission_note", pa.string()),
        ("icd_code", pa.string()),
        ("category", pa.string()),
        ("chapter", pa.int8()),
        OUTCOME.field("sections"),  # what was written later
    ]
)
EXTRACTED = ROWS.names[5:]


class Extraction(NamedTuple):
    """The notes of one batch."""

    rows: pa.RecordBatch
    """Those that satisfy the criteria: ROWS."""
    excluded: pa.RecordBatch
    """All others: EXCLUDED."""
    headers: Counter[UnknownHeader]


def extract_batch(notes: pa.RecordBatch, criteria: Criteria, terms: Mapping[str, Terms]) -> Extraction:
    """Extract the candidates of `stays.join_notes`. Only strict criteria need `terms`."""
    kept: dict[int, tuple[object, ...]] = {}
    reasons: dict[int, tuple[object, ...]] = {}
    headers = Counter[UnknownHeader]()
    for place, (text, icd_code) in enumerate(
        zip(*(notes[name].to_pylist() for name in ("text", "icd_code")), strict=True)
    ):
        code = Code.find(icd_code)
        if code is None:
            reasons[place] = ("no ICD-10-CM code",)
            continue
        found, later = divide_note(text or "", criteria, headers)
        sections = drop_references(found)
        is_reference = ILLNESS in found and ILLNESS not in sections
        if criteria.strict and sections:
            course = "\n".join(text for name, text in later if name == COURSE)
            sections = remove_signals(sections, terms[code.value], course)
        admission_note = join_sections(sections)
        if reason := "only a reference" if is_reference else find_reason(sections, admission_note, criteria):
            reasons[place] = (reason,)
        else:
            kept[place] = (admission_note, code.value, code.category, code.chapter.number, later)
    return Extraction(_take(notes, kept, EXTRACTED, ROWS), _take(notes, reasons, ["reason"], EXCLUDED), headers)


def _take(
    notes: pa.RecordBatch, new: Mapping[int, tuple[object, ...]], names: Collection[str], schema: pa.Schema
) -> pa.RecordBatch:
    """Return the rows at these places of a batch in a schema, with new values under these names."""
    columns = dict(zip(names, zip(*new.values(), strict=True) if new else ((),) * len(names), strict=True))
    taken = notes.select([name for name in schema.names if name not in columns]).take(pa.array(new, pa.int64()))
    values = [pa.array(columns[f.name], f.type) if f.name in columns else taken[f.name] for f in schema]
    return pa.record_batch(values, schema)


def has_required(sections: Mapping[str, str], criteria: Criteria) -> bool:
    """Return whether a note has one of the sections without which it says nothing about the admission."""
    return any(name in sections for name in criteria.required)


def find_reason(sections: Mapping[str, str], text: str, criteria: Criteria) -> str | None:
    """Return why a note of a stay with a code is excluded; None if it is kept."""
    if not has_required(sections, criteria):
        return NO_SECTION
    words = len(text.split()) if criteria.min_words or criteria.max_words else 0
    if words < criteria.min_words:
        return "too short"
    if criteria.max_words and words > criteria.max_words:
        return "too long"
    if criteria.max_tokens and exceeds_tokens(text, criteria.max_tokens, criteria.tokenizer):
        return "too many tokens"
    return None
