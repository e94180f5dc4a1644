"""What a distillation reads: a cohort, and the guidelines and descriptions of its codes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd import records, storage
from deepicd.engines.shard import WHOLE, Shard
from deepicd.errors import DeepicdError
from deepicd.kept_traces import read_kept_traces
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import COHORT, SPLITS
from deepicd.storage import Origin
from distill.examples import NO_EXAMPLES, Examples, find_traces, read_examples
from distill.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow.parquet as pq

COLUMNS = ("note_id", "subject_id", "icd_code", "icd_title", "admission_note")
BATCH = 256  # rows of the cohort in memory at once

Row = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """Opened inputs: the files are of the right kind, and the knowledge of codes is read."""

    cohort: Path
    files: dict[str, "pq.ParquetFile"]  # by split
    knowledge: Knowledge
    origin: Origin
    paths: dict[str, Path]
    """Role → path, which a run's record names and digests."""
    examples: Examples = NO_EXAMPLES

    def count(self, limit: int | None) -> int:
        """Return the number of rows that `read_rows` yields."""
        return sum(min(limit or rows, rows) for rows in (file.metadata.num_rows for file in self.files.values()))

    def read_note_ids(self) -> set[str]:
        """Return the note_ids of all splits."""
        return {note_id for file in self.files.values() for note_id in file.read(["note_id"])["note_id"].to_pylist()}

    def read_rows(
        self, limit: int | None = None, shard: Shard = WHOLE, splits: Sequence[str] = SPLITS
    ) -> Iterator[tuple[str, Row]]:
        """Yield (split, row) in the cohort's order: of the first `limit` rows of each split those of the shard."""
        for split, file in ((split, self.files[split]) for split in splits):
            left = limit or file.metadata.num_rows
            for batch in file.iter_batches(BATCH, columns=list(COLUMNS)):
                rows, left = batch.slice(0, left), max(0, left - batch.num_rows)
                parts = [rows]
                if shard.is_part:  # most notes are other shards', and become no Python text; a filter would load pandas
                    note_ids = enumerate(rows["note_id"].to_pylist())
                    parts = [rows.slice(place, 1) for place, note_id in note_ids if shard.has(note_id)]
                yield from ((split, row) for part in parts for row in part.to_pylist())
                if not left:
                    break

    def read_traces(self, folder: Path, limit: int | None) -> Iterator[tuple[str, Row, list[Row]]]:
        """Yield (split, row, its kept traces) in the cohort's order, at most `limit` traces of each split.

        Raises DeepicdError, at the end, where a trace has no note in the cohort.
        """
        kept = {split: read_kept_traces(folder, split, ("note_id", "icd_code", "trace")) for split in SPLITS}
        upcoming = {split: next(rows, None) for split, rows in kept.items()}
        yielded: Counter[str] = Counter()
        for split, row in self.read_rows():
            traces: list[Row] = []
            while (trace := upcoming[split]) and trace["note_id"] == row["note_id"]:
                traces.append(trace)
                upcoming[split] = next(kept[split], None)
            if limit is not None:
                del traces[limit - yielded[split] :]
            yielded[split] += len(traces)
            yield split, row, traces
        if any(upcoming.values()):
            raise DeepicdError(
                "Some traces have no note in the cohort.", "Name the cohort that they were made from: --cohort DIR"
            )


def open_sources(cohort: Path, guidelines: Path | None, descriptions: Path | None) -> Sources:
    """Open a cohort and what is known of its codes. Raises DeepicdError for missing or unexpected files."""
    records.require(cohort, "build")
    files = {split: cohort / f"{split}.parquet" for split in SPLITS}
    opened = {split: storage.open_parquet(path, COHORT) for split, path in files.items()}
    if not any(file.metadata.num_rows for file in opened.values()):
        raise DeepicdError(
            f"{cohort} holds no notes.", "Its funnel.json shows where they were dropped; build it again."
        )
    guidelines = find_fiscal_year(guidelines) if guidelines else None
    paths = {"cohort": cohort, "guidelines": guidelines, "descriptions": descriptions}
    return Sources(
        cohort=cohort,
        files=opened,
        knowledge=Knowledge(guidelines, descriptions).read(),
        origin=storage.combine_origins(storage.read_origin(path) for path in files.values()),
        paths={role: path for role, path in paths.items() if path is not None},
    )


def add_examples(sources: Sources, folder: Path | None, recipe: Recipe) -> Sources:
    """Return the sources with the examples that a recipe shows, from a run on the same cohort. Raises DeepicdError."""
    if (traces := find_traces(folder, recipe)) is None:
        return sources
    train = (row for _, row in sources.read_rows(splits=("train",)))
    examples = read_examples(traces, train, recipe, sources.origin)
    return replace(sources, examples=examples, paths=sources.paths | {"examples": traces})


def find_fiscal_year(folder: Path) -> Path:
    """Return the folder of chapter files: the given one, or the only fiscal year below it. Raises DeepicdError."""
    if not folder.is_dir():
        raise DeepicdError(f"There is no folder {folder}.", "Make the guidelines first: deepicd guidelines PDF OUT")
    advice = "Point --guidelines at one of them."
    return storage.find_only_folder(folder, "chapter_*.json", "fiscal years", advice) or folder
