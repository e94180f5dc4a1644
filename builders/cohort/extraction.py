"""Turn discharge notes of ICD-10 stays into admission notes, batch by batch: the costly step of a build.

In: the notes of a copy. Out: `ROWS` for the notes that satisfy the criteria, `EXCLUDED` for all others.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from builders.cohort.criteria import Criteria, exceeds_tokens
from builders.cohort.leakage import Terms, remove_signals
from builders.cohort.parallel import MapInOrder
from builders.cohort.section_rules import COURSE
from builders.cohort.sections import divide_note, drop_references, join_sections
from builders.cohort.stays import join_notes, load_terms
from builders.cohort.unknown_headers import UnknownHeader
from deepicd.icd10cm import Code
from deepicd.log import track_progress
from deepicd.mimic.local_copy import Copy
from deepicd.schema import EXCLUDED, OUTCOME

if TYPE_CHECKING:
    import duckdb

NO_SECTION = "no admission section"
ILLNESS = "History of Present Illness"
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
        OUTCOME.field("sections"),  # what was written later
    ]
)


Section = dict[str, str]
"""name, text"""


class KeptNote(NamedTuple):
    """The columns that extraction adds to a note."""

    admission_note: str
    icd_code: str
    category: str
    chapter: int
    sections: list[Section]
    """Written later."""


@dataclass(slots=True)
class Extraction:
    """The notes of one batch by their place in it.

    Lists and strings, no Arrow arrays: to build one from a list, pyarrow imports pandas, which takes every worker
    process half a second.
    """

    kept: dict[int, KeptNote] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    """The reason."""
    headers: Counter[UnknownHeader] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The kept and the excluded notes of one batch."""

    rows: pa.RecordBatch
    excluded: pa.RecordBatch
    headers: Counter[UnknownHeader]


def extract_notes(
    db: "duckdb.DuckDBPyConnection",
    copy: Copy,
    criteria: Criteria,
    map_in_order: MapInOrder,
    note_ids: "pa.Array | None" = None,
) -> Iterator[BatchResult]:
    """Yield results for every note of a copy, or for those with these ids, in batches.

    `db` holds the tables of `builders.cohort.stays.read_stays`.
    """
    under_way = deque[tuple[pa.RecordBatch, pa.RecordBatch]]()
    with track_progress("notes read") as advance:

        def read_candidates() -> Iterator[pa.RecordBatch]:
            for notes in join_notes(db, copy):
                advance(notes.candidates.num_rows + notes.excluded.num_rows)
                candidates, ruled_out = (_filter(batch, note_ids) for batch in notes)
                under_way.append((candidates.drop_columns("text"), ruled_out))
                yield candidates.select(["text", "icd_code"])

        work = partial(extract_batch, criteria=criteria, terms=load_terms(db) if criteria.strict else {})
        for part in map_in_order(work, read_candidates()):
            candidates, ruled_out = under_way.popleft()
            excluded = _take(candidates, part.lost, [(reason,) for reason in part.lost.values()], ("reason",), EXCLUDED)
            yield BatchResult(
                _take(candidates, part.kept, part.kept.values(), KeptNote._fields, ROWS),
                pa.concat_batches([excluded, ruled_out]),
                part.headers,
            )


def _filter(batch: pa.RecordBatch, note_ids: "pa.Array | None") -> pa.RecordBatch:
    return batch if note_ids is None else batch.filter(pc.is_in(batch["note_id"], value_set=note_ids))


def _take(
    batch: pa.RecordBatch,
    places: Iterable[int],
    rows: Iterable[tuple[object, ...]],
    names: tuple[str, ...],
    schema: pa.Schema,
) -> pa.RecordBatch:
    """Return the rows at these places, with new values under these names, in a schema's order."""
    kept = batch.select([name for name in schema.names if name not in names]).take(pa.array(places, pa.int64()))
    columns = zip(*rows, strict=True) if kept.num_rows else ([] for _ in names)
    for name, values in zip(names, columns, strict=True):
        kept = kept.append_column(name, pa.array(values, schema.field(name).type))
    return kept.select(schema.names)


def extract_batch(batch: pa.RecordBatch, criteria: Criteria, terms: Mapping[str, Terms]) -> Extraction:
    """Extract notes, given as text and icd_code. Runs in worker processes. Only strict criteria need `terms`."""
    result = Extraction()
    pairs = zip(batch["text"].to_pylist(), batch["icd_code"].to_pylist(), strict=True)
    for place, (text, icd_code) in enumerate(pairs):
        code = Code.find(icd_code)
        if code is None:
            result.lost[place] = "no ICD-10-CM code"
            continue
        found, later = divide_note(text or "", criteria, result.headers)
        sections = drop_references(found)
        is_reference = ILLNESS in found and ILLNESS not in sections
        if criteria.strict and sections:
            course = "\n".join(text for name, text in later if name == COURSE)
            sections = remove_signals(sections, terms[code.value], course)
        note = join_sections(sections)
        if reason := "only a reference" if is_reference else find_reason(sections, note, criteria):
            result.lost[place] = reason
        else:
            after = [{"name": name, "text": text} for name, text in later]
            result.kept[place] = KeptNote(note, code.value, code.category, code.chapter.number, after)
    return result


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
