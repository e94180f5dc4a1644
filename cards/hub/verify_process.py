"""Load a publication as a user would: in a fresh process, without a cache, at one revision.

Reads an order from stdin, one line, and answers with one line, {"differences": […], "compared": "…"}, or with
{"failed": "KeyError"}, the name of the exception that kept it from reading:

    {"repo": …, "kind": "dataset", "revision": …, "token": …, "files": {name: [local path, its SHA-256]},
     "configs": {config: {split: [local paths]}}, "full": false}

The digests of large files are those that the Hub computed at the upload; small files are read again. Configs, splits,
features and promised counts are those that `datasets` finds. Rows are counted in the remote footers, and one row of
each config is read. `full` downloads everything, counts what `load_dataset` loads and computes the digest of each file.
Run: python -m cards.hub.verify_process [SAMPLE.parquet], a file to warm up the libraries with before the order comes.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cards.hub import card_trimming
from deepicd import storage
from deepicd.parsing import parse_json

if TYPE_CHECKING:
    import pyarrow.parquet as pq

README = "README.md"
SMALL = 2**20  # bytes; files up to this size are read again in any case
PAGE = 2**20  # bytes asked for at a time where a first row is read

Files = Mapping[str, Sequence[str]]


def main(*samples: str) -> None:
    gc.set_threshold(100_000)  # imports create objects by the hundred thousand, and none is freed
    try:
        print(json.dumps(_respond(samples)), flush=True)
    finally:  # in any case: the libraries' threads have been seen to deadlock at an orderly exit
        os._exit(0)


def _respond(samples: Sequence[str]) -> dict[str, object]:
    """Return the result of the comparison, or the names of the exceptions after a failure."""
    try:
        for path in samples:
            _warm_up(path)
        expected = parse_json(sys.stdin.readline())  # an empty line if the publisher was killed
        os.environ["HF_TOKEN"] = expected.pop("token")
        return compare_repository(**expected)
    except Exception as error:  # noqa: BLE001 - its message may quote rows, and without an answer the publisher would wait
        return {"failed": " from ".join(type(cause).__name__ for cause in (error, error.__cause__) if cause)}


def _warm_up(path: str) -> None:
    """Import everything needed, including what `datasets` imports only on first use."""
    import datasets
    import fsspec.implementations.http  # noqa: F401 - to have it imported
    import pyarrow.parquet  # noqa: F401 - to have it imported

    datasets.load_dataset_builder("parquet", data_files=path)


def compare_repository(
    repo: str,
    kind: str,
    revision: str,
    files: Files,
    configs: Mapping[str, Mapping[str, list[str]]],
    *,
    full: bool,
) -> dict[str, object]:
    """Return the differences between what the Hub serves and what is here, and what was compared."""
    from huggingface_hub import hf_hub_download

    def download(name: str) -> Path:
        return Path(hf_hub_download(repo, name, repo_type=kind, revision=revision))

    listed = _list_digests(repo, kind, revision, list(files))
    differences = [f"{name}: not there" for name in files if name not in listed]
    to_read = [
        name
        for name, sha256 in listed.items()
        if full or sha256 is None or Path(files[name][0]).stat().st_size <= SMALL
    ]
    names = _read_config_names(download(README)) if configs else []
    if sorted(names) != sorted(configs):
        differences.append(f"configs: {', '.join(names)} instead of {', '.join(configs)}")
    by_path = {path: name for name, (path, _) in files.items()}

    def compare_config(config: str) -> list[str | int]:
        return list(_compare_config(repo, revision, config, configs[config], by_path, full=full))

    with ThreadPoolExecutor() as pool:  # most of the time goes by waiting for answers
        read = dict(zip(to_read, pool.map(lambda name: storage.digest_path(download(name)), to_read), strict=True))
        results = [line for lines in pool.map(compare_config, sorted(set(names) & set(configs))) for line in lines]
    for name, sha256 in {**listed, **read}.items():
        if sha256 != files[name][1]:
            differences.append(f"{name}: other bytes")
    rows = sum(result for result in results if isinstance(result, int))
    differences += [result for result in results if isinstance(result, str)]
    loaded = f", {len(configs)} configs with {rows:,} rows {'loaded' if full else 'counted'}" if configs else ""
    digests = f", {len(files) - len(read):,} by their digests" if len(read) < len(files) else ""
    summary = f"{len(read):,} of {len(files):,} files read again{digests}{loaded}"
    return {"differences": differences, "compared": summary}


def _list_digests(repo: str, kind: str, revision: str, names: list[str]) -> dict[str, str | None]:
    """Return the SHA-256 that the Hub lists for each existing file; None for files that it keeps in git."""
    from huggingface_hub import HfApi

    entries = HfApi().get_paths_info(repo, names, repo_type=kind, revision=revision)
    return {entry.path: getattr(getattr(entry, "lfs", None), "sha256", None) for entry in entries}


def _read_config_names(readme: Path) -> list[str]:
    """Return the names of the configs in a card."""
    card = card_trimming.parse_card(readme.read_text(encoding="utf-8"))
    return [entry["config_name"] for entry in card.data["configs"]]


def _compare_config(
    repo: str, revision: str, config: str, splits: Mapping[str, list[str]], by_path: Mapping[str, str], *, full: bool
) -> Iterator[str | int]:
    """Yield the differences of a config, and the rows that were counted."""
    import datasets
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    sample = next(path for paths in splits.values() for path in paths)
    remote, builder = HfFileSystem(), datasets.load_dataset_builder(repo, config, revision=revision)
    data_files = builder.config.data_files or {}
    if sorted(data_files) != sorted(splits):
        yield f"{config}: splits {', '.join(map(str, data_files))} instead of {', '.join(splits)}"
        return
    for split, paths in splits.items():
        addresses = [f"datasets/{repo}@{revision}/{by_path[path]}" for path in paths]
        if sorted(data_files[split]) != sorted(f"hf://{address}" for address in addresses):
            yield f"{config}, {split}: other files"
        if builder.info.features not in (None, datasets.Features.from_arrow_schema(pq.read_schema(paths[0]))):
            yield f"{config}, {split}: other features"
        expected, counted = sum(pq.read_metadata(path).num_rows for path in paths), 0
        for path, address in zip(paths, addresses, strict=True):
            with remote.open(address, block_size=PAGE) as open_file:
                file = pq.ParquetFile(open_file, pre_buffer=False, buffer_size=PAGE)  # a page, not the row group
                counted += file.metadata.num_rows
                if path == sample and _read_first_row(file) != _read_first_row(pq.ParquetFile(path, buffer_size=PAGE)):
                    yield f"{config}, {split}: another first row"
        promised = (builder.info.splits or {}).get(split)
        if promised and promised.num_examples != expected:
            yield f"{config}, {split}: the card promises {promised.num_examples:,} rows, there are {expected:,}"
        if full:
            counted = datasets.load_dataset(repo, config, revision=revision, split=split).num_rows
        if counted != expected:
            yield f"{config}, {split}: {counted:,} rows instead of {expected:,}"
        yield counted


def _read_first_row(file: "pq.ParquetFile") -> dict[str, object] | None:
    """Return the first row of an open parquet file; None for an empty one."""
    batch = next(file.iter_batches(1), None)
    return next(iter(batch.to_pylist()), None) if batch is not None else None


if __name__ == "__main__":
    main(*sys.argv[1:])
