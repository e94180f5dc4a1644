"""Bring a repository to the contents that it should have, in one commit or none.

The commit names its parent: if somebody else commits in between, the Hub refuses ours (412). If the answer to a commit
was lost, the repository is read before anything is sent again: it may already hold everything.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile
from cards.hub import card_trimming
from cards.hub.client import HubRepository, RemoteFile, RepositoryState
from cards.hub.contents import README, Contents, build_change_error
from deepicd import storage
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

IN_MEMORY = 2**23  # bytes; smaller files are sent from memory, larger ones from the private copy


@dataclass(frozen=True)
class Changes:
    """Names of files by what a commit does to them."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.removed)

    def __str__(self) -> str:
        return (
            f"{len(self.new):,} new, {len(self.changed):,} changed, {len(self.unchanged):,} unchanged, "
            f"{len(self.removed):,} removed"
        )


def find_changes(contents: Contents, remote: Mapping[str, RemoteFile]) -> Changes:
    """Return the differences between the repository and the contents. Files of other tools are left alone."""
    changes = Changes()
    for name, path in contents.files.items():
        if name not in remote:
            changes.new.append(name)
        elif is_same(path, remote[name]):
            changes.unchanged.append(name)
        else:
            changes.changed.append(name)
    changes.removed.extend(name for name in remote if name not in contents.files and contents.owns(name))
    return changes


def is_same(path: Path, file: RemoteFile) -> bool:
    """Return whether a local file has the size and digest that the Hub lists."""
    from huggingface_hub.utils.sha import git_hash

    if path.stat().st_size != file.size:
        return False
    return storage.digest_path(path) == file.sha256 if file.sha256 else git_hash(path.read_bytes()) == file.sha1


def commit(hub: HubRepository, contents: Contents, before: RepositoryState, message: str) -> str:
    """Commit the contents; return the commit's id. After a DeepicdError nothing has changed."""
    changes = find_changes(contents, before.files)
    if not changes:
        return before.commit
    operations = _build_operations(contents, changes)

    def request() -> str:
        try:
            answer = hub.api.create_commit(
                hub.repo, operations, repo_type=hub.kind, commit_message=message, parent_commit=before.commit
            )
            return str(answer.oid)
        except Exception as error:  # whatever failed, what counts is what the repository holds now
            now = _fetch_state_after_failure(hub)
            if now is not None and not find_changes(contents, now.files):
                return now.commit  # the commit had arrived, its answer was lost
            if now is not None and now.commit != before.commit:
                raise build_conflict_error(hub, contents, now) from error
            raise

    return hub.call(f"Sending the files to {hub.repo}", request)


def _build_operations(contents: Contents, changes: Changes) -> list["CommitOperationAdd | CommitOperationDelete"]:
    """Return what a commit does. Raises DeepicdError if a file is not, byte for byte, what was checked."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for name in [*changes.new, *changes.changed]:
        path, digest = contents.files[name], contents.digests[name]
        is_small = path.stat().st_size <= IN_MEMORY
        content = path.read_bytes() if is_small else path
        sent = storage.digest_bytes(content) if isinstance(content, bytes) else storage.digest_path(content)
        if sent != digest:
            raise build_change_error(name)
        operation = CommitOperationAdd(name, content)
        operation.upload_info.sha256 = bytes.fromhex(digest)
        operations.append(operation)
    return operations + [CommitOperationDelete(name) for name in changes.removed]


def _fetch_state_after_failure(hub: HubRepository) -> RepositoryState | None:
    """Return the repository after a failed commit. Raises DeepicdError if the server still does not answer."""
    try:
        return hub.fetch_state()
    except DeepicdError as error:
        raise DeepicdError(
            f"The server stopped answering while files were being sent to {hub.repo}; whether they arrived is unknown.",
            "Rerun the command: it checks first and sends nothing twice.",
        ) from error


def build_conflict_error(hub: HubRepository, contents: Contents, now: RepositoryState) -> DeepicdError:
    """Return the error for a repository that somebody else has changed, with what that means for the card."""
    difference = describe_card_difference(hub, contents, now)
    return DeepicdError(
        f"{hub.repo} was changed on the Hub in the meantime (now at {now.commit[:12]}): nothing was sent.\n"
        f"{difference}",
        "Copy over what you want to keep, then rerun the command with --overwrite.",
    )


def describe_card_difference(hub: HubRepository, contents: Contents, now: RepositoryState) -> str:
    """Return a diff of the card on the Hub and the local one, unless the former holds what may not be shown."""
    if README not in now.files or is_same(contents.files[README], now.files[README]):
        return "README.md is the same there and here; other files differ."
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / README
        theirs.write_text(hub.read_text(README, now.commit), encoding="utf-8")
        if check_files([OutgoingFile(README, theirs, None)], notes_from=contents.notes_from).findings:
            return "README.md differs; its text is not shown, since it has MIMIC ids or words of the notes."
        return card_trimming.diff_cards(
            theirs.read_text(encoding="utf-8"), contents.files[README].read_text(encoding="utf-8")
        )
