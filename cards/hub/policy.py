"""Who may read what is published: decided from the contents, from what the user asked for, and from the repository.

Credentialed rows go nowhere by default. Their user may take responsibility in one exact sentence that names server and
repository; then they go where nobody reads whom the owner has not let in: private, or behind a gate opened by hand.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cards.firewall.content_origin import WEIGHTS
from cards.hub.client import RepositoryState
from cards.hub.dataset_files import FOLDERS, Contents
from deepicd.errors import DeepicdError

SENTENCE = (
    "I take responsibility for publishing rows that descend from credentialed MIMIC records to {repo} at {host}, "
    "which their data use agreement allows me."
)


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    public: bool = False
    gated: bool = False
    responsible: str | None = None
    overwrite: bool = False
    despite_differences: bool = False


def build_sentence(repo: str, endpoint: str) -> str:
    return SENTENCE.format(repo=repo, host=urlsplit(endpoint).netloc)


def require_responsibility(contents: Contents, wish: Wish, repo: str, endpoint: str) -> None:
    """Raise DeepicdError where the contents may not go to this repository at all, whatever it is like."""
    if not contents.protected:
        return
    wanted = build_sentence(repo, endpoint)
    if wish.responsible != wanted:
        raise DeepicdError(
            "These rows descend from credentialed records, which PhysioNet's terms keep there: nothing was sent.",
            "Publish the card or the recipe (--what card), prepare a submission to PhysioNet (deepicd bundle), or, if "
            f'your agreement allows it, add: --responsible "{wanted}"',
        )
    if wish.public and not wish.gated:
        raise DeepicdError(
            "Credentialed rows are never public.", "Leave --public out, or add --gated: a gate that you open by hand."
        )


def require_suitable_repository(contents: Contents, wish: Wish, remote: RepositoryState, repo: str) -> None:
    """Raise DeepicdError where a repository that exists may not receive the contents."""
    if contents.protected and not remote.guarded:
        raise DeepicdError(
            f"{repo} is {remote.visibility}, and these rows are not for the public: nothing was sent.",
            "Name a new repository, or make this one private first.",
        )
    if not remote.private and not wish.public and not remote.guarded:
        raise DeepicdError(
            f"{repo} is {remote.visibility}: nothing was sent.", "Say --public if that is meant, or name another one."
        )
    if contents.kind == "model":
        if weights := sorted(name for name in remote.files if Path(name).suffix.lower() in WEIGHTS):
            raise DeepicdError(
                f"{repo} holds weights, {weights[0]} among them, and the card says that there are none.",
                "Name a repository of its own for the card.",
            )
        return
    other = sorted(
        name
        for name in remote.files
        for what, folders in FOLDERS.items()
        if what != contents.what and name.startswith(folders or ("\0",))
    )
    if other and not wish.overwrite:
        raise DeepicdError(
            f"{repo} holds {len(other):,} files of another publication, {other[0]} among them, which would be removed.",
            "Publish the same --what as before, name another repository, or say --overwrite.",
        )


def require_guarded(contents: Contents, remote: RepositoryState, repo: str) -> None:
    """Raise DeepicdError unless the repository, as it says now, keeps what must not be public."""
    if contents.protected and not remote.guarded:
        raise DeepicdError(
            f"{repo} is {remote.visibility} although it was to be private: nothing was sent.",
            "See its settings on the Hub; an organisation may force a visibility.",
        )
