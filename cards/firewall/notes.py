"""Read the notes that texts are compared with, in batches of a few megabytes.

They come from a cohort or a dataset folder (then with the traces), from a parquet file with a column of texts, or from
a copy of MIMIC-IV-Note or its discharge.csv.gz.
"""

from collections.abc import Iterator
from pathlib import Path

from deepicd.errors import DeepicdError

COLUMNS = ("admission_note", "text", "trace", "completion")
NESTED = {"extra_info": "extra_info.note"}  # config `grpo`: every row of the cohort
BATCH = 512  # rows


def read_notes(source: Path) -> Iterator[bytes]:
    """Yield every note, and every trace if there are any. Raises DeepicdError where nothing is found."""
    tables = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if source.is_dir() and not tables:
        tables = sorted(path for path in source.rglob("discharge.csv*") if path.is_file())
    is_empty = True
    for path in tables:
        for batch in _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path):
            is_empty = False
            yield batch
    if is_empty:
        raise DeepicdError(
            f"{source} holds no notes to compare with.",
            "Name a cohort (`deepicd build`), a dataset folder, or the copy of MIMIC-IV-Note: --notes-from DIR",
        )


def _read_parquet(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DeepicdError(f"{path} is not a complete parquet file.", "Make it again.") from error
    names = file.schema_arrow.names
    columns = [name for name in COLUMNS if name in names] + [NESTED[name] for name in NESTED if name in names]
    if not columns:
        return
    for batch in file.iter_batches(BATCH, columns=columns):
        for column in batch.columns:
            column = column.field("note") if pa.types.is_struct(column.type) else column
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield "\n".join(text for text in column.to_pylist() if text).encode() + b"\n"


def _read_csv(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        reader = csv.open_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(include_columns=["text"], column_types={"text": pa.string()}),
        )
        for batch in reader:
            yield "\n".join(text for text in batch.column(0).to_pylist() if text).encode() + b"\n"
    except (pa.ArrowInvalid, KeyError) as error:
        raise DeepicdError(
            f"{path} is not a table of notes: it has no column `text`.", "Name note/discharge.csv.gz."
        ) from error
