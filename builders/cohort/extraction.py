"""Extract the notes of a copy batch by batch: `ROWS` for those that satisfy the criteria, `EXCLUDED` for all others.

What is done to a note: builders.cohort.batch.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from builders.cohort.batch import KeptNote, extract_batch
from builders.cohort.criteria import Criteria
from builders.cohort.parallel import MapInOrder
from builders.cohort.stays import join_notes, load_terms
from builders.cohort.unknown_headers import UnknownHeader
from deepicd.log import track_progress
from deepicd.mimic.local_copy import Copy
from deepicd.schema import EXCLUDED, OUTCOME

if TYPE_CHECKING:
    import duckdb

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

        def read_candidates() -> Iterator[list[tuple[str | None, str]]]:
            for notes in join_notes(db, copy):
                advance(notes.candidates.num_rows + notes.excluded.num_rows)
                candidates, ruled_out = (_filter(batch, note_ids) for batch in notes)
                under_way.append((candidates.drop_columns("text"), ruled_out))
                yield list(zip(candidates["text"].to_pylist(), candidates["icd_code"].to_pylist(), strict=True))

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
