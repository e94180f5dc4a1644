"""The submission folder that `deepicd bundle` writes and `deepicd rehydrate` reads.

    DIR/bundle.json       what it is: with notes or without, of which dataset, files with rows and digests
    DIR/traces/… sft/… grpo/…   the dataset's own files, in a bundle with notes
    DIR/rows/train.parquet …    in one without: ids, codes, traces, and of each admission note its SHA-256
    DIR/run.json          the record, with those of all stages before and without paths of the machine that made it

A bundle without notes and a credentialed copy of MIMIC give the dataset back, byte for byte.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import BUNDLE, SPLITS
from deepicd.stage_records import AssembleRecord

MANIFEST, ROWS = "bundle.json", "rows"
FORMAT = 1


def write_manifest(folder: Path, dataset: AssembleRecord, *, notes: bool) -> None:
    """bundle.json of a folder that has all of its other files. `dataset`: the record of the dataset's folder."""
    storage.write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "notes": notes,
            "origin": dataset.origin,
            "written_with": {"deepicd": dataset.version, "pyarrow": pa.__version__},
            "dataset": {
                "options": dataset.options,
                "rows": dataset.counts.rows,
                "files": {name: entry.dump() for name, entry in dataset.outputs.items() if name.endswith(".parquet")},
            },
            "files": {
                path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": storage.digest_path(path)}
                for path in storage.list_files(folder)
            },
        },
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """bundle.json of a whole, undamaged bundle. Raises DeepicdError for anything else."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DeepicdError(f"{folder} is no bundle: it has no {MANIFEST}.", "Make one: deepicd bundle OUT DIR")
    manifest = storage.read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DeepicdError(f"{path} is of another kind or version.", f"This version reads format {FORMAT}.")
    off = [
        name
        for name, entry in manifest["files"].items()
        if not (folder / name).is_file() or storage.digest_path(folder / name) != entry["sha256"]
    ]
    if off:
        raise DeepicdError(
            f"{len(off)} of {len(manifest['files'])} files of {folder} are missing or changed: {', '.join(off[:5])}.",
            "Copy the bundle again; `sha256sum -c SHA256SUMS.txt` in it tells which files are whole.",
        )
    return manifest


def read_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Split → rows of a bundle without notes, in the dataset's order."""
    found = {}
    for split in SPLITS:
        path = folder / ROWS / f"{split}.parquet"
        found[split] = storage.read_table(path, BUNDLE).to_pylist() if path.is_file() else []
    return found
