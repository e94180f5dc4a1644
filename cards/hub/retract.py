"""A repository made private again, and what that does not undo."""

from pathlib import Path
from typing import get_args

from cards.hub.client import HubRepository, RepoKind, RepositoryState
from cards.hub.errors import Patience
from cards.hub.journal import FOLDER, Journal
from deepicd.errors import DeepicdError

REMAINS = (
    "What was read while it was public is with those who read it: copies, caches and forks are not called back.",
    "Every earlier commit is still in the repository, for its owner and the members of its organisation.",
    "Its name may still be found in collections, search engines and the lists of those who liked it.",
    "To remove the contents themselves, delete the repository on the Hub; no command of deepicd does that.",
)


def find_repository(repo: str, endpoint: str, patience: Patience, kind: RepoKind | None = None) -> HubRepository:
    """The repository of this name, of datasets or of a model. Raises DeepicdError where it has to be said which."""
    hubs = [HubRepository(repo, endpoint, patience, kind=one) for one in ([kind] if kind else get_args(RepoKind))]
    there = [hub for hub in hubs if len(hubs) == 1 or hub.look()]
    if len(there) > 1:
        raise DeepicdError(f"{repo} is the name of a dataset and of a model.", "Say which: --kind dataset or model")
    return there[0] if there else hubs[0]


def retract(hub: HubRepository, records: Path | None = None) -> tuple[RepositoryState, RepositoryState]:
    """Make it private; what it was and what it is. Raises DeepicdError where it stays open."""
    before = hub.look()
    if before is None:
        raise DeepicdError(
            f"{hub.endpoint} knows no {hub.repo} that this token may see.", "Check the name, and whose token it is."
        )
    now = before if before.private else hub.settle(private=True)
    if not now.private:
        raise DeepicdError(f"{hub.repo} is still {now.visibility}.", "Make it private in its settings on the Hub, now.")
    if records or Path(FOLDER).is_dir():
        Journal(records or Path(FOLDER), hub.repo, hub.endpoint, hub.kind).add(
            "retracted", commit=now.commit, was=before.visibility
        )
    return before, now
