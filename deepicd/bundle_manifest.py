"""The submission folder that `deepicd bundle` writes and `deepicd rehydrate` reads.

    DIR/bundle.json       what it is: with notes or without, of which dataset, files with rows and digests
    DIR/traces/… sft/… grpo/…   the dataset's own files, in a bundle with notes
    DIR/rows/train.parquet …    in one without: ids, codes, traces, and of each admission note its SHA-256
    DIR/run.json          the record, with those of all stages before and without paths of the machine that made it

A bundle without notes and a credentialed copy of MIMIC give the dataset back, byte for byte.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import JsonValue

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.record_model import Model, OutputFile, compare_files, describe_files, parse_model
from deepicd.schema import BUNDLE, BUNDLE_NULLABLE, DATASET
from deepicd.stage_records import AssembleRecord
from deepicd.storage import Origin

MANIFEST, ROWS = "bundle.json", "rows"
FORMAT = 1
BATCH = 1024  # rows in memory at once


class Versions(Model):
    deepicd: str
    pyarrow: str


class Dataset(Model):
    """The dataset that the bundle was made from."""

    options: dict[str, JsonValue]
    rows: dict[str, dict[str, int]]
    """Config → split → rows."""
    files: dict[str, OutputFile]


class Manifest(Model):
    """What bundle.json says."""

    format: int
    notes: bool
    origin: Origin
    written_with: Versions
    dataset: Dataset
    files: dict[str, OutputFile]
    """The files of the bundle itself."""


def _is_bundled(name: str) -> bool:
    """Return whether a file is of a config that every dataset has: the others are not restored without notes."""
    return name.endswith(".parquet") and name.partition("/")[0] in DATASET


def list_left_out(rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the configs of a dataset, given its rows, that a bundle without notes does not carry."""
    return [config for config in rows if config not in DATASET]


def write_manifest(folder: Path, dataset: AssembleRecord, *, notes: bool) -> None:
    """Write bundle.json of a folder that holds all of its other files. `dataset`: the record of the dataset."""
    manifest = Manifest(
        format=FORMAT,
        notes=notes,
        origin=dataset.origin,
        written_with=Versions(deepicd=dataset.version, pyarrow=pa.__version__),
        dataset=Dataset(
            options=dataset.options,
            rows=dataset.counts.rows,
            files={name: entry for name, entry in dataset.outputs.items() if _is_bundled(name)},
        ),
        files=describe_files(folder),
    )
    storage.write_json(folder / MANIFEST, manifest.dump())


def read_manifest(folder: Path) -> Manifest:
    """Return bundle.json of a complete, undamaged bundle. Raises DeepicdError for anything else."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DeepicdError(f"{folder} is not a bundle: it has no {MANIFEST}.", "Make one: deepicd bundle OUT DIR")
    value = storage.read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DeepicdError(f"{path} is of another kind or version.", f"This version reads format {FORMAT}.")
    manifest = parse_model(Manifest, value, str(path))
    if changes := compare_files(folder, manifest.files, content=True):
        differing = len(changes.missing) + len(changes.changed)
        raise DeepicdError(
            f"{differing} of {len(manifest.files)} files of {folder} are missing or changed; {changes}.",
            "Copy the bundle again; `sha256sum -c SHA256SUMS.txt` in it tells which files are whole.",
        )
    return manifest


def iterate_rows(folder: Path, split: str, columns: Sequence[str] = BUNDLE.names) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split of a bundle without notes, in the dataset's order; none where it lacks the split."""
    path = folder / ROWS / f"{split}.parquet"
    if path.is_file():
        file = storage.open_parquet(path, BUNDLE, nullable=BUNDLE_NULLABLE)
        for batch in file.iter_batches(BATCH, columns=list(columns)):
            yield from batch.to_pylist()
