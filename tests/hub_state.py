"""What a stand-in for the Hugging Face Hub holds: users, repositories with their commits, faults to come, and a log.

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
"""status: this answer instead. drop: no answer, nothing done. hang: likewise, and the connection stays open.
html: a page of some proxy. truncate: done, half of the answer. lost: done, no answer. stall: done, no
answer, and the connection stays open."""

LFS = (".parquet", ".png", ".arrow", ".bin", ".zip", ".gz")
STEPS = (
    "whoami", "create", "info", "settings", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify",
    "commit", "commits", "tree", "paths-info", "resolve", "xet-token",
)  # fmt: skip


@dataclass(frozen=True)
class User:
    """Who a token belongs to."""

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
    """A file of a commit: its content, or the digest of an object of LFS."""

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
        """As users write it: a model's id here is models/OWNER/NAME, a dataset's OWNER/NAME."""
        return self.id.removeprefix("models/")

    @property
    def path(self) -> str:
        """Where the server shows it."""
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
    """What becomes of the next requests of a step."""

    step: str
    kind: Kind
    status: int = 500
    times: int = 1
    repo: str | None = None
    """Only of this repository, where the request names one."""
    token: str | None = None
    """Or only with this token."""
    after: int = 0
    """Requests of the step that are answered first."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "made to fail"


@dataclass(frozen=True)
class State:
    """How a repository stood when something had been sent to it."""

    repo: str
    step: str
    private: bool
    gated: Gate
    files: tuple[str, ...]
    sent: frozenset[str]
    """SHA-256 of all objects that were ever uploaded for it."""

    @property
    def open(self) -> bool:
        return not self.private and self.gated != "manual"


@dataclass
class Hub:
    """All that the server knows. Guarded by one lock: requests come in threads."""

    objects: Path
    """Folder of the objects of LFS, by SHA-256."""
    xet: Path | None = None
    """Folder of Xet's chunks; None where only LFS is served."""
    line: float = float("inf")
    """Bytes a second in which objects arrive, all of them together."""
    free_at: float = 0.0
    """When the line will have carried what has come by now, on the clock of time.monotonic."""
    force_public: bool = False
    """As some organisations have it: a new repository is public, whatever was asked for."""
    users: dict[str, User] = field(default_factory=dict)
    """By token."""
    repos: dict[str, Repo] = field(default_factory=dict)
    uploaded: dict[str, set[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[State] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Step and path of each."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fault(self, step: str, repo: str, token: str) -> Fault | None:
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

    def carried(self, size: int) -> None:
        """Wait as long as bytes that have just come would have been on the line."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.line
            wait = self.free_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    def remember(self, repo: Repo, step: str) -> None:
        with self.lock:
            files, sent = tuple(repo.head.tree), frozenset(self.uploaded.get(repo.id, ()))
            self.log.append(State(repo.id, step, repo.private, repo.gated, files, sent))

    def create(self, id_: str, user: str, *, private: bool = True, gated: Gate = False) -> Repo:
        repo = self.repos[id_] = Repo(id_, private, gated)
        repo.commit(
            user, "initial commit", {".gitattributes": blob(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")}
        )
        self.remember(repo, "create")
        return repo

    def states(self, repo: str) -> Iterator[State]:
        return (state for state in self.log if state.repo == repo)


def blob(content: bytes) -> Blob:
    return Blob(len(content), git_sha1(content), content)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
