"""What descends from credentialed records is for its owner alone: files 0600, folders 0700, whatever the umask."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.storage import Origin

OTHERS = 0o077
"""The rights of group and others."""
_lock, _blocks = threading.Lock(), list[int]()  # the umask to restore, and one more entry per block that is open


@contextmanager
def private_files(origin: Origin) -> Iterator[None]:
    """Create files and folders without rights for others in the block, if they may hold credentialed records.

    The umask belongs to the process, so that it also holds for libraries, and child processes inherit it.
    """
    if origin != "mimic":
        yield
        return
    with _lock:
        _blocks.append(os.umask(OTHERS))
    try:
        yield
    finally:
        with _lock:
            before = _blocks[0]
            _blocks.pop()
            if not _blocks:  # the last block to end restores what the first one found
                os.umask(before)


def make_private(folder: Path, origin: Origin, *, deep: bool = True) -> None:
    """Take the rights of others from a folder and, if `deep`, from everything in it, if it may be credentialed.

    Raises DeepicdError where a file system or an owner does not allow that.
    """
    if origin != "mimic":
        return
    for path in (folder, *(folder.rglob("*") if deep else ())):
        try:
            mode = path.lstat().st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode):
                path.chmod(mode & 0o777 & ~OTHERS)
        except FileNotFoundError:  # a lock, for instance, that was released meanwhile
            continue
        except PermissionError as error:
            raise DeepicdError(
                f"{path} is readable for others, and its rights cannot be changed.",
                "Credentialed records are for you alone: write to a folder that you own, on a file system with rights.",
            ) from error
