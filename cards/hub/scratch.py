"""Private folders beside the journal for what is being sent and read back; those of killed processes are removed.

    publications/.scratch-k3x9/.lock     held for as long as its process lives (deepicd.lease)
    publications/.scratch-k3x9/files/    what the process keeps there; the folder is 0700

They are in the journal's folder and not in /tmp, which is often too small for copies of rows.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepicd.lease import LOCK, hold_lease, is_held

PREFIX = ".scratch-"


@contextmanager
def open_scratch(folder: Path) -> Iterator[Path]:
    """Yield a new private folder below `folder`, and remove it at the end; first remove those of killed processes.

    Nothing of `folder` stays if it did not exist before and nothing else was written to it.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]  # innermost first
    folder.mkdir(parents=True, exist_ok=True)
    for lock in folder.glob(f"{PREFIX}*/{LOCK}"):
        if not is_held(lock):
            shutil.rmtree(lock.parent, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        with hold_lease(scratch / LOCK, f"using {scratch}"):
            (scratch / "files").mkdir()
            yield scratch / "files"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # others have written to it
            for place in new:
                place.rmdir()
