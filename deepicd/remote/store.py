"""An object store: the files below one address, read and written whole.

    store = Store("s3://clinic/traces")
    store.list_files()                      # {"ledger/00000.jsonl": Remote(size=812, tag="9b1e…"), …}

Where a store is, decides what may be written to it: one on this machine or in its private network takes everything,
another one only what the user takes responsibility for, in a sentence that names it (DEEPICD_RESPONSIBLE).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepicd.addresses import is_private
from deepicd.disclosure import SENTENCE
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
RESPONSIBLE = "DEEPICD_RESPONSIBLE"
LOCAL = ("file", "local", "memory")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file in a store."""

    size: int
    tag: str
    """Changes with its content; '' where the store has no such thing."""


class Store:
    """The files below an address."""

    def __init__(self, url: str) -> None:
        """Open a store. Raises DeepicdError where its library is not installed or its address is not one."""
        self.url = url.rstrip("/")
        try:
            import fsspec

            self.files: AbstractFileSystem
            self.files, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise DeepicdError(
                f"{self.url}: {str(error).rstrip('.')}.",
                "s3:// needs the package s3fs (pip install 'deepicd[remote]'), gs:// needs gcsfs.",
            ) from error

    def list_files(self) -> dict[str, Remote]:
        """Return all files by their name below the address; '' is an object at the address itself."""
        with self.explaining():
            found: dict[str, dict[str, Any]] = self.files.find(self._root, detail=True)
        return {
            path.removeprefix(self._root).lstrip("/"): Remote(int(info["size"] or 0), _read_tag(info))
            for path, info in found.items()
        }

    def fetch(self, name: str, to: Path) -> None:
        """Write a file to disk; it appears there whole or not at all."""
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".{to.name}.{os.getpid()}.partial")
        try:
            with self.explaining():
                self.files.get_file(self._join(name), str(part))
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def put(self, name: str, path: Path) -> None:
        """Write a file of the disk to the store."""
        with self.explaining():
            self.files.put_file(str(path), self._join(name))

    def remove(self, name: str) -> None:
        with self.explaining():
            self.files.rm_file(self._join(name))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it exists; return whether it was written."""
        try:
            with self.explaining(FileExistsError):
                self.files.pipe_file(self._join(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def overwrite(self, name: str, content: bytes) -> None:
        with self.explaining():
            self.files.pipe_file(self._join(name), content)

    def read(self, name: str) -> tuple[bytes, float] | None:
        """Return content and time of a small file, by the store's clock; None where there is none."""
        try:
            with self.explaining(FileNotFoundError):
                return self.files.cat_file(self._join(name)), self.files.modified(self._join(name)).timestamp()
        except FileNotFoundError:
            return None

    def check_that_it_may_be_written(self) -> None:
        """Raise DeepicdError unless the store is private, or the user takes responsibility for it."""
        place = self._find_host()
        if place is None or is_private(place):
            return
        required = SENTENCE.format(host=place)
        if os.environ.get(RESPONSIBLE) != required:
            raise DeepicdError(
                f"{self.url} is stored by {place}, which is neither this machine nor a private address: nothing was"
                " written.",
                "Write to a disk or to a store of your own network, or, if your agreement allows it, set:\n"
                f'export {RESPONSIBLE}="{required}"',
            )

    @contextmanager
    def explaining(self, *expected: type[Exception]) -> Iterator[None]:
        """Turn what a store's library raises, but for what is expected, into a DeepicdError."""
        try:
            yield
        except DeepicdError:
            raise
        except expected:
            raise
        except Exception as error:
            raise DeepicdError(
                f"{self.url}: {type(error).__name__}: {str(error)[:300]}",
                "Check address, credentials and network, then rerun the command: it continues from what is finished.",
            ) from error

    def _join(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _find_host(self) -> str | None:
        """Return the host that stores the files; None for this machine."""
        protocol = self.files.protocol if isinstance(self.files.protocol, str) else self.files.protocol[0]
        if protocol in LOCAL:
            return None
        if protocol in ("s3", "s3a"):
            with self.explaining():
                self.files.connect()
                return urlsplit(self.files.s3.meta.endpoint_url).hostname or "s3"
        return {"gs": "storage.googleapis.com", "gcs": "storage.googleapis.com"}.get(protocol, protocol)


def _read_tag(info: dict[str, Any]) -> str:
    return str(next((info[name] for name in ("ETag", "etag", "md5Hash", "created", "mtime") if info.get(name)), ""))
