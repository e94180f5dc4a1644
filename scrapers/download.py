"""Run a crawl in a process of its own and watch it from this one.

A Twisted reactor cannot be started twice in a process, and a crawl that ends badly must not take its caller along. The
child (`python -m scrapers.spider`) reads its job from stdin, writes pages into the cache, its log to a file, and at the
end one line to stdout that says how it ended. When this process goes, however it goes, the child sees its stdin
close and goes too.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.progress import progress
from scrapers.cache import Cache
from scrapers.site import Pace, Site

# -P: a folder `scrapers` where the user happens to stand is not ours
COMMAND = [sys.executable, "-P", "-m", "scrapers.spider"]
LOOK_EVERY = 0.1  # seconds between two looks at the cache
LET_GO = 10.0  # seconds that a child may take to notice that nobody waits for it


@dataclass(frozen=True, slots=True)
class Job:
    """All that the child needs to know."""

    cache: str
    host: str
    is_public: bool
    user_agent: str
    pace: Pace
    pending: list[tuple[str, str]]
    """Code, dotted, and the address of its page."""

    @classmethod
    def from_json(cls, text: str) -> "Job":
        fields = json.loads(text)
        pending = [(code, url) for code, url in fields.pop("pending")]
        return cls(**(fields | {"pace": Pace(**fields["pace"]), "pending": pending}))


def download(site: Site, codes: Sequence[Code], cache: Cache, path: Path, log: Path, user_agent: str) -> None:
    """Ask the site for the codes' pages. Returns when each is in the cache, as a page or as a failure.

    Raises DeepicdError where the crawl gave up: the pages so far stay in the cache.
    """
    pending = [(str(code), site.url(code)) for code in codes]
    job = Job(str(path), site.host, site.is_public, user_agent, site.pace, pending)
    cache.forget_failures()
    had, before = len(cache.codes()), cache.answered()
    with (
        log.open("ab") as log_file,
        subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,  # Ctrl-C is for this process; the child leaves when its stdin closes
        ) as child,
    ):
        try:
            _tell(child, job)
            with progress(f"pages of {site.host}", total=len(codes)) as advance:
                seen = before
                while child.poll() is None:
                    _wait(child)
                    now = cache.answered()
                    advance(now - seen)
                    seen = now
            stopped = _stopped(child, log)
        finally:
            _let_go(child)
    if stopped is not None:
        raise DeepicdError(
            f"{site.base_url}: {stopped}; the crawl gave up with {len(cache.codes()) - had:,} of "
            f"{len(codes):,} pages fetched.",
            "Check the address and the connection; pages fetched are kept, and the same command goes on from there.",
        )


def _tell(child: "subprocess.Popen[bytes]", job: Job) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already; `_stopped` says so
        child.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        child.stdin.flush()


def _wait(child: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        child.wait(LOOK_EVERY)


def _stopped(child: "subprocess.Popen[bytes]", log: Path) -> str | None:
    """Why an ended crawl gave up; None where every page was asked for."""
    assert child.stdout is not None
    try:
        reason: str | None = json.loads(child.stdout.read())["stopped"]
    except ValueError as error:  # no word from it: it crashed, or somebody killed it
        raise DeepicdError(
            f"The crawl ended early with exit code {child.returncode}; its log is {log}.",
            "What was fetched is kept: the same command goes on from there.",
        ) from error
    return reason


def _let_go(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(LET_GO)
    except subprocess.TimeoutExpired:
        child.kill()
