"""Read a publication back in a fresh process (cards.hub.verify_process): start it, ask it, interpret its answer.

Where there is much to send it is started first of all, so that its imports go on beside ours and beside the upload.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd import storage
from deepicd.errors import DeepicdError

if TYPE_CHECKING:  # the process is to start before these are imported
    from cards.hub.client import HubRepository
    from cards.hub.dataset_files import Contents

LARGE = 2**24  # bytes of rows from which on a process is started before it is needed
LONGEST = 3600.0  # seconds for a fresh process to end


def verify_revision(
    readers: "ReaderProcesses", full: bool, hub: "HubRepository", contents: "Contents", revision: str
) -> str:
    """What was compared, in words. Raises DeepicdError with every difference."""
    expected = {
        "repo": hub.repo,
        "kind": hub.kind,
        "revision": revision,
        "token": hub.token,
        "files": {name: [str(path.resolve()), storage.digest_path(path)] for name, path in contents.files.items()},
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
                raise verification_error(hub, revision, found["differences"])
            return str(found["compared"])
        failure = found["failed"]
        if attempt + 1 < hub.patience.tries:
            time.sleep(hub.patience.wait * 2.0**attempt)
    raise verification_error(hub, revision, [f"a fresh process could not load it: {failure}"])


def verification_error(hub: "HubRepository", revision: str, differences: list[str]) -> DeepicdError:
    return DeepicdError(
        f"Everything was sent to {hub.repo} (commit {revision[:12]}), but what comes back could not be verified:\n"
        + "\n".join(f"  {line}" for line in differences[:20]),
        "Run the same command again: it sends nothing twice and verifies anew.",
    )


class ReaderProcesses:
    """Fresh processes, each for one reading."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._started: list[subprocess.Popen[str]] = []
        self._waiting: list[subprocess.Popen[str]] = []

    def start(self, sample: Path | None) -> None:
        """Let one begin to import, and, given a file of rows, to read."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cards.hub.verify_process", *([str(sample.resolve())] if sample else [])],
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
def start_readers(
    endpoint: str, timeout: float, out: Path, what: str, *, full: bool, dry_run: bool
) -> Iterator[Callable[["HubRepository", "Contents", str], str]]:
    """Comparing in a fresh process; where there are many rows to send, it starts to import now."""
    with tempfile.TemporaryDirectory() as home:
        found = ReaderProcesses(_build_environment(endpoint, timeout, home))
        try:
            files = sorted(out.glob("*/*.parquet")) if what == "rows" and not dry_run else []
            if sum(path.stat().st_size for path in files) > LARGE:
                found.start(files[0])
            yield partial(verify_revision, found, full)
        finally:
            found.end()


def _build_environment(endpoint: str, timeout: float, home: str) -> dict[str, str]:
    """That of a process that reads from the same server and has no cache; the token comes with the order."""
    seconds = str(max(1, round(timeout)))
    return {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": home,
        "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
        "HF_HUB_ETAG_TIMEOUT": seconds,
    }
