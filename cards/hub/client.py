"""Access one repository on the Hub, with retries; after a change its state is read back, never assumed.

`huggingface_hub` retries uploads of files, but not the creation of a repository, its settings, queries or the commit
itself, and it waits for an answer without limit. A commit whose answer was lost is recognised by what the repository
holds afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from cards.hub import errors
from deepicd import __version__, http
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy

T = TypeVar("T")
Gate = Literal["auto", "manual"] | None
RepositoryKind = Literal["dataset", "model"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the Hub lists it: SHA-256 for files in LFS or Xet, git's SHA-1 for others."""

    size: int
    sha1: str
    sha256: str | None


@dataclass(frozen=True)
class RepositoryState:
    """A repository at one moment."""

    commit: str
    private: bool
    gated: Gate
    files: Mapping[str, RemoteFile]

    @property
    def is_guarded(self) -> bool:
        """Whether only readers whom the owner has admitted can read the files."""
        return self.private or self.gated == "manual"

    @property
    def visibility(self) -> str:
        """Return its visibility in words."""
        gate = {"auto": ", with a gate that opens by itself", "manual": ", with a gate opened by hand"}
        return ("private" if self.private else "public") + (gate[self.gated] if self.gated else "")


@dataclass(frozen=True)
class Account:
    """The account of a token."""

    name: str
    role: str
    """read, write or fineGrained."""
    writes_to: frozenset[str]
    """The user's own name and the organisations in which they may write."""


class HubRepository:
    """A repository of a dataset or a model on one server."""

    def __init__(
        self,
        repo: str,
        endpoint: str,
        *,
        retry: RetryPolicy,
        token: str | None = None,
        kind: RepositoryKind = "dataset",
    ) -> None:
        from huggingface_hub import HfApi, get_token, is_offline_mode

        if is_offline_mode():
            raise errors.NoAnswerError("Offline mode is set.", "Unset HF_HUB_OFFLINE, then rerun the command.")
        token = token or get_token()
        if not token:
            raise errors.NoAnswerError(
                "There is no token for the Hub.",
                "Create one with write access (huggingface.co/settings/tokens), then: export HF_TOKEN=…",
            )
        self.repo, self.endpoint, self.token, self.retry, self.kind = repo, endpoint, token, retry, kind
        _set_timeout(retry.timeout)
        self.api = HfApi(endpoint=endpoint, token=token, library_name="deepicd", library_version=__version__)

    @property
    def url(self) -> str:
        """Return the address of its page."""
        return f"{self.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"

    def fetch_account(self) -> Account:
        """Return the account of the token."""
        answer = self.call("Looking up whose token this is", lambda: self.api.whoami())
        organisations = answer.get("orgs") or []
        writes_to = {entry["name"] for entry in organisations if entry.get("roleInOrg") not in ("read", "no_access")}
        role = ((answer.get("auth") or {}).get("accessToken") or {}).get("role", "")
        return Account(answer["name"], role, frozenset({answer["name"], *writes_to}))

    def fetch_state(self) -> RepositoryState | None:
        """Return the repository as it is now; None if there is none that this token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        def request() -> RepositoryState | None:
            try:
                fetch_info = self.api.model_info if self.kind == "model" else self.api.dataset_info
                info = fetch_info(self.repo, files_metadata=True)
            except RepositoryNotFoundError:
                return None
            if info.private is None or info.sha is None:
                raise DeepicdError(
                    f"{self.endpoint} does not say whether {self.repo} is private.",
                    "Check that --endpoint is the address of a Hub.",
                )
            files = {
                entry.rfilename: RemoteFile(
                    entry.size or 0, entry.blob_id or "", entry.lfs.sha256 if entry.lfs else None
                )
                for entry in info.siblings or []
            }
            return RepositoryState(info.sha, info.private, info.gated or None, files)

        return self.call(f"Looking at {self.repo}", request)

    def create(self) -> RepositoryState:
        """Create the repository, private; return its state as read back."""

        def request() -> None:
            try:
                self.api.create_repo(self.repo, repo_type=self.kind, private=True, exist_ok=False)
            except Exception as error:  # inspected only; raised again except in one case
                response = http.find_response(error)
                if response is not None and response.status_code == 409 and self.fetch_state() is not None:
                    return  # created by an attempt whose answer was lost
                raise

        self.call(f"Creating {self.repo}", request)
        return self._require_state()

    def update_settings(
        self, *, private: bool | None = None, gated: Literal["manual"] | None = None
    ) -> RepositoryState:
        """Change visibility or gate; return the state as read back."""
        self.call(
            f"Changing the settings of {self.repo}",
            lambda: self.api.update_repo_settings(self.repo, repo_type=self.kind, private=private, gated=gated),
        )
        return self._require_state()

    def list_commits(self) -> list[str]:
        """Return the ids of all commits, newest first."""
        return self.call(
            f"Reading the history of {self.repo}",
            lambda: [entry.commit_id for entry in self.api.list_repo_commits(self.repo, repo_type=self.kind)],
        )

    def read_text(self, name: str, revision: str) -> str:
        """Return a small file of the repository."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = self.call(
                f"Reading {name} of {self.repo}",
                lambda: self.api.hf_hub_download(
                    self.repo, name, repo_type=self.kind, revision=revision, local_dir=folder
                ),
            )
            return Path(path).read_text(encoding="utf-8", errors="replace")

    def call(self, doing: str, request: Callable[[], T]) -> T:
        """Call `request` with retries. Raises DeepicdError that says what the user can do."""
        try:
            return http.retry(request, self.retry, doing=doing, is_transient=errors.is_transient)
        except DeepicdError:
            raise
        except Exception as error:  # the client has many errors; explain_error knows them all
            raise errors.explain_error(error, doing, self.repo, self.endpoint) from error

    def _require_state(self) -> RepositoryState:
        if (state := self.fetch_state()) is None:
            raise DeepicdError(f"{self.repo} should exist but cannot be seen.", "Rerun the command.")
        return state


@lru_cache(maxsize=1)  # setting it again would close connections in use
def _set_timeout(timeout: float) -> None:
    """Limit how long the client's connections wait for an answer; there is no limit by default."""
    import httpx
    from huggingface_hub import set_client_factory

    set_client_factory(lambda: httpx.Client(follow_redirects=True, timeout=timeout))
