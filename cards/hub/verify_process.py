"""What a stranger gets who loads the publication: run as a fresh process, with no cache, at one revision.

Told what to expect by one line on stdin, and answers with one line, {"differences": […], "compared": "…"}, or with
{"failed": "KeyError"}, the name of whatever kept it from reading:

    {"repo": …, "kind": "dataset", "revision": …, "token": …, "files": {name: [path here, its SHA-256]},
     "configs": {config: {split: [paths here]}}, "full": false}

The digest of every large file is asked of the Hub, which took it when the file came; small files are read again.
Configs, splits, features and promised counts are those that `datasets` finds, as anybody calls it. Rows are counted in
the footers over there, and of each config one row is read. `full` downloads everything, counts what `load_dataset`
loads and takes each file's digest.
Run: python -m cards.hub.verify_process [SAMPLE.parquet], the file with which libraries are to be warmed up before the
order.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cards.hub import card_trimming
from deepicd import storage

README = "README.md"
SMALL = 2**20  # bytes; files up to this size are read again in any case
PAGE = 2**20  # bytes asked for at a time where a first row is read

Files = Mapping[str, Sequence[str]]


def main(*samples: str) -> None:
    gc.set_threshold(100_000)  # imports make objects by the hundred thousand, and none of them goes
    try:
        print(json.dumps(_respond(samples)), flush=True)
    finally:  # whatever happened: the libraries' threads, torn down in order, have been seen to wait for each other
        os._exit(0)


def _respond(samples: Sequence[str]) -> dict[str, Any]:
    """What was compared; of a failure the names of the exceptions."""
    try:
        for path in samples:
            _warm_up(path)
        expected = json.loads(sys.stdin.readline())  # nothing, where the publisher was killed
        os.environ["HF_TOKEN"] = expected.pop("token")
        return compare_repository(**expected)
    except Exception as error:  # noqa: BLE001 - its words may quote rows, and no answer would leave the publisher waiting
        return {"failed": " from ".join(type(cause).__name__ for cause in (error, error.__cause__) if cause)}


def _warm_up(path: str) -> None:
    """Import what will be needed, with what `datasets` imports only when it is first used."""
    import datasets
    import fsspec.implementations.http  # noqa: F401 - only to have it imported
    import pyarrow.parquet  # noqa: F401 - only to have it imported

    datasets.load_dataset_builder("parquet", data_files=path)


def compare_repository(
    repo: str,
    kind: str,
    revision: str,
    files: Files,
    configs: Mapping[str, Mapping[str, list[str]]],
    full: bool,
) -> dict[str, Any]:
    """The differences between what the Hub gives and what lies here."""
    from huggingface_hub import hf_hub_download

    def fetched(name: str) -> Path:
        return Path(hf_hub_download(repo, name, repo_type=kind, revision=revision))

    listed = _list_digests(repo, kind, revision, list(files))
    differences = [f"{name}: not there" for name in files if name not in listed]
    again = [
        name
        for name, sha256 in listed.items()
        if full or sha256 is None or Path(files[name][0]).stat().st_size <= SMALL
    ]
    names = _read_config_names(fetched(README)) if configs else []
    if sorted(names) != sorted(configs):
        differences.append(f"configs: {', '.join(names)} instead of {', '.join(configs)}")
    by_path = {path: name for name, (path, _) in files.items()}

    def one(config: str) -> list[str | int]:
        return list(_compare_config(repo, revision, config, configs[config], by_path, full))

    with ThreadPoolExecutor() as pool:  # most of it is waiting for answers
        read = dict(zip(again, pool.map(lambda name: storage.digest_path(fetched(name)), again), strict=True))
        found = [line for lines in pool.map(one, sorted(set(names) & set(configs))) for line in lines]
    for name, sha256 in {**listed, **read}.items():
        if sha256 != files[name][1]:
            differences.append(f"{name}: other bytes")
    rows = sum(line for line in found if isinstance(line, int))
    differences += [line for line in found if isinstance(line, str)]
    loaded = f", {len(configs)} configs with {rows:,} rows {'loaded' if full else 'counted'}" if configs else ""
    digests = f", {len(files) - len(read):,} by their digests" if len(read) < len(files) else ""
    told = f"{len(read):,} of {len(files):,} files read again{digests}{loaded}"
    return {"differences": differences, "compared": told}


def _list_digests(repo: str, kind: str, revision: str, names: list[str]) -> dict[str, str | None]:
    """Of the files that are there the SHA-256 that the Hub lists; None for those that it keeps in git."""
    from huggingface_hub import HfApi

    entries = HfApi().get_paths_info(repo, names, repo_type=kind, revision=revision)
    return {entry.path: getattr(getattr(entry, "lfs", None), "sha256", None) for entry in entries}


def _read_config_names(readme: Path) -> list[str]:
    """The names of the configs that a card tells of."""
    values, _ = card_trimming.split_front_matter(readme.read_text(encoding="utf-8"))
    return [entry["config_name"] for entry in values["configs"]]


def _compare_config(
    repo: str, revision: str, config: str, splits: Mapping[str, list[str]], by_path: Mapping[str, str], full: bool
) -> Iterator[str | int]:
    """Differences of a config, and rows that were counted."""
    import datasets
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    sample = next(path for paths in splits.values() for path in paths)
    remote, there = HfFileSystem(), datasets.load_dataset_builder(repo, config, revision=revision)
    found = there.config.data_files or {}
    if sorted(found) != sorted(splits):
        yield f"{config}: splits {', '.join(map(str, found))} instead of {', '.join(splits)}"
        return
    for split, paths in splits.items():
        addresses = [f"datasets/{repo}@{revision}/{by_path[path]}" for path in paths]
        if sorted(found[split]) != sorted(f"hf://{address}" for address in addresses):
            yield f"{config}, {split}: other files"
        if there.info.features not in (None, datasets.Features.from_arrow_schema(pq.read_schema(paths[0]))):
            yield f"{config}, {split}: other features"
        expected, counted = sum(pq.read_metadata(path).num_rows for path in paths), 0
        for path, address in zip(paths, addresses, strict=True):
            with remote.open(address, block_size=PAGE) as open_file:
                file = pq.ParquetFile(open_file, pre_buffer=False, buffer_size=PAGE)  # a page, not the group of rows
                counted += file.metadata.num_rows
                if path == sample and _read_first_row(file) != _read_first_row(pq.ParquetFile(path, buffer_size=PAGE)):
                    yield f"{config}, {split}: another first row"
        promised = (there.info.splits or {}).get(split)
        if promised and promised.num_examples != expected:
            yield f"{config}, {split}: the card promises {promised.num_examples:,} rows, there are {expected:,}"
        if full:
            counted = datasets.load_dataset(repo, config, revision=revision, split=split).num_rows
        if counted != expected:
            yield f"{config}, {split}: {counted:,} rows instead of {expected:,}"
        yield counted


def _read_first_row(file: Any) -> Any:
    """The first row of an open parquet file; None of an empty one."""
    batch = next(file.iter_batches(1), None)
    return batch.to_pylist()[0] if batch is not None and batch.num_rows else None


if __name__ == "__main__":
    main(*sys.argv[1:])
