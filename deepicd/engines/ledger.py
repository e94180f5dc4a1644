"""The ledger: every completion ever generated, under a key of its request.

    OUT/ledger/00007.jsonl          one file per session, only ever appended to (deepicd.engines.ledger_lines)
    OUT/ledger/00000-5f2c….arrow    what earlier sessions wrote, compressed and sorted (deepicd.engines.ledger_segments)
    OUT/ledger/failures.jsonl       requests that got no answer; a file for each shard
    {"key":"5d41…","reason":"the server answered 400 to this prompt"}

The ledger stands above the folders of recipes, which are derived from it: a changed recipe finds every completion whose
request is unchanged, and a run may be killed at any moment. `build_key` is the one place that says what a request is.

JSON lines rather than SQLite: SQLite's write-ahead log does not work on the shared file systems of clusters, and a
damaged line costs that line, not the file. Lines are flushed at once, so that `kill -9` loses nothing, and synced every
second. A line that fails its checksum is skipped and counted, and its completion is requested again.

Once sessions hold `SESSION_BYTES`, they become a segment, and segments that are not much larger than the next one are
merged with it, so that there are some twenty of them at a hundred million completions. Memory holds the keys of the
latest sessions alone; opening reads the keys of all, and no text. Texts descend from notes: each file gives their
origin (`storage.read_origin` reads it, and treats a file without it as credentialed).

The processes of a run that is divided (`shard`) write sessions of their own beside each other and merge nothing.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from deepicd import storage
from deepicd.engines.base import Message, parse_count
from deepicd.engines.ledger_lines import Entry, Kind, Session, format_line, is_whole, list_sessions, parse_line
from deepicd.engines.ledger_segments import Segment, merge_segments, open_segments, write_sessions
from deepicd.engines.recipe import TEMPLATE_DATE, ModelRecipe
from deepicd.engines.shard import WHOLE, Shard, name_holder
from deepicd.errors import DeepicdError
from deepicd.lease import LOCK, hold_lease, is_held
from deepicd.parsing import parse_json
from deepicd.private_files import make_private, private_files
from deepicd.storage import Origin

__all__ = ["Entry", "Ledger", "build_former_key", "build_key", "digest_prompt", "open_ledger"]

FOLDER = "ledger"
FAILURES = "failures"
SYNC_EVERY = 1.0  # seconds
SESSION_BYTES = 2**26  # of sessions that are not yet a segment: some 20,000 completions, indexed in a second
MERGE_RATIO = 1.5  # a segment of at most so many times the rows of the next one is merged with it
TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")


def digest_prompt(messages: Sequence[Message], opening: str) -> str:
    """Return the SHA-256 of all that the model reads."""
    total = sha256()
    for message in messages:
        total.update(f"{message['role']}\0{message['content']}\0".encode())
    total.update(opening.encode())
    return total.hexdigest()


def build_key(
    recipe: ModelRecipe,
    note_id: str,
    prompt_sha256: str,
    attempt: int = 0,
    schema: Mapping[str, object] | None = None,
    *,
    rollout: int = 0,
) -> str:
    """Return the key of an attempt: everything that decides what is written, and nothing of where it runs.

    `prompt_sha256` comes from `digest_prompt`. The note's id is part of it, so that equal notes get a completion each;
    so is the context where a model writes, since a completion ends where the context does. Keys of a row's first
    rollout are those of a run with only one.
    """
    model: list[object] = [recipe.uses_model, recipe.model, recipe.revision, recipe.dtype]
    if recipe.uses_model:
        model.append(recipe.context)
    if recipe.template_date != TEMPLATE_DATE:
        model.append(recipe.template_date)
    if recipe.adapter or recipe.deciding_args:
        model.append({"adapter": recipe.adapter, "engine_args": recipe.deciding_args})
    deciding = [note_id, prompt_sha256, model, recipe.sampling, recipe.derive_seed(attempt, rollout), attempt]
    deciding += recipe.body_changes
    deciding += [] if schema is None else [schema]
    deciding += [{"rollout": rollout}] if rollout else []
    return storage.digest_json(deciding)[:32]


def build_former_key(recipe: ModelRecipe, note_id: str, prompt_sha256: str, attempt: int = 0) -> str:
    """Return the key that `distill` and `judge` used up to version 0.1.0, without context and schema."""
    model = [recipe.uses_model, recipe.model, recipe.revision, recipe.dtype]
    deciding = [note_id, prompt_sha256, model, recipe.sampling, recipe.derive_seed(attempt), attempt]
    return storage.digest_json([*deciding, *recipe.body_changes])[:32]


class Ledger:
    """An open ledger. Use it from one thread; a background thread syncs it to disk."""

    def __init__(self, folder: Path, origin: Origin, shard: Shard = WHOLE) -> None:
        self._folder, self._origin, self._shard = folder, origin, shard
        self._lock = threading.Lock()
        self._own: Session | None = None  # of this process, once it has written
        self._is_dirty, self._closing = False, threading.Event()
        self._syncing = threading.Thread(target=self._sync_regularly, daemon=True)
        self._unreadable: set[tuple[int, bytes]] = set()
        self._segments, self._sessions = _open_files(folder, is_shared=shard.is_part)
        self._damaged_before = sum(session.damaged for session in self._sessions)
        if not shard.is_part and sum(session.size for session in self._sessions) > SESSION_BYTES:
            self._compact()

    @property
    def damaged(self) -> int:
        """Lines skipped because they fail their checksum."""
        return self._damaged_before + len(self._unreadable)

    def __len__(self) -> int:
        return sum(source.completions for source in self._sources)

    def __contains__(self, key: str) -> bool:
        raw = bytes.fromhex(key)
        return any(raw in source and (source.number, raw) not in self._unreadable for source in self._sources)

    def resolve_key(self, key: str, *former_keys: str) -> str:
        """Return the first of the keys that has a completion; `key` where none has."""
        return next((known for known in (key, *former_keys) if known in self), key)

    def read_completion(self, key: str) -> Entry | None:
        """Return the completion of a request; None where there is none. If two sessions wrote one, the first counts."""
        for source in self._sources:
            if (entry := self._read(source, key, source.read_completion)) is not None:
                # version 0.1.0 recorded whatever a server counted, even "many" and NaN
                return entry | {name: parse_count(entry[name]) for name in TOKEN_COUNTS if name in entry}
        return None

    def read_findings(self, key: str) -> Entry | None:
        """Return what the latest checks found in a completion; None where no checks ran."""
        for source in reversed(self._sources):
            if (entry := self._read(source, key, source.read_findings)) is not None:
                return entry
        return None

    def add_completion(self, key: str, entry: Mapping[str, object]) -> None:
        self._append("completion", key, entry)

    def add_findings(self, key: str, entry: Mapping[str, object]) -> None:
        """Write what the checks found in a completion of this ledger."""
        self._append("findings", key, entry)

    def add_failure(self, key: str, reason: str) -> None:
        """Write that a request got no answer, to a file that earlier versions do not read."""
        path = self._folder / f"{FAILURES}{self._shard.suffix}.jsonl"
        lines = [{"key": key, "reason": reason}]
        if not path.exists():
            lines.insert(0, {"kind": "failures", "origin": self._origin})
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def read_failures(self) -> dict[str, str]:
        """Return the key of each request that got no answer in any session, with the latest reason."""
        paths = sorted(self._folder.glob(f"{FAILURES}*.jsonl"))
        lines = [line for path in paths for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        entries = [entry for line in lines if (entry := _parse_failure(line))]
        return {key: reason for key, reason in entries if key not in self}

    def close(self) -> None:
        self._closing.set()
        if self._own is not None:
            self._syncing.join()
            self._sync()
        for source in self._sources:
            source.close()

    @property
    def _sources(self) -> Sequence[Segment | Session]:
        return [*self._segments, *self._sessions]

    def _read(self, source: Segment | Session, key: str, read: Callable[[bytes], bytes | None]) -> Entry | None:
        """Return an entry, None where the source has none, or one that has been damaged since it was indexed."""
        if (line := read(raw := bytes.fromhex(key))) is None:
            return None
        if not is_whole(line):
            self._unreadable.add((source.number, raw))
            return None
        return parse_line(line)

    def _append(self, kind: Kind, key: str, entry: Mapping[str, object]) -> None:
        line = format_line(kind, key, entry)
        with self._lock:
            if self._own is None:
                self._start_session()
            elif self._own.size > SESSION_BYTES:
                self._compact()
                self._start_session()
            if self._own is not None:
                self._own.append(line)
            self._is_dirty = True

    def _start_session(self) -> None:
        last = max((source.last_number for source in self._sources), default=-1)
        self._own = Session.start(self._folder, self._shard.find_number(last + 1), self._origin)
        self._sessions.append(self._own)
        if not self._syncing.is_alive():
            self._syncing.start()

    def _compact(self) -> None:
        """Turn the sessions that this process may change into a segment, and merge it with those before it."""
        sessions = [session for session in self._sessions if session is self._own or not self._shard.is_part]
        self._segments.append(write_sessions(self._folder, sessions, self._origin))
        self._remove(sessions)
        self._sessions = [session for session in self._sessions if session not in sessions]
        self._own = None
        while not self._shard.is_part and _should_merge(self._segments):
            *before, older, newer = self._segments
            self._segments = [*before, merge_segments(self._folder, older, newer, self._origin)]
            self._remove([older, newer])

    def _remove(self, sources: Iterable[Segment | Session]) -> None:
        for source in sources:
            source.close()
            source.path.unlink()

    def _sync(self) -> None:
        with self._lock:
            is_dirty, self._is_dirty, own = self._is_dirty, False, self._own
        if is_dirty and own is not None:
            own.sync()

    def _sync_regularly(self) -> None:
        while not self._closing.wait(SYNC_EVERY):
            self._sync()


def _should_merge(segments: Sequence[Segment]) -> bool:
    return len(segments) > 1 and segments[-2].rows <= MERGE_RATIO * segments[-1].rows


@contextmanager
def open_ledger(out: Path, origin: Origin, shard: Shard = WHOLE) -> Iterator[Ledger]:
    """Open the ledger of an output folder for this process alone, or for this shard among others.

    Raises DeepicdError where another process has it.
    """
    folder = out / FOLDER
    with private_files(origin):
        folder.mkdir(parents=True, exist_ok=True)
    make_private(out, origin, deep=False)
    make_private(folder, origin)
    with private_files(origin), hold_lease(folder / shard.lock, f"writing to {out}"):
        _refuse_company(folder, out, shard)
        ledger = Ledger(folder, origin, shard)
        try:
            yield ledger
        finally:
            ledger.close()


def _refuse_company(folder: Path, out: Path, shard: Shard) -> None:
    """Raise DeepicdError where a process that does not belong to the same division has the ledger.

    Both make their lock file first and look for the other's then, so that one of them sees the other.
    """
    for lock in [folder / LOCK, *folder.glob(f"{LOCK}-*-of-*[0-9]")]:
        if lock.name != shard.lock and not shard.admits(lock.name) and is_held(lock):
            raise DeepicdError(
                f"Another process is writing to {out}: {name_holder(lock.name)}.",
                "Wait for it to end. All shards of a run are given the same number of shards.",
            )


def _open_files(folder: Path, *, is_shared: bool) -> tuple[list[Segment], list[Session]]:
    """Open segments and sessions, and remove those that a segment has replaced unless others write beside us."""
    for _ in range(100):
        paths = list_sessions(folder)
        segments, replaced = open_segments(folder)
        replaced += [path for path in paths if any(path.name in segment.sessions for segment in segments)]
        try:
            sessions = [Session(path) for path in paths if path not in replaced]
        except FileNotFoundError:  # another shard has just turned it into a segment
            if is_shared:
                continue
            raise
        for path in replaced if not is_shared else ():
            path.unlink()
        return segments, sessions
    raise DeepicdError(f"The files in {folder} change all the time.", "Rerun the same command.")


def _parse_failure(line: str) -> tuple[str, str] | None:
    """Return key and reason of a line; None for the first line, and for one that a killed run left incomplete."""
    try:
        entry = parse_json(line)
        bytes.fromhex(entry["key"])
        return entry["key"], str(entry["reason"])
    except (ValueError, KeyError, TypeError):
        return None
