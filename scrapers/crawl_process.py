"""Run a crawl in a process of its own and watch it from this one.

A Twisted reactor cannot be started twice in a process, and a crawl that ends badly must not take its caller along. The
child (`python -m scrapers.spider`) reads its job from stdin, writes pages into the cache, its log to a file, and at the
end one line to stdout that says how it ended. When this process goes, however it goes, the child sees its stdin
close and goes too.
"""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from scrapers.monitor import Watch
from scrapers.page_store import Cache
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
    """What to ask for (a code, dotted, or a place in the section), and its address."""
    section: str
    room: int | None
    """How many pages of codes beyond these may be asked for where links are followed; None for any number."""
    follow: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        fields = json.loads(text)
        pending = [(code, url) for code, url in fields.pop("pending")]
        return cls(**(fields | {"pace": Pace(**fields["pace"]), "pending": pending}))


def download(job: Job, site: Site, pages: Cache, log: Path) -> None:
    """Ask the site for what is pending. Returns when each is in the cache, as a page or as a failure.

    Raises DeepicdError where the crawl gave up: the pages so far stay in the cache.
    """
    pages.forget_failures()
    had, before, watch = len(pages.codes()), pages.answered(), Watch(pages)
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
            stopped = None
            with track_progress(f"pages of {site.host}", None if job.follow else len(job.pending)) as advance:
                seen, ended = before, False
                while not ended and stopped is None:
                    ended = _ended(child)
                    stopped = watch.look()
                    now = pages.answered()
                    advance(now - seen, watch.status)
                    seen = now
            if stopped is None:
                stopped = _stopped(child, log)
        finally:
            _let_go(child)
    watch.end()
    if stopped is not None:
        of = "" if job.follow else f" of {len(job.pending):,}"
        raise DeepicdError(
            f"{site.base_url}: {stopped}; the crawl gave up with {len(pages.codes()) - had:,}{of} pages fetched.",
            "Look at the site in a browser, check address and connection; pages fetched are kept, and the same command "
            "goes on from there.",
        )


def _tell(child: "subprocess.Popen[bytes]", job: Job) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already; `_stopped` says so
        child.stdin.write(job.to_json().encode() + b"\n")
        child.stdin.flush()


def _ended(child: "subprocess.Popen[bytes]") -> bool:
    """Whether the child has gone, after waiting a little for it."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(LOOK_EVERY)
    return child.returncode is not None


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
