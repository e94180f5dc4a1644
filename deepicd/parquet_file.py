"""A parquet file whose damage is an error of ours that names it, wherever it shows: in the footer, a page or a text.

Pages that deepicd writes have checksums, so that a flipped bit is found and not read as another letter. Texts and
offsets are validated as well, since other programs write no checksums and Arrow follows a bad offset anywhere. So are
columns that no row may lack.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from deepicd.errors import DeepicdError


class CheckedParquetFile(pq.ParquetFile):  # type: ignore[misc]  # pyarrow has no types
    """A ParquetFile that raises DeepicdError for damage, and for nulls in columns that have none."""

    def __init__(self, path: Path, never_null: Collection[str] = (), **options: Any) -> None:
        self.path, self.never_null = path, never_null
        with name_damage(path):
            super().__init__(path, page_checksum_verification=True, **options)

    def read(self, *arguments: Any, **options: Any) -> pa.Table:
        with name_damage(self.path):
            table = super().read(*arguments, **options)
            table.validate(full=True)
        for batch in table.to_batches():
            self._refuse_nulls(batch)
        return table

    def iter_batches(self, batch_size: int = 65_536, **options: Any) -> Iterator[pa.RecordBatch]:
        """Yield batches of a row group at a time: one reader over all of them keeps in memory what it has read."""
        groups = options.pop("row_groups", None)
        for group in range(self.num_row_groups) if groups is None else groups:
            batches = super().iter_batches(batch_size, row_groups=[group], **options)
            while True:
                with name_damage(self.path):
                    batch = next(batches, None)
                    if batch is None:
                        break
                    batch.validate(full=True)
                self._refuse_nulls(batch)
                yield batch

    def _refuse_nulls(self, batch: pa.RecordBatch) -> None:
        for name in batch.schema.names:
            if name in self.never_null and _has_null(batch[name]):
                raise DeepicdError(
                    f"{self.path} has rows without {name}.", "Write it again with the stage that made it."
                )


def _has_null(array: pa.Array) -> bool:
    """Return whether a value is null, or one within a value."""
    if array.null_count:
        return True
    if pa.types.is_struct(array.type):
        return any(_has_null(array.field(place)) for place in range(array.type.num_fields))
    return pa.types.is_list(array.type) and _has_null(array.flatten())


@contextmanager
def name_damage(path: Path) -> Iterator[None]:
    """Raise DeepicdError with the file's name for what Arrow says about a damaged one."""
    try:
        yield
    except (PermissionError, FileNotFoundError):
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DeepicdError(
            f"{path} is not a parquet file, only part of one, or damaged.",
            "Write it again with the stage that made it.",
        ) from error
