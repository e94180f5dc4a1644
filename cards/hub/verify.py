"""Verify a publication in a fresh process (cards.hub.verify_process): start it, send it the order, read its answer.

Before a large upload the process is started first, so that its imports run in parallel with ours and with the upload.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cards.hub.journal import open_scratch
from cards.hub.settings import PublicationOptions
from deepicd import http, storage
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json

if TYPE_CHECKING:  # the process is started before these are imported
    from cards.hub.client import HubRepository
    from cards.hub.contents import Contents

Verifier: TypeAlias = Callable[["HubRepository", "Contents", str], str]
"""Takes a commit and returns what was compared, in words. Raises DeepicdError with every difference."""

EARLY_START = 2**24  # bytes of rows; for more, a process is started before it is needed
TIMEOUT = 3600.0  # seconds for a process to answer


@contextmanager
def start_verifier(options: PublicationOptions) -> Iterator[Verifier]:
    """Yield a verifier that uses fresh processes; the first starts now if there are many rows to send."""
    with open_scratch(options.journal_folder) as home:
        readers = ReaderProcesses(_build_environment(options, str(home)))
        try:
            files = sorted(options.folder.glob("*/*.parquet")) if options.what == "rows" and not options.dry_run else []
            if sum(path.stat().st_size for path in files) > EARLY_START:
                readers.start(files[0])
            yield partial(verify_revision, readers, full=options.full_reload)
        finally:
            readers.end()


def verify_revision(
    readers: "ReaderProcesses", hub: "HubRepository", contents: "Contents", revision: str, *, full: bool
) -> str:
    """Return what was compared, in words. Raises DeepicdError with every difference."""
    order = json.dumps(
        {
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
    )
    try:
        answer = http.retry(lambda: readers.ask(order), hub.retry, doing=f"Reading {hub.repo} back")
    except http.TransientError as error:
        raise build_error(hub, revision, [f"a fresh process could not load it: {error}"]) from error
    if answer.differences:
        raise build_error(hub, revision, answer.differences)
    return answer.compared


def build_error(hub: "HubRepository", revision: str, differences: list[str]) -> DeepicdError:
    """Return the error for a publication that differs from what was sent."""
    return DeepicdError(
        f"Everything was sent to {hub.repo} (commit {revision[:12]}), but what comes back could not be verified:\n"
        + "\n".join(f"  {line}" for line in differences[:20]),
        "Rerun the command: it sends nothing twice and verifies again.",
    )


class Answer(NamedTuple):
    """The report of a process."""

    differences: list[str]
    compared: str


class ReaderProcesses:
    """Fresh processes, each for one reading."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._started: list[subprocess.Popen[str]] = []
        self._idle: list[subprocess.Popen[str]] = []

    def start(self, sample: Path | None) -> None:
        """Start a process that imports at once and, given a file of rows, prepares to read such files."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cards.hub.verify_process", *([str(sample.resolve())] if sample else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )
        self._started.append(process)
        self._idle.append(process)

    def ask(self, order: str) -> Answer:
        """Return a process's answer to an order. Raises TransientError if it could not read."""
        if not self._idle:
            self.start(None)
        process = self._idle.pop()
        try:
            output, _ = process.communicate(order + "\n", timeout=TIMEOUT)
            answer = parse_json(output.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError, OSError) as error:
            raise http.TransientError(f"it ended without an answer ({type(error).__name__})") from error
        if "differences" not in answer:
            raise http.TransientError(str(answer.get("failed", "its answer has no result")))
        return Answer(list(answer["differences"]), str(answer["compared"]))

    def end(self) -> None:
        """Kill the processes that are still running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def _build_environment(options: PublicationOptions, home: str) -> dict[str, str]:
    """Return the environment of a process that reads from the same server, without cache and without the token."""
    seconds = str(max(1, round(options.retry.timeout)))
    return {
        **os.environ,
        "HF_ENDPOINT": options.endpoint,
        "HF_HOME": home,
        "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
        "HF_HUB_ETAG_TIMEOUT": seconds,
    }
