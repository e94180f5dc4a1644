"""What a stranger gets who loads the publication: a fresh process, with no cache, at one revision.

Started before the upload ends, so that its imports cost nothing, and told what to expect on stdin:

    {"repo": …, "revision": …, "files": {name: path here}, "configs": {config: {split: [paths here]}}, "full": false}

Answers with one line, {"differences": […], "compared": "…"}. Configs, features and counts come from `datasets` as
anybody calls it; rows are counted in the footers over there, and one row is compared. `full` downloads everything,
counts what `load_dataset` loads and takes each file's digest.
Run: python -m cards.hub.reload
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cards.hub import front
from cards.hub.client import Hub
from cards.hub.contents import README, Contents
from cards.hub.trouble import Patience
from deepicd.errors import DeepicdError

SMALL = 2**20  # bytes; files up to this size are read again in any case
LARGE = 2**24  # bytes of rows from which on a process is started before it is needed
LONGEST = 3600.0  # seconds for a fresh process to end


def compare(readers: "Readers", full: bool, hub: Hub, contents: Contents, revision: str) -> str:
    """What was compared, in words. Raises DeepicdError with every difference."""
    expected = {
        "repo": hub.repo,
        "revision": revision,
        "files": {name: str(path.resolve()) for name, path in contents.files.items()},
        "configs": {
            config: {split: [str(path.resolve()) for path in paths] for split, paths in by_split.items()}
            for config, by_split in contents.configs.items()
        },
        "full": full,
    }
    failure = ""
    for attempt in range(hub.patience.tries):
        process = readers.take()
        try:
            answer, _ = process.communicate(json.dumps(expected) + "\n", timeout=LONGEST)
            found = json.loads(answer.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError, OSError) as error:
            found = {"failed": f"it ended without an answer ({type(error).__name__})"}
        if "failed" not in found:
            if found["differences"]:
                raise unverified(hub, revision, found["differences"])
            return str(found["compared"])
        failure = found["failed"]
        if attempt + 1 < hub.patience.tries:
            time.sleep(hub.patience.wait * 2.0**attempt)
    raise unverified(hub, revision, [f"a fresh process could not load it: {failure}"])


def unverified(hub: Hub, revision: str, differences: list[str]) -> DeepicdError:
    return DeepicdError(
        f"Everything was sent to {hub.repo} (commit {revision[:12]}), but what comes back could not be verified:\n"
        + "\n".join(f"  {line}" for line in differences[:20]),
        "Run the same command again: it sends nothing twice and verifies anew.",
    )


class Readers:
    """Fresh processes, each for one reading."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._started: list[subprocess.Popen[str]] = []
        self._waiting: list[subprocess.Popen[str]] = []

    def start(self, sample: Path | None) -> None:
        """Let one begin to import, and, given a file of rows, to read."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cards.hub.reload", *([str(sample.resolve())] if sample else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )
        self._started.append(process)
        self._waiting.append(process)

    def take(self) -> "subprocess.Popen[str]":
        if not self._waiting:
            self.start(None)
        return self._waiting.pop()

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


@contextmanager
def readers(
    endpoint: str, token: str | None, patience: Patience, rows: Path | None, *, full: bool
) -> Iterator[Callable[[Hub, Contents, str], str]]:
    """Comparing in a fresh process; where there are many rows to send, it starts to import now."""
    with tempfile.TemporaryDirectory() as home:
        found = Readers(_environment(endpoint, token, patience, home))
        try:
            files = sorted(rows.glob("*/*.parquet")) if rows else []
            if sum(path.stat().st_size for path in files) > LARGE:
                found.start(files[0])
            yield partial(compare, found, full)
        finally:
            found.end()


def _environment(endpoint: str, token: str | None, patience: Patience, home: str) -> dict[str, str]:
    """That of a process that reads from the same server with the same token, and has no cache."""
    from huggingface_hub import get_token

    seconds = str(max(1, round(patience.timeout)))
    return {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token or get_token() or "",
        "HF_HOME": home,
        "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
        "HF_HUB_ETAG_TIMEOUT": seconds,
    }


def main(*sample: str) -> None:
    import httpx

    for path in sample:  # before the order comes: what `datasets` imports when it reads for the first time
        import datasets

        next(iter(datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)), None)
    expected = json.loads(sys.stdin.readline())
    try:
        print(json.dumps(compared(**expected)), flush=True)  # before the libraries' threads are torn down
    except (OSError, RuntimeError, ValueError, httpx.HTTPError) as error:  # its words may quote rows: its name will do
        causes = [type(cause).__name__ for cause in (error, error.__cause__) if cause]
        print(json.dumps({"failed": " from ".join(causes)}))


def compared(
    repo: str,
    revision: str,
    files: Mapping[str, str],
    configs: Mapping[str, Mapping[str, list[str]]],
    full: bool,
) -> dict[str, Any]:
    """The differences between what the Hub gives and what lies here."""
    from huggingface_hub import HfFileSystem, hf_hub_download

    from deepicd import store

    differences, read = [], 0
    for name, path in files.items():
        if full or Path(path).stat().st_size <= SMALL:
            read += 1
            there = Path(hf_hub_download(repo, name, repo_type="dataset", revision=revision))
            if store.digest(there) != store.digest(Path(path)):
                differences.append(f"{name}: other bytes")
    rows = 0
    if configs:
        readme = Path(hf_hub_download(repo, README, repo_type="dataset", revision=revision))
        values, _ = front.parted(readme.read_text(encoding="utf-8"))
        names = [entry["config_name"] for entry in values["configs"]]
        if sorted(names) != sorted(configs):
            differences.append(f"configs: {', '.join(names)} instead of {', '.join(configs)}")
        by_path = {path: name for name, path in files.items()}
        firsts = [paths[0] for splits in configs.values() for paths in splits.values()]
        smallest = min(firsts, key=lambda path: Path(path).stat().st_size)

        def one(config: str) -> list[str | int]:
            return list(_config(repo, revision, config, configs[config], HfFileSystem(), by_path, smallest, full))

        with ThreadPoolExecutor() as pool:  # most of it is waiting for answers
            found = [line for lines in pool.map(one, sorted(set(names) & set(configs))) for line in lines]
        rows = sum(line for line in found if isinstance(line, int))
        differences += [line for line in found if isinstance(line, str)]
    loaded = f", {len(configs)} configs with {rows:,} rows {'loaded' if full else 'counted'}" if configs else ""
    return {"differences": differences, "compared": f"{read:,} of {len(files):,} files read again{loaded}"}


def _config(
    repo: str,
    revision: str,
    config: str,
    splits: Mapping[str, list[str]],
    remote: Any,
    by_path: Mapping[str, str],
    sample: str,
    full: bool,
) -> Iterator[str | int]:
    """Differences of a config, and rows that were counted."""
    import datasets
    import pyarrow.parquet as pq

    stream = datasets.load_dataset(repo, config, revision=revision, streaming=True)
    if sorted(stream) != sorted(splits):
        yield f"{config}: splits {', '.join(stream)} instead of {', '.join(splits)}"
        return
    for split, paths in splits.items():
        here = datasets.Features.from_arrow_schema(pq.read_schema(paths[0]))
        if stream[split].features not in (None, here):
            yield f"{config}, {split}: other features"
        expected, counted = sum(pq.read_metadata(path).num_rows for path in paths), 0
        for path in paths:
            with remote.open(f"datasets/{repo}@{revision}/{by_path[path]}") as file:
                counted += pq.read_metadata(file).num_rows
        promised = stream[split].info.splits
        if promised and split in promised and promised[split].num_examples != expected:
            yield f"{config}, {split}: the card promises {promised[split].num_examples:,} rows, there are {expected:,}"
        if sample == paths[0] and _first_here(sample) != next(iter(stream[split]), None):
            yield f"{config}, {split}: another first row"
        if full:
            counted = datasets.load_dataset(repo, config, revision=revision, split=split).num_rows
        if counted != expected:
            yield f"{config}, {split}: {counted:,} rows instead of {expected:,}"
        yield counted


def _first_here(path: str) -> Any:
    import pyarrow.parquet as pq

    return next(pq.ParquetFile(path).iter_batches(1)).to_pylist()[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
