"""A folder of a store, and its copy on this machine, where stages read and write.

    with open_output("s3://clinic/traces") as folder:    # what is there already, fetched
        …                                                # written to, and to the store at the end and once a minute
    folder = fetch_input("s3://clinic/cohort")           # a finished run, whole and checked

run.json is the marker of a finished run: it is written last, removed before anything of its folder changes, and names
size and digest of every file, so that half of a run is never read. A store has no rename, and needs none for that.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import platformdirs

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.remote.lock import hold_lock
from deepicd.remote.store import Remote, Store

SYNC_EVERY = 60.0  # seconds; what a machine that vanishes with its disk has done since is lost

logger = logging.getLogger(__name__)


class Mirror:
    """The copy of a store on this machine, and what of it agrees with the store."""

    def __init__(self, store: Store, role: str) -> None:
        """Open the copy that this role has, since a reader must not change what a writer is about to write back."""
        digest = hashlib.sha256(f"{store.url} {role}".encode()).hexdigest()[:16]
        above = Path(platformdirs.user_cache_dir("deepicd")) / "remote" / digest
        above.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may be of credentialed records
        self.store, self.folder = store, above / PurePosixPath(store.url).name
        self._state_file = above / "state.json"
        self._state: dict[str, list[object]] = {}  # name → what the file and the object were when they agreed
        if self._state_file.is_file():
            self._state = storage.read_json(self._state_file)

    def fetch(self, names: Mapping[str, Remote]) -> None:
        """Fetch files that are absent here or differ from the store's."""
        for name, remote in names.items():
            path = self.folder / name if name else self.folder
            if not self._agrees(name, path, remote):
                self.store.fetch(name, path)
                self._note(name, path, remote)
        self._save()

    def fetch_all(self) -> None:
        """Fetch everything, and remove here what the store does not have."""
        remote = {name: entry for name, entry in self.store.list_files().items() if name and not _is_hidden(name)}
        self.fetch(remote)
        for name in _list_names(self.folder) - remote.keys():
            if name in self._state:  # it was in the store; anything else is work that has not got there yet
                (self.folder / name).unlink()
                del self._state[name]

    def write_back(self) -> None:
        """Bring the store to what is here: the files of a run first, its run.json last."""
        local = _list_names(self.folder)
        remote = self.store.list_files()
        changed = [
            name
            for name in sorted(local)
            if name not in remote or not self._agrees(name, self.folder / name, remote[name])
        ]
        gone = [name for name in remote.keys() & self._state.keys() if name not in local]
        for marker in [name for name in changed if _is_marker(name) and name in remote]:
            self.store.remove(marker)
        for name in sorted(gone, key=lambda name: not _is_marker(name)):
            self.store.remove(name)
            del self._state[name]
        written: dict[str, list[int]] = {}
        for name in sorted(changed, key=_is_marker):
            with suppress(FileNotFoundError):  # it has become part of another one meanwhile
                written[name] = _describe_copy(self.folder / name)
                self.store.put(name, self.folder / name)
                self._state[name] = []  # ours to remove
        after = self.store.list_files() if written else remote
        for name, copy in written.items():
            with suppress(FileNotFoundError):
                if copy == _describe_copy(self.folder / name) and name in after and after[name].size == copy[0]:
                    self._note(name, self.folder / name, after[name])
        self._save()

    def _agrees(self, name: str, path: Path, remote: Remote) -> bool:
        return bool(remote.tag) and path.is_file() and self._state.get(name) == _describe(path, remote)

    def _note(self, name: str, path: Path, remote: Remote) -> None:
        self._state[name] = _describe(path, remote)

    def _save(self) -> None:
        storage.write_json(self._state_file, self._state)


def fetch_input(url: str) -> Path:
    """Return the copy of a finished run, or of a single file. Raises DeepicdError for a run that is not finished."""
    mirror = Mirror(Store(url), "input")
    files = mirror.store.list_files()
    if "" in files:
        mirror.fetch({"": files[""]})
        return mirror.folder
    markers = [name for name in files if _is_marker(name)]
    if not markers:
        raise DeepicdError(
            f"{url} holds no finished run: no {records.RECORD} is there.",
            "Check the address, or wait until the stage that writes it has ended.",
        )
    for marker in markers:
        mirror.fetch({marker: files[marker]})
        folder = mirror.folder / PurePosixPath(marker).parent
        if (record := records.read(folder)) is None:
            raise RuntimeError(f"{marker} was fetched and is not there.")
        names = {str(PurePosixPath(marker).parent / name): name for name in record.outputs}
        mirror.fetch({name: files[name] for name in names if name in files})
        if changes := records.compare_files(folder, record.outputs, content=True):
            raise DeepicdError(
                f"{url} does not hold what its {records.RECORD} says: {len(changes.missing)} files are missing and"
                f" {len(changes.changed)} differ.",
                "Wait for whatever writes there, then rerun the command; or write it again with its stage.",
            )
    return mirror.folder


@contextmanager
def open_output(url: str, suffix: str = "") -> Iterator[Path]:
    """Yield the copy of a folder; what a stage writes to it is in the store when the block ends, error or not.

    `suffix`: of the lock's name, for one of several processes that write to the folder together.
    """
    store = Store(url)
    store.check_that_it_may_be_written()
    with hold_lock(store, suffix) as lock:
        mirror = Mirror(store, f"output{suffix}")
        mirror.fetch_all()
        ending = threading.Event()

        def write_regularly() -> None:
            while not ending.wait(SYNC_EVERY):
                try:
                    lock.check()
                    mirror.write_back()
                except DeepicdError as error:
                    logger.warning("Not written to %s for now: %s", url, error)

        writing = threading.Thread(target=write_regularly, name="remote", daemon=True)
        writing.start()
        try:
            yield mirror.folder
        finally:
            ending.set()
            writing.join()
            lock.check()
            mirror.write_back()


def _describe(path: Path, remote: Remote) -> list[object]:
    return [*_describe_copy(path), *asdict(remote).values()]


def _describe_copy(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _is_marker(name: str) -> bool:
    return PurePosixPath(name).name == records.RECORD


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _list_names(folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not _is_hidden(name)}
