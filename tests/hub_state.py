"""The state of a stand-in for the Hugging Face Hub: users, repositories with their commits, planned faults, a log.

The rules are those that `huggingface_hub` and `datasets` rely on; see hub_server for the requests.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

Gate = Literal["auto", "manual"] | bool
Kind = Literal["status", "drop", "hang", "html", "truncate", "lost", "stall"]
"""status: this answer instead. drop: no answer, nothing done. hang: the same, but the connection stays open.
html: a proxy's page. truncate: done, half of the answer. lost: done, no answer. stall: done, no answer, and the
connection stays open."""

LFS = (".parquet", ".png", ".arrow", ".bin", ".zip", ".gz")
STEPS = (
    "whoami", "create", "info", "settings", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify",
    "commit", "commits", "tree", "paths-info", "resolve", "xet-token",
)  # fmt: skip


@dataclass(frozen=True)
class User:
    """The owner of a token."""

    name: str
    role: Literal["read", "write"] = "write"
    organisations: Mapping[str, str] = field(default_factory=dict)
    """Name → role: admin, write, contributor or read."""

    def may_write(self, owner: str) -> bool:
        mine = owner == self.name or self.organisations.get(owner) in ("admin", "write", "contributor")
        return mine and self.role == "write"

    def may_read(self, owner: str) -> bool:
        return owner == self.name or owner in self.organisations


@dataclass(frozen=True)
class Blob:
    """A file of a commit: its content, or the digest of an LFS object."""

    size: int
    sha1: str
    content: bytes = b""
    sha256: str = ""

    @property
    def oid(self) -> str:
        return self.sha256 or self.sha1


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    user: str
    tree: Mapping[str, Blob]
    date: str


@dataclass
class Repo:
    id: str
    private: bool
    gated: Gate = False
    admitted: set[str] = field(default_factory=set)
    commits: list[Commit] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.id.split("/")[-2]

    @property
    def name(self) -> str:
        """Return the name that users write. The id is models/OWNER/NAME for a model, OWNER/NAME for a dataset."""
        return self.id.removeprefix("models/")

    @property
    def path(self) -> str:
        """Return the path of its page."""
        return self.name if self.id.startswith("models/") else f"datasets/{self.id}"

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        return self.head if revision == "main" else next((c for c in self.commits if c.oid == revision), None)

    def commit(self, user: str, title: str, tree: Mapping[str, Blob]) -> Commit:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        seed = f"{self.id} {len(self.commits)} {now} {sorted((path, blob.oid) for path, blob in tree.items())}"
        self.commits.append(Commit(hashlib.sha1(seed.encode()).hexdigest(), title, user, dict(tree), now))
        return self.head


@dataclass
class Fault:
    """What happens to the next requests of a step."""

    step: str
    kind: Kind
    status: int = 500
    times: int = 1
    repo: str | None = None
    """Only requests for this repository, where they name one."""
    token: str | None = None
    """Or only requests with this token."""
    after: int = 0
    """Requests of the step that are answered before."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "made to fail"


@dataclass(frozen=True)
class State:
    """The state of a repository after something was sent to it."""

    repo: str
    step: str
    private: bool
    gated: Gate
    files: tuple[str, ...]
    sent: frozenset[str]
    """SHA-256 of every object that was ever uploaded for it."""

    @property
    def open(self) -> bool:
        return not self.private and self.gated != "manual"


@dataclass
class Hub:
    """Everything that the server knows, guarded by one lock, since requests run in threads."""

    objects: Path
    """Folder of the LFS objects, by SHA-256."""
    xet: Path | None = None
    """Folder of Xet's chunks; None where only LFS is served."""
    line: float = float("inf")
    """Bytes per second at which objects arrive, all of them together."""
    free_at: float = 0.0
    """When the line will have transmitted everything that was sent so far, on the clock of time.monotonic."""
    force_public: bool = False
    """A new repository is public whatever the request says, as in some organisations."""
    users: dict[str, User] = field(default_factory=dict)
    """By token."""
    repos: dict[str, Repo] = field(default_factory=dict)
    uploaded: dict[str, set[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[State] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Step and path of every request."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def take_fault(self, step: str, repo: str, token: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                anybody = fault.repo is None and fault.token is None
                mine = anybody or (repo and fault.repo == repo) or (token and fault.token == token)
                if fault.step == step and mine and fault.times:
                    if fault.after:
                        fault.after -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None

    def wait_for_line(self, size: int) -> None:
        """Wait as long as the bytes that have just arrived would have taken on the line."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.line
            wait = self.free_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    def log_state(self, repo: Repo, step: str) -> None:
        with self.lock:
            files, sent = tuple(repo.head.tree), frozenset(self.uploaded.get(repo.id, ()))
            self.log.append(State(repo.id, step, repo.private, repo.gated, files, sent))

    def create(self, id_: str, user: str, *, private: bool = True, gated: Gate = False) -> Repo:
        repo = self.repos[id_] = Repo(id_, private, gated)
        repo.commit(
            user, "initial commit", {".gitattributes": blob(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")}
        )
        self.log_state(repo, "create")
        return repo

    def states(self, repo: str) -> Iterator[State]:
        return (state for state in self.log if state.repo == repo)


def blob(content: bytes) -> Blob:
    return Blob(len(content), git_sha1(content), content)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
