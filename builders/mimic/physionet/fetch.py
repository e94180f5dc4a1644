"""Fetch what the cohort needs of MIMIC-IV and MIMIC-IV-Note: five tables, their checksums and licences.

    DIR/mimiciv/3.1/{SHA256SUMS.txt,LICENSE.txt}      DIR/mimiciv/3.1/hosp/{patients,admissions,…}.csv.gz
    DIR/mimic-iv-note/2.2/…                           DIR/mimic-iv-note/2.2/note/discharge.csv.gz

These are the places that `wget -x -nH --cut-dirs=1` gives them. No run.json: SHA256SUMS.txt says what should be there.
The checksums of all projects come first, so that a missing agreement shows before the first gigabyte.
Run: deepicd physionet fetch --user NAME DIR
"""

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.mimic.physionet import checksums
from builders.mimic.physionet.account import Account
from builders.mimic.physionet.download import RemoteFile, adopt_partial, download
from builders.mimic.physionet.releases import PROJECTS, Project
from builders.mimic.physionet.session import USER_AGENT, Patience, Session
from deepicd.errors import DeepicdError

VERSION = re.compile(r"\d+(\.\d+)*", re.ASCII)


def fetch(
    folder: Path,
    base_url: str,
    account: Callable[[], Account],
    versions: Mapping[str, str],
    *,
    user_agent: str = USER_AGENT,
    patience: Patience | None = None,
) -> list[Path]:
    """Bring each project's files into `folder`; the paths of those that were not there yet, in order.

    `versions` names other versions than the usual ones by the project's slug. `account` is called only if something is
    missing. Raises DeepicdError for a refusal, a server that stays unreachable and wrong bytes; the same call goes on.
    """
    copies = [_Copy(folder, project, versions.get(project.slug, project.version)) for project in PROJECTS]
    folder.mkdir(parents=True, exist_ok=True)
    with _only_process(folder):
        missing = [copy for copy in copies if not copy.is_whole()]
        if not missing:
            return []
        who, patience, fetched = account(), patience or Patience(), []
        by_hand = _by_wget(folder, base_url, who, missing)
        for step in (_Copy.lists, _Copy.tables):
            for copy in missing:
                with Session(base_url, who, copy.project, copy.version, user_agent, by_hand) as session:
                    fetched += list(_bring(session, step(copy), patience))
    return fetched


@dataclass(frozen=True, slots=True)
class _Copy:
    """A version of a project on disk."""

    folder: Path
    project: Project
    version: str

    def __post_init__(self) -> None:
        if not VERSION.fullmatch(self.version):  # it becomes part of an address and of a path
            raise DeepicdError(f"{self.version!r} is no version of {self.project.title}.", "Expected one such as 3.1.")

    @property
    def root(self) -> Path:
        return self.folder / self.project.slug / self.version

    def lists(self) -> Iterator[RemoteFile]:
        yield RemoteFile(checksums.NAME, self.root / checksums.NAME, None)

    def tables(self) -> Iterator[RemoteFile]:
        """The licence and the tables. Raises DeepicdError where the list of checksums lacks a table."""
        sums = checksums.read_checksums(self.root / checksums.NAME)
        yield RemoteFile(checksums.LICENSE, self.root / checksums.LICENSE, sums.get(checksums.LICENSE))
        for path in self.project.files:
            if path not in sums:
                raise DeepicdError(
                    f"{self.project.title} {self.version} has no {path}, going by its {checksums.NAME}.",
                    "Fetch 2.0 or later: before, some tables stood elsewhere or did not exist.",
                )
            yield RemoteFile(path, self.root / path, sums[path])

    def is_whole(self) -> bool:
        return (self.root / checksums.NAME).is_file() and all(wanted.is_here for wanted in self.tables())


def _by_wget(folder: Path, base_url: str, who: Account, copies: Iterable[_Copy]) -> str:
    """The command that brings the same files to the same places, and the one that checks them."""
    urls = [
        f"{base_url}/files/{copy.project.slug}/{copy.version}/{path}"
        for copy in copies
        for path in (checksums.NAME, checksums.LICENSE, *copy.project.files)
    ]
    options = ["-x", "-nH", "--cut-dirs=1", "-c", "--user", who.user, "--ask-password", "-P", str(folder)]
    commands = (["wget", *options, *urls], ["deepicd", "physionet", "verify", str(folder)])
    return "\n".join(f"  {shlex.join(command)}" for command in commands)


def _bring(session: Session, files: Iterable[RemoteFile], patience: Patience) -> Iterator[Path]:
    for wanted in files:
        if wanted.is_here:
            continue
        if wanted.to.exists():
            adopt_partial(wanted.to)
        download(session, wanted, patience)
        yield wanted.to


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Hold a folder: two processes that append to one file would spoil it. The lock goes with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeepicdError(f"Another process is fetching into {folder}.", "Wait for it to end.") from error
        yield
    finally:
        os.close(handle)
