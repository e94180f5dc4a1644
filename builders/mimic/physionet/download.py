"""One file from PhysioNet: resumed where it stopped, proven by its checksum, under its own name only when whole.

    patients.csv.gz.part         what has arrived
    patients.csv.gz.part.etag    which state of the file it is part of, so that two states are never joined (If-Range)

A server that ignores Range, or whose file has changed, sends the file from its beginning; a file with a wrong checksum
is fetched anew once.
"""

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.mimic.physionet import checksums
from builders.mimic.physionet.session import Patience, Session, Trouble
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.log import format_duration, track_progress

if TYPE_CHECKING:
    import httpx

MB = 1_000_000
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to have: where PhysioNet keeps it, where it goes, and what it should be."""

    path: str
    """Relative to the version folder, as in SHA256SUMS.txt."""
    to: Path
    sha256: str | None
    """None for a file that SHA256SUMS.txt does not name."""

    @property
    def is_here(self) -> bool:
        return self.to.is_file() and self.wrong(self.to) is None

    def wrong(self, file: Path) -> str | None:
        """What is wrong with a whole file that should be this one; None for nothing."""
        if self.sha256 is not None:
            return (
                None if storage.digest_path(file) == self.sha256 else f"its checksum is not the one in {checksums.NAME}"
            )
        if self.to.name == checksums.NAME and not checksums.is_checksum_list(file):
            return "it is no list of checksums"
        return None


def download(session: Session, wanted: RemoteFile, patience: Patience) -> None:
    """Fetch a file of the session's project.

    Raises DeepicdError for a refusal, for a server that stays unreachable and for wrong bytes; what has arrived stays.
    """
    part = _part(wanted.to)
    part.parent.mkdir(parents=True, exist_ok=True)
    wrong = None
    for _ in range(2):
        _complete(session, wanted.path, part, patience)
        if (wrong := wanted.wrong(part)) is None:
            part.replace(wanted.to)
            _etag_file(part).unlink(missing_ok=True)
            return
        _forget(part)
    raise DeepicdError(
        f"{session.url(wanted.path)} came twice with wrong bytes: {wrong}.",
        "A proxy on the way may change files, or PhysioNet is replacing them: try again later, or from elsewhere.",
    )


def adopt_partial(to: Path) -> None:
    """Treat a file with a wrong checksum as the beginning of the right one, which it is when a download was cut off."""
    part = _part(to)
    _forget(part)
    to.replace(part)


def _part(to: Path) -> Path:
    return to.with_name(f"{to.name}.part")


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _complete(session: Session, path: str, part: Path, patience: Patience) -> None:
    """Ask for what is missing until nothing is, through broken connections and busy servers."""
    failures, whole = 0, False
    while not whole:
        before = _size(part)
        try:
            with session.get(path, _resuming(part)) as answer:
                whole = _receive(answer, path, part)
        except Trouble as trouble:
            failures = 1 if _size(part) > before else failures + 1
            wait = patience.wait(failures, trouble.wait)
            if failures >= patience.attempts or wait > patience.longest:
                raise _given_up(trouble, part, failures, wait) from trouble
            print(f"{path}: {trouble}; trying again in {format_duration(wait)}", file=sys.stderr, flush=True)
            time.sleep(wait)


def _receive(answer: "httpx.Response", path: str, part: Path) -> bool:
    """Write the body of an answer after what is there, or instead of it; False if the answer is of no use."""
    have, (start, total) = _size(part), _extent(answer)
    if answer.status_code == 416 and have and total == have:
        return True  # nothing is missing: the last run ended between the last byte and the rename
    if start not in (0, have):
        if not have:
            raise Trouble(f"{answer.url.host} sent a part that was not asked for")
        _forget(part)  # another state of the file than ours
        return False
    if start == 0:
        _forget(part)  # before its ETag is replaced: no moment, however it ends, may leave old bytes with a new ETag
        storage.write_text(_etag_file(part), _validator(answer))
    with (
        part.open("ab") as file,
        track_progress(f"{path}, MB", total // MB if total else None) as advance,
    ):
        advance(start // MB)
        size = start
        for chunk in answer.iter_raw():  # as they come: of chunks of a fixed size, a break would lose the last one
            file.write(chunk)
            advance((size + len(chunk)) // MB - size // MB)
            size += len(chunk)
    if total is not None and size != total:
        raise Trouble(f"{answer.url.host} sent {size:,} of {total:,} bytes")
    return True


def _resuming(part: Path) -> dict[str, str]:
    """The headers that ask for what is missing of a part, and for all of it if the file is not the same any more."""
    if not (have := _size(part)):
        return {}
    etag = _etag_file(part)
    validator = etag.read_text(encoding="utf-8").strip() if etag.is_file() else ""
    return {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def _validator(answer: "httpx.Response") -> str:
    """What tells one state of a file from another: a strong ETag, else the time of its last change; '' for neither."""
    etag: str = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _extent(answer: "httpx.Response") -> tuple[int, int | None]:
    """First byte of an answer's body within the file, and the file's size, None where the server does not say."""
    if answer.status_code == 200:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if not found:
        return -1, None
    start, total = found.groups()
    return int(start or -1), int(total) if total != "*" else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _given_up(trouble: Trouble, part: Path, failures: int, wait: float) -> DeepicdError:
    asks = f" and asks to wait {format_duration(wait)}" if trouble.wait == wait else ""
    tries = "try" if failures == 1 else "tries"
    return DeepicdError(
        f"{trouble}{asks}; gave up after {failures} {tries} in a row.",
        f"Run the same command again later: it goes on from the {_size(part):,} bytes that have arrived.",
    )
