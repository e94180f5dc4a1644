"""Find the notes that a text may repeat, those of the run that it belongs to, by the records; and read them.

    report/README.md     ← report/run.json has read evaluation/          (by its path)
      evaluation/        ← its run.json has read dataset/grpo
        dataset/         has the notes; or, if it was moved or deleted:
        cohort/          beside or above it, with the digests that the lineage gives for `deepicd build`

All notes are found or none: if one of several inputs is gone and no cohort takes its place, the text is not checked.

They are read from a cohort or a dataset folder (then with the traces), from a parquet file with a column of texts, or
from a copy of MIMIC-IV-Note or its discharge.csv.gz.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cards.firewall.content_origin import read_record
from cards.firewall.made_up import NEAR
from deepicd import records
from deepicd.errors import DeepicdError
from deepicd.stage_records import BuildRecord

if TYPE_CHECKING:
    import pyarrow as pa

DEEPEST = 12  # records from a text to the notes
COLUMNS = ("admission_note", "text", "trace", "completion", "extra_info.note")  # the last: config `grpo`
IDS = ("note_id", "subject_id", "hadm_id", "extra_info.note_id")
_ID = re.compile(r"(?<!\d)[123]\d{7}(?!\d)")
_ROWS = 512  # read at a time


def find_notes(path: Path) -> list[Path]:
    """Return where the notes of the credentialed run are that a file or folder belongs to; [] if they are not found."""
    path = path.resolve()
    for folder in (path, *path.parents)[: NEAR + 1]:
        record = read_record(folder)
        if record is not None and record.origin == "mimic":
            return list(dict.fromkeys(_follow(folder, record, DEEPEST) or ()))
    return []


def _follow(folder: Path, record: records.Record, deepest: int) -> list[Path] | None:
    """Return the notes that a run has read; [] if it has read none, None if some of them are gone."""
    if has_notes(folder):
        return [folder]
    found: list[Path] = []
    is_complete = deepest > 0
    for given in record.inputs.values():
        place = Path(given.path) if given.path else None
        if place is None or not place.exists():
            is_complete = False
            continue
        above = place if (place / records.RECORD).is_file() else place.parent
        before = read_record(above)
        if before is not None and before.origin == "mimic" and above != folder and deepest:
            if (notes := _follow(above, before, deepest - 1)) is None:
                is_complete = False
            found += notes or []
        elif has_notes(place):
            found.append(place)
    if not is_complete or not found:
        cohort = _find_cohort(folder, record)
        return [*found, cohort] if cohort else None
    return found


def _find_cohort(folder: Path, record: records.Record) -> Path | None:
    """Return a cohort near a folder that is the one of its lineage, by size and digest; None if there is none."""
    build = record.lineage.get(BuildRecord.COMMANDS[0])
    rows = {name: entry for name, entry in build.outputs.items() if name.endswith(".parquet")} if build else {}
    near = (place for above in list(folder.parents)[:NEAR] for place in _list_runs(above))
    return next((place for place in near if rows and not records.compare_files(place, rows, content=True)), None)


def _list_runs(folder: Path) -> Iterator[Path]:
    """Yield the folders with a record in or directly below a folder's folders."""
    for pattern in ("*/run.json", "*/*/run.json"):
        for path in sorted(folder.glob(pattern)):
            yield path.parent


def has_notes(folder: Path) -> bool:
    """Return whether a folder has a parquet file with admission notes, at any depth, or is MIMIC's table of notes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.is_file():
        return folder.name.startswith("discharge.csv")
    for path in folder.rglob("*.parquet") if folder.is_dir() else ():
        with suppress(pa.ArrowInvalid, OSError):
            names = pq.read_schema(path).names
            if "admission_note" in names or "extra_info" in names:
                return True
    return False


def read_notes(source: Path) -> Iterator[bytes]:
    """Yield every note, and every trace if there are any. Raises DeepicdError where nothing is found."""
    is_empty = True
    for texts in _read_columns(source, COLUMNS):
        is_empty = False
        yield "\n".join(texts).encode() + b"\n"
    if is_empty:
        raise DeepicdError(
            f"{source} holds no notes to compare with.",
            "Name a cohort (`deepicd build`), a dataset folder, or the copy of MIMIC-IV-Note: --notes-from DIR",
        )


def read_ids(source: Path) -> set[int]:
    """Return the ids of the patients and stays of the notes."""
    found = (_ID.findall(text) for texts in _read_columns(source, IDS) for text in texts)
    return {int(number) for numbers in found for number in numbers}


def _read_columns(source: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """Yield what is not empty in each of the columns that there are, batch by batch; numbers as text."""
    import pyarrow as pa

    tables = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if source.is_dir() and not tables:
        tables = sorted(path for path in source.rglob("discharge.csv*") if path.is_file())
    for path in tables:
        for batch in (_read_parquet if path.suffix == ".parquet" else _read_csv)(path, columns):
            for column in batch.columns:
                for part in column.flatten() if pa.types.is_struct(column.type) else [column]:
                    if not pa.types.is_nested(part.type):
                        yield [str(value) for value in part.to_pylist() if value]


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DeepicdError(f"{path} is not a complete parquet file.", "Make it again.") from error
    there = [name for name in columns if name.partition(".")[0] in file.schema_arrow.names]
    for group in range(file.num_row_groups) if there else ():  # a reader over all keeps in memory what it has read
        yield from file.iter_batches(_ROWS, row_groups=[group], columns=there)


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    from pyarrow import csv

    has_text = "text" in columns
    chosen = ["text"] if has_text else [name for name in columns if "." not in name]
    options = csv.ConvertOptions(
        include_columns=chosen,
        include_missing_columns=not has_text,
        column_types=dict.fromkeys(chosen, pa.string()),
    )
    try:
        yield from csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)
    except (pa.ArrowInvalid, KeyError) as error:
        raise DeepicdError(
            f"{path} is not a table of notes: it has no column `text`.", "Name note/discharge.csv.gz."
        ) from error
