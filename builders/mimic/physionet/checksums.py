"""SHA256SUMS.txt: what each file of a release should be, and whether those at hand are.

    0123…cdef hosp/admissions.csv.gz

One line a file of the whole release: 33 for MIMIC-IV 3.1, 5 for MIMIC-IV-Note 2.2. Most people fetch a few of them.
"""

import re
from pathlib import Path

from deepicd.errors import DeepicdError

NAME = "SHA256SUMS.txt"
LICENSE = "LICENSE.txt"
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def read_checksums(path: Path) -> dict[str, str]:
    """Relative path → SHA-256 in lower case. Raises DeepicdError for a file that is no list of checksums."""
    sums = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise _no_list(path) from error
    for line in lines:
        if not line.strip():
            continue
        digest, _, name = line.strip().partition(" ")
        name = name.strip().removeprefix("*")  # what sha256sum puts before the name of a file read as binary
        if not name or not DIGEST.fullmatch(digest.lower()):
            raise _no_list(path)
        sums[name.removeprefix("./")] = digest.lower()
    if not sums:
        raise _no_list(path)
    return sums


def is_checksum_list(path: Path) -> bool:
    try:
        return bool(read_checksums(path))
    except DeepicdError:
        return False


def _no_list(path: Path) -> DeepicdError:
    return DeepicdError(
        f"{path} is no list of checksums; expected lines of a SHA-256 and a file's path.",
        "It may be a web page that was saved under this name, or a download that was cut short: delete it and fetch it"
        " again: deepicd physionet fetch --user NAME DIR",
    )
