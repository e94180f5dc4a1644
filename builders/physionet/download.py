"""Download one file from PhysioNet: resumable, verified by its checksum, under its own name only when complete.

    patients.csv.gz.part         what has arrived
    patients.csv.gz.part.etag    the version of the file it belongs to, so that two versions are never mixed (If-Range)

A server that ignores Range, or whose file has changed, sends the file from the start; a file with a wrong checksum is
fetched once more.
"""

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.physionet.releases import CHECKSUMS, is_checksum_list
from builders.physionet.session import Session
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy, TransientError
from deepicd.log import format_duration, track_progress

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

MB = 1_000_000
CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download: where PhysioNet keeps it, where it goes, and its checksum."""

    path: str
    """Relative to the version folder, as in SHA256SUMS.txt."""
    to: Path
    sha256: str | None
    """None for a file that SHA256SUMS.txt does not name."""

    @property
    def is_complete(self) -> bool:
        """Whether the file is on disk and intact."""
        return self.to.is_file() and self.find_fault(self.to) is None

    def find_fault(self, file: Path) -> str | None:
        """Return what is wrong with a downloaded file; None if it is intact."""
        if self.sha256 is not None:
            return None if storage.digest_path(file) == self.sha256 else f"its checksum is not the one in {CHECKSUMS}"
        if self.to.name == CHECKSUMS and not is_checksum_list(file):
            return "it is not a list of checksums"
        return None


def download(session: Session, remote: RemoteFile, policy: RetryPolicy) -> None:
    """Fetch a file of the session's project.

    Raises DeepicdError for a refusal, an unreachable server and wrong bytes; the bytes that have arrived are kept.
    """
    part = _get_part_path(remote.to)
    part.parent.mkdir(parents=True, exist_ok=True)
    fault = None
    for _ in range(2):
        _fetch_rest(session, remote.path, part, policy)
        if (fault := remote.find_fault(part)) is None:
            part.replace(remote.to)
            _get_etag_path(part).unlink(missing_ok=True)
            return
        _discard(part)
    raise DeepicdError(
        f"{session.url(remote.path)} was received twice with wrong bytes: {fault}.",
        "Rerun the command later, or from another network.",
    )


def adopt_partial(to: Path) -> None:
    """Treat a file with a wrong checksum as the beginning of the right one, as a truncated download is."""
    part = _get_part_path(to)
    _discard(part)
    to.replace(part)


def _get_part_path(to: Path) -> Path:
    return to.with_name(f"{to.name}.part")


def _get_etag_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _get_etag_path(part).unlink(missing_ok=True)


def _fetch_rest(session: Session, path: str, part: Path, policy: RetryPolicy) -> None:
    """Request the missing bytes until none is missing, retrying after broken connections and busy servers."""
    failures, is_complete = 0, False
    while not is_complete:
        before = _get_size(part)
        try:
            with session.get(path, _build_range_headers(part)) as response:
                is_complete = _receive(response, path, part)
        except TransientError as error:
            failures = 1 if _get_size(part) > before else failures + 1
            wait = policy.next_wait(failures, error.retry_after)
            if wait is None:
                raise _gave_up_error(error, part, failures, policy) from error
            logger.warning("%s: %s; trying again in %s.", path, error, format_duration(wait))
            time.sleep(wait)


def _receive(response: "httpx.Response", path: str, part: Path) -> bool:
    """Append a response's body to the part, or replace the part by it; return whether the part is now complete."""
    have, (start, total) = _get_size(part), _parse_extent(response)
    if response.status_code == 416 and have and total == have:
        return True  # the last run ended between the last byte and the rename
    if start not in (0, have):
        if not have:
            raise TransientError(f"{response.url.host} sent a part that was not requested")
        _discard(part)  # it belongs to another version of the file
        return False
    if start == 0:
        _discard(part)  # before its ETag is replaced: a crash must not leave old bytes with a new ETag
        storage.write_text(_get_etag_path(part), _find_validator(response))
    with (
        part.open("ab") as file,
        track_progress(f"{path}, MB", total // MB if total else None) as advance,
    ):
        advance(start // MB)
        size = start
        for chunk in response.iter_raw():  # with a fixed chunk size, a broken connection would lose the last chunk
            file.write(chunk)
            advance((size + len(chunk)) // MB - size // MB)
            size += len(chunk)
    if total is not None and size != total:
        raise TransientError(f"{response.url.host} sent {size:,} of {total:,} bytes")
    return True


def _build_range_headers(part: Path) -> dict[str, str]:
    """Return headers that request the missing bytes of a part, or the whole file if it has changed."""
    if not (have := _get_size(part)):
        return {}
    etag = _get_etag_path(part)
    validator = etag.read_text(encoding="utf-8").strip() if etag.is_file() else ""
    return {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def _find_validator(response: "httpx.Response") -> str:
    """Return what identifies a version of a file: a strong ETag, or else Last-Modified; '' if it has neither."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _parse_extent(response: "httpx.Response") -> tuple[int, int | None]:
    """Return the offset of a response's body in the file (-1: unknown), and the file's size (None: unknown)."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() and len(length) < 19 else None
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        return -1, None
    start, total = match.groups()
    return int(start or -1), int(total) if total != "*" else None


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _gave_up_error(error: TransientError, part: Path, failures: int, policy: RetryPolicy) -> DeepicdError:
    wait = error.retry_after or 0.0
    asks = f" and asks to wait {format_duration(wait)}" if wait > policy.longest_wait else ""
    tries = "try" if failures == 1 else "tries"
    return DeepicdError(
        f"{error}{asks}; gave up after {failures} {tries} in a row.",
        f"Rerun the command later: it continues after the {_get_size(part):,} bytes that have arrived.",
    )
