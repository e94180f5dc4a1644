"""SYNTHETIC.json: the proof that files are made up. A copy without it is treated as credentialed.

    {"statement": "All records here are made up…", "generator": "1", "seed": 42,
     "files": {"hosp/patients.csv.gz": "<sha256>", …}}

It holds the digest of each file, so it cannot be moved to another copy, and one changed byte voids it.
"""

from collections.abc import Iterable
from pathlib import Path

from deepicd import storage
from deepicd.errors import DeepicdError

MARK = "SYNTHETIC.json"
KEYS = {"statement", "generator", "seed", "files"}
STATEMENT = (
    "All records here are made up by `deepicd synthesize`. No patient, stay or note exists; "
    "nothing was taken from MIMIC or any other corpus. Not for clinical use."
)


def write_mark(root: Path, files: Iterable[Path], *, generator: str, seed: int) -> None:
    """Write the proof that files below root are made up."""
    digests = {path.relative_to(root).as_posix(): storage.digest_path(path) for path in sorted(files)}
    storage.write_json(root / MARK, {"statement": STATEMENT, "generator": generator, "seed": seed, "files": digests})


def read_mark(root: Path) -> dict[str, str]:
    """Return name → digest of the files that the mark in root declares made up; empty without a valid mark."""
    try:
        mark = storage.read_json(root / MARK)
        files = mark["files"] if mark["statement"] == STATEMENT and set(mark) == KEYS else {}
    except (OSError, DeepicdError, KeyError, TypeError):  # no mark, or not one that deepicd wrote
        return {}
    is_valid = isinstance(files, dict) and all(isinstance(digest, str) for digest in files.values())
    return dict(files) if is_valid else {}


def is_synthetic(root: Path, files: Iterable[Path]) -> bool:
    """Return whether the mark in root proves every file made up, byte for byte; False without files."""
    claimed = read_mark(root)
    try:
        digests = {path.resolve().relative_to(root.resolve()).as_posix(): storage.digest_path(path) for path in files}
    except (OSError, ValueError):  # unreadable, or elsewhere: nothing is proven
        return False
    return bool(digests) and all(claimed.get(name) == digest for name, digest in digests.items())
