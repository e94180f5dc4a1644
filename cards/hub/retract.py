"""Make a repository private again, and say what that does not undo."""

from pathlib import Path
from typing import get_args

from cards.hub.client import HubRepository, RepositoryKind, RepositoryState
from cards.hub.journal import Journal
from cards.hub.settings import JOURNALS
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy

REMAINS = (
    "What was read while it was public stays with its readers: copies, caches and forks cannot be recalled.",
    "Every earlier commit is still in the repository, for its owner and the members of its organisation.",
    "Its name may still appear in collections, search engines and lists of likes.",
    "To remove the contents themselves, delete the repository on the Hub; no deepicd command does that.",
)


def find_repository(
    repo: str, endpoint: str, *, retry: RetryPolicy, kind: RepositoryKind | None = None
) -> HubRepository:
    """Return the repository with this name. Raises DeepicdError if a dataset and a model have it and `kind` is None."""
    hubs = [
        HubRepository(repo, endpoint, retry=retry, kind=each) for each in ([kind] if kind else get_args(RepositoryKind))
    ]
    existing = [hub for hub in hubs if len(hubs) == 1 or hub.fetch_state()]
    if len(existing) > 1:
        raise DeepicdError(f"{repo} is the name of both a dataset and a model.", "Add --kind dataset or model.")
    return existing[0] if existing else hubs[0]


def retract(hub: HubRepository, *, journals: Path | None = None) -> tuple[RepositoryState, RepositoryState]:
    """Make a repository private; return its state before and after. Raises DeepicdError if it stays public."""
    before = hub.fetch_state()
    if before is None:
        raise DeepicdError(
            f"{hub.endpoint} knows no {hub.repo} that this token may see.", "Check the name, and whose token it is."
        )
    after = before if before.private else hub.update_settings(private=True)
    if not after.private:
        raise DeepicdError(
            f"{hub.repo} is still {after.visibility}.", "Make it private in its settings on the Hub, at once."
        )
    if journals or Path(JOURNALS).is_dir():
        Journal(journals or Path(JOURNALS), hub.repo, hub.endpoint, hub.kind).add(
            "retracted", commit=after.commit, was=before.visibility
        )
    return before, after
