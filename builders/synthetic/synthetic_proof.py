"""SYNTHETIC.json: the proof that files are made up. A copy without this proof is taken for credentialed.

    {"statement": "All records here are made up…", "generator": "1", "seed": 42,
     "files": {"hosp/patients.csv.gz": "<sha256>", …}}

The mark names the digest of each file, so it cannot be carried over to another copy, and one changed byte voids it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from deepicd import storage

MARK = "SYNTHETIC.json"
STATEMENT = (
    "All records here are made up by `deepicd synthesize`. No patient, stay or note exists; "
    "nothing was taken from MIMIC or any other corpus. Not for clinical use."
)


def write_mark(root: Path, files: Iterable[Path], *, generator: str, seed: int) -> None:
    """Mark the files, given as paths below root, as made up."""
    digests = {path.relative_to(root).as_posix(): storage.digest_path(path) for path in sorted(files)}
    storage.write_json(root / MARK, {"statement": STATEMENT, "generator": generator, "seed": seed, "files": digests})


def is_synthetic(root: Path, files: Iterable[Path]) -> bool:
    """Whether root's mark proves each of these files, byte for byte, made up. False for no files and for any doubt."""
    try:
        mark = json.loads((root / MARK).read_text(encoding="utf-8"))
        claimed = mark["files"] if mark["statement"] == STATEMENT else {}
        digests = {path.resolve().relative_to(root.resolve()).as_posix(): storage.digest_path(path) for path in files}
    except (OSError, ValueError, KeyError, TypeError):  # no mark, no JSON, a file elsewhere: nothing is proven
        return False
    return (
        bool(digests) and isinstance(claimed, dict) and all(claimed.get(name) == sha for name, sha in digests.items())
    )
