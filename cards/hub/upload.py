"""From what a repository holds to what it is to hold, in one commit or none.

The commit names its parent: if somebody else commits meanwhile, the Hub refuses (412) and nothing is lost. A commit
whose answer did not come is not sent again before the repository was looked at: perhaps it holds all of it already.
"""

import hashlib
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile
from cards.hub import card_trimming, errors
from cards.hub.client import HubRepository, RemoteFile, RepositoryState
from cards.hub.dataset_files import README, Contents
from deepicd import storage
from deepicd.errors import DeepicdError


@dataclass(frozen=True)
class Changes:
    """Names of files by what is to become of them."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)

    def __str__(self) -> str:
        return (
            f"{len(self.new):,} new, {len(self.changed):,} changed, {len(self.unchanged):,} unchanged, "
            f"{len(self.gone):,} removed"
        )


def find_changes(contents: Contents, there: Mapping[str, RemoteFile]) -> Changes:
    """What sets the repository apart from the contents. Files that are none of a publication's are left alone."""
    found = Changes()
    for name, path in contents.files.items():
        if name not in there:
            found.new.append(name)
        elif is_same(path, there[name]):
            found.unchanged.append(name)
        else:
            found.changed.append(name)
    found.gone.extend(name for name in there if name not in contents.files and contents.owns(name))
    return found


def is_same(path: Path, file: RemoteFile) -> bool:
    """Whether a file here has the bytes that the Hub lists."""
    if path.stat().st_size != file.size:
        return False
    return storage.digest_path(path) == file.sha256 if file.sha256 else hash_as_git(path) == file.sha1


def hash_as_git(path: Path) -> str:
    """What git calls a file of these bytes."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def commit(hub: HubRepository, contents: Contents, before: RepositoryState, message: str) -> str:
    """Make the repository hold the contents; the commit's id. Raises DeepicdError, and then nothing has changed."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    wanted = find_changes(contents, before.files)
    if not wanted:
        return before.commit
    operations: list[Any] = []
    for name in [*wanted.new, *wanted.changed]:
        operation = CommitOperationAdd(name, contents.files[name])
        operation.upload_info.sha256 = bytes.fromhex(
            storage.digest_path(contents.files[name])
        )  # known; not read once more
        operations.append(operation)
    operations += [CommitOperationDelete(name) for name in wanted.gone]
    for attempt in range(hub.patience.tries):
        try:
            done = hub.api.create_commit(
                hub.repo, operations, repo_type=hub.kind, commit_message=message, parent_commit=before.commit
            )
            return str(done.oid)
        except Exception as error:  # whatever broke, what counts is what the repository holds now
            now = _fetch_state_after_failure(hub)
            if now is not None and not find_changes(contents, now.files):
                return now.commit  # it had arrived; its answer had not
            if now is not None and now.commit != before.commit:
                raise conflict_error(hub, contents, now) from error
            if attempt + 1 == hub.patience.tries or not errors.is_transient(error):
                raise errors.explain_error(error, f"sending the files to {hub.repo}", hub.repo, hub.endpoint) from error
            time.sleep(max(errors.retry_after(error), hub.patience.wait * 2.0**attempt))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _fetch_state_after_failure(hub: HubRepository) -> RepositoryState | None:
    """The repository after a commit without an answer. Raises DeepicdError where it does not answer either."""
    try:
        return hub.look()
    except DeepicdError as error:
        raise DeepicdError(
            f"The files were on their way to {hub.repo} when the server stopped answering; whether they arrived is not"
            " known.",
            "Run the same command again: it looks first and sends nothing twice.",
        ) from error


def conflict_error(hub: HubRepository, contents: Contents, now: RepositoryState) -> DeepicdError:
    """Somebody else has written to the repository: what that means for the card."""
    shown = describe_card_difference(hub, contents, now)
    return DeepicdError(
        f"{hub.repo} was changed on the Hub meanwhile (now at {now.commit[:12]}): nothing was sent.\n{shown}",
        "Take over what you want to keep, then run the same command again with --overwrite.",
    )


def describe_card_difference(hub: HubRepository, contents: Contents, now: RepositoryState) -> str:
    """How the card there differs from the one here, in lines; withheld where it has what may not be shown."""
    if README not in now.files or is_same(contents.files[README], now.files[README]):
        return "README.md is the same there and here; other files differ."
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / README
        theirs.write_text(hub.read_text(README, now.commit), encoding="utf-8")
        if check_files([OutgoingFile(README, theirs, None)], contents.notes_from).findings:
            return "README.md differs; what stands there is not shown: it has ids of MIMIC or words of its notes."
        return card_trimming.diff_cards(
            theirs.read_text(encoding="utf-8"), contents.files[README].read_text(encoding="utf-8")
        )
