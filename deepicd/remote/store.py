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

from deepicd.disclosure import SENTENCE, is_private
from deepicd.errors import DeepicdError, advise_install

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
RESPONSIBLE = "DEEPICD_RESPONSIBLE"
LOCAL = ("file", "local", "memory")
S3 = ("s3", "s3a")
CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
"""What S3 answers where a file is no longer what a condition says."""


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
                f"s3:// needs the package s3fs ({advise_install('remote')}), gs:// needs gcsfs.",
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

    def replace(self, name: str, content: bytes, tag: str) -> bool:
        """Write a file if it still has the tag that `read` gave; return whether it was written.

        Only S3 can tell (If-Match). Other stores write in any case.
        """
        condition = {"IfMatch": tag} if self._protocol in S3 else {}
        try:
            with self.explaining(OSError):
                self.files.pipe_file(self._join(name), content, **condition)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or _read_code(error) in CHANGED:
                return False
            with self.explaining():
                raise
        return True

    def read(self, name: str) -> tuple[bytes, float, str] | None:
        """Return content, time by the store's clock, and tag of a small file; None where there is none."""
        try:
            with self.explaining(FileNotFoundError):
                path = self._join(name)
                tag = _read_tag(self.files.info(path))  # before the content: an old tag replaces nothing
                return self.files.cat_file(path), self.files.modified(path).timestamp(), tag
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

    @property
    def _protocol(self) -> str:
        return self.files.protocol if isinstance(self.files.protocol, str) else self.files.protocol[0]

    def _join(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _find_host(self) -> str | None:
        """Return the host that stores the files; None for this machine."""
        protocol = self._protocol
        if protocol in LOCAL:
            return None
        if protocol in S3:
            with self.explaining():
                self.files.connect()
                return urlsplit(self.files.s3.meta.endpoint_url).hostname or "s3"
        return {"gs": "storage.googleapis.com", "gcs": "storage.googleapis.com"}.get(protocol, protocol)


def _read_tag(info: dict[str, Any]) -> str:
    return str(next((info[name] for name in ("ETag", "etag", "md5Hash", "created", "mtime") if info.get(name)), ""))


def _read_code(error: OSError) -> str:
    """Return S3's own name of an error; '' for any other."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
