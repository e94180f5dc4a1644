"""Hand the notes of a copy to worker processes, batch by batch, and yield the results in order.

What is done to a note: builders.cohort.batch.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from builders.cohort.batch import Extraction, extract_batch
from builders.cohort.criteria import Criteria
from builders.cohort.parallel import MapInOrder
from builders.cohort.stays import join_notes, load_terms
from deepicd.log import track_progress
from deepicd.mimic.local_copy import Copy

if TYPE_CHECKING:
    import duckdb


def extract_notes(
    db: "duckdb.DuckDBPyConnection",
    copy: Copy,
    criteria: Criteria,
    map_in_order: MapInOrder,
    note_ids: "pa.Array | None" = None,
) -> Iterator[Extraction]:
    """Yield results for every note of a copy, or for those with these ids, in batches.

    `db` holds the tables of `builders.cohort.stays.read_stays`.
    """
    ruled_out = deque[pa.RecordBatch]()
    with track_progress("notes read") as advance:

        def read_candidates() -> Iterator[pa.RecordBatch]:
            for notes in join_notes(db, copy):
                advance(notes.candidates.num_rows + notes.excluded.num_rows)
                candidates, excluded = (_filter(batch, note_ids) for batch in notes)
                ruled_out.append(excluded)
                yield candidates

        work = partial(extract_batch, criteria=criteria, terms=load_terms(db) if criteria.strict else {})
        for part in map_in_order(work, read_candidates()):
            yield part._replace(excluded=pa.concat_batches([part.excluded, ruled_out.popleft()]))


def _filter(batch: pa.RecordBatch, note_ids: "pa.Array | None") -> pa.RecordBatch:
    return batch if note_ids is None else batch.filter(pc.is_in(batch["note_id"], value_set=note_ids))
