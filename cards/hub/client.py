"""The Hub's client with patience: every step tried again where that may help, and every state asked for, not assumed.

`huggingface_hub` tries again what belongs to the upload of files; creating, settings, questions and the commit itself
it does not, and it waits for an answer for ever. A commit whose answer was lost is recognised by what the repository
then holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from cards.hub import errors
from cards.hub.errors import Patience
from deepicd import __version__
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
Gate = Literal["auto", "manual"] | None
RepoKind = Literal["dataset", "model"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the Hub lists it; `sha256` of those in LFS or Xet, git's SHA-1 of the others."""

    size: int
    sha1: str
    sha256: str | None


@dataclass(frozen=True)
class RepositoryState:
    """A repository as it is at one moment."""

    commit: str
    private: bool
    gated: Gate
    files: Mapping[str, RemoteFile]

    @property
    def guarded(self) -> bool:
        """Whether nobody reads it whom its owner has not let in."""
        return self.private or self.gated == "manual"

    @property
    def visibility(self) -> str:
        gate = {"auto": ", with a gate that opens by itself", "manual": ", with a gate opened by hand"}
        return ("private" if self.private else "public") + (gate[self.gated] if self.gated else "")


@dataclass(frozen=True)
class Account:
    """Whose token it is."""

    name: str
    role: str
    """read, write or fineGrained."""
    writes_to: frozenset[str]
    """Its own name and the organisations in which it may write."""


class HubRepository:
    """One repository of datasets, or of a model, on one server."""

    def __init__(
        self, repo: str, endpoint: str, patience: Patience, token: str | None = None, kind: RepoKind = "dataset"
    ) -> None:
        from huggingface_hub import HfApi, get_token, is_offline_mode

        if is_offline_mode():
            raise DeepicdError("Offline mode is set.", "Unset HF_HUB_OFFLINE and run the same command again.")
        token = token or get_token()
        if not token:
            raise DeepicdError(
                "There is no token for the Hub.",
                "Make one with the right to write (huggingface.co/settings/tokens), then: export HF_TOKEN=…",
            )
        self.repo, self.endpoint, self.token, self.patience, self.kind = repo, endpoint, token, patience, kind
        _set_timeout(patience.timeout)
        self.api = HfApi(endpoint=endpoint, token=token, library_name="deepicd", library_version=__version__)

    @property
    def url(self) -> str:
        """Where anybody sees it."""
        return f"{self.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"

    def account(self) -> Account:
        found = self.tried("asking whose token this is", lambda: self.api.whoami())
        organisations = found.get("orgs") or []
        writes_to = {entry["name"] for entry in organisations if entry.get("roleInOrg") not in ("read", "no_access")}
        role = ((found.get("auth") or {}).get("accessToken") or {}).get("role", "")
        return Account(found["name"], role, frozenset({found["name"], *writes_to}))

    def look(self) -> RepositoryState | None:
        """The repository as it is now; None where there is none that this token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        def ask() -> RepositoryState | None:
            try:
                info = self.api.model_info if self.kind == "model" else self.api.dataset_info
                found = info(self.repo, files_metadata=True)
            except RepositoryNotFoundError:
                return None
            if found.private is None or found.sha is None:
                raise DeepicdError(
                    f"{self.endpoint} does not say whether {self.repo} is private.", "Is it a Hub? Check --endpoint."
                )
            files = {
                entry.rfilename: RemoteFile(
                    entry.size or 0, entry.blob_id or "", entry.lfs.sha256 if entry.lfs else None
                )
                for entry in found.siblings or []
            }
            return RepositoryState(found.sha, found.private, found.gated or None, files)

        return self.tried(f"looking at {self.repo}", ask)

    def create(self) -> RepositoryState:
        """A new, private repository; what it is like is asked for afterwards."""

        def ask() -> None:
            try:
                self.api.create_repo(self.repo, repo_type=self.kind, private=True, exist_ok=False)
            except Exception as error:  # only looked at; raised again but for one
                if errors.get_status(error) == 409 and self.look() is not None:
                    return  # made by a try whose answer was lost
                raise

        self.tried(f"creating {self.repo}", ask)
        return self._found()

    def settle(self, *, private: bool | None = None, gated: Literal["manual"] | None = None) -> RepositoryState:
        """Change visibility or gate; what became of it is asked for afterwards."""
        self.tried(
            f"changing the settings of {self.repo}",
            lambda: self.api.update_repo_settings(self.repo, repo_type=self.kind, private=private, gated=gated),
        )
        return self._found()

    def commits(self) -> list[str]:
        """Ids of all commits, the newest first."""
        return self.tried(
            f"reading the history of {self.repo}",
            lambda: [entry.commit_id for entry in self.api.list_repo_commits(self.repo, repo_type=self.kind)],
        )

    def read_text(self, name: str, revision: str) -> str:
        """A small file of the repository."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = self.tried(
                f"reading {name} of {self.repo}",
                lambda: self.api.hf_hub_download(
                    self.repo, name, repo_type=self.kind, revision=revision, local_dir=folder
                ),
            )
            return Path(path).read_text(encoding="utf-8", errors="replace")

    def tried(self, doing: str, ask: Callable[[], T]) -> T:
        """What `ask` brings, asked again while that may help. Raises DeepicdError with what the user can do."""
        try:
            return self.retrying(ask)
        except Exception as error:  # a client has many errors; each is told in words
            raise errors.explain_error(error, doing, self.repo, self.endpoint) from error

    def retrying(self, ask: Callable[[], T]) -> T:
        """Likewise, with the client's own errors."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        retrying = Retrying(
            stop=stop_after_attempt(self.patience.tries),
            wait=self._pause,
            retry=retry_if_exception(errors.is_transient),
            reraise=True,
        )
        return retrying(ask)

    def _pause(self, state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = errors.retry_after(error) if error else 0.0
        return max(asked, self.patience.wait * 2.0 ** (state.attempt_number - 1))

    def _found(self) -> RepositoryState:
        if (remote := self.look()) is None:
            raise DeepicdError(
                f"{self.repo} cannot be seen although it should be there.", "Run the same command again."
            )
        return remote


@lru_cache(maxsize=1)  # setting it again would close connections that are in use
def _set_timeout(timeout: float) -> None:
    """Give the client's connections an end to their waiting; by default they have none."""
    import httpx
    from huggingface_hub import set_client_factory

    set_client_factory(lambda: httpx.Client(follow_redirects=True, timeout=timeout))
