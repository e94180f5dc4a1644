"""Fetch the files of MIMIC-IV and MIMIC-IV-Note that the cohort reads: six tables, their checksums and licences.

    DIR/mimiciv/3.1/{SHA256SUMS.txt,LICENSE.txt}      DIR/mimiciv/3.1/hosp/{patients,admissions,…}.csv.gz
    DIR/mimic-iv-note/2.2/…                           DIR/mimic-iv-note/2.2/note/discharge.csv.gz

`wget -x -nH --cut-dirs=1` puts them into the same places. There is no run.json: SHA256SUMS.txt lists what should exist.
The checksums of both projects come first, so that a missing agreement shows before the first gigabyte.
Run: deepicd physionet fetch --user NAME DIR
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.physionet.download import RemoteFile, adopt_partial, download
from builders.physionet.releases import CHECKSUMS, LICENSE, PROJECTS, Project, read_checksums
from builders.physionet.session import POLICY, Account, Session
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy
from deepicd.lease import LOCK, hold_lease
from deepicd.private_files import private_files

VERSION = re.compile(r"\d+(\.\d+)*", re.ASCII)


def fetch(
    folder: Path,
    base_url: str,
    account: Callable[[], Account],
    versions: Mapping[str, str],
    *,
    user_agent: str = USER_AGENT,
    policy: RetryPolicy = POLICY,
) -> list[Path]:
    """Download each project's missing files into `folder`; return their paths, in order.

    `versions` overrides the usual versions, by the project's slug. `account` is called only if something is missing.
    Raises DeepicdError for a refusal, an unreachable server and wrong bytes; the same call then resumes.
    """
    copies = [_Copy(folder, project, versions.get(project.slug, project.version)) for project in PROJECTS]
    with private_files("mimic"):
        folder.mkdir(parents=True, exist_ok=True)
    with private_files("mimic"), hold_lease(folder / LOCK, f"fetching into {folder}"):
        # two that append to one file would corrupt it
        missing = [copy for copy in copies if not copy.is_complete()]
        if not missing:
            return []
        user, fetched = account(), list[Path]()
        by_hand = _build_wget_commands(folder, base_url, user, missing)
        for step in (_Copy.lists, _Copy.tables):
            for copy in missing:
                with Session(base_url, user, copy.project, copy.version, user_agent, by_hand) as session:
                    fetched += list(_download_missing(session, step(copy), policy))
    return fetched


@dataclass(frozen=True, slots=True)
class _Copy:
    """A version of a project on disk."""

    folder: Path
    project: Project
    version: str

    def __post_init__(self) -> None:
        if not VERSION.fullmatch(self.version):  # it becomes part of an address and of a path
            raise DeepicdError(
                f"{self.version!r} is not a version of {self.project.title}.", "Expected one such as 3.1."
            )

    @property
    def root(self) -> Path:
        return self.folder / self.project.slug / self.version

    def lists(self) -> Iterator[RemoteFile]:
        yield RemoteFile(CHECKSUMS, self.root / CHECKSUMS, None)

    def tables(self) -> Iterator[RemoteFile]:
        """Yield the licence and the tables. Raises DeepicdError if the list of checksums lacks a table."""
        sums = read_checksums(self.root / CHECKSUMS)
        yield RemoteFile(LICENSE, self.root / LICENSE, sums.get(LICENSE))
        for path in self.project.files:
            if path not in sums:
                raise DeepicdError(
                    f"{self.project.title} {self.version} has no {path} according to its {CHECKSUMS}.",
                    "Fetch 2.0 or later: before, some tables were in other folders or did not exist.",
                )
            yield RemoteFile(path, self.root / path, sums[path])

    def is_complete(self) -> bool:
        return (self.root / CHECKSUMS).is_file() and all(remote.is_complete for remote in self.tables())


def _build_wget_commands(folder: Path, base_url: str, account: Account, copies: Iterable[_Copy]) -> str:
    """Return the command that downloads the same files to the same places, and the one that checks them."""
    urls = [
        f"{base_url}/files/{copy.project.slug}/{copy.version}/{path}"
        for copy in copies
        for path in (CHECKSUMS, LICENSE, *copy.project.files)
    ]
    options = ["-x", "-nH", "--cut-dirs=1", "-c", "--user", account.user, "--ask-password", "-P", str(folder)]
    commands = (["wget", *options, *urls], ["deepicd", "physionet", "verify", str(folder)])
    return "\n".join(f"  {shlex.join(command)}" for command in commands)


def _download_missing(session: Session, files: Iterable[RemoteFile], policy: RetryPolicy) -> Iterator[Path]:
    for remote in files:
        if remote.is_complete:
            continue
        if remote.to.exists():
            adopt_partial(remote.to)
        download(session, remote, policy)
        yield remote.to
