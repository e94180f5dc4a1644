"""Requests to PhysioNet: the password goes to one host only, busy servers are waited for, refusals are explained.

PhysioNet takes a password from programs that it knows by their User-Agent, and answers 403 to all others, agreement or
not (MIT-LCP/physionet-build, `http_auth_allowed`). Which 403 it is shows when the same address is asked for without a
password: 401 means that this program may log in, so it is the account that has no access.
"""

import email.utils
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builders.mimic.physionet.account import Account
from builders.mimic.physionet.releases import Project
from deepicd import __version__
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import ssl

    import httpx

PHYSIONET = "https://physionet.org"
USER_AGENT = f"deepicd/{__version__}"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TIMEOUT = 60.0  # seconds without a byte
REDIRECTS = 5
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a server that does not answer, or drops connections."""

    attempts: int = 8
    """In a row that bring not one byte; a download that gets on may be interrupted any number of times."""
    first: float = 2.0
    """Seconds before the second attempt; twice as many before each one after it."""
    longest: float = 300.0
    """Seconds; a server that asks for more (Retry-After) is not waited for."""

    def wait(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures in a row, of which the last came with a Retry-After or without."""
        if asked is not None:
            return asked
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(0.75, 1.0)


class Trouble(Exception):
    """A failure that may pass: no connection, a broken one, a busy server. `wait` is its Retry-After in seconds."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


@dataclass(slots=True)
class Session:
    """Logged-in access to one version of one project.

    with Session(base_url, account, MIMIC, "3.1") as session, session.get("hosp/patients.csv.gz") as answer:
        answer.status_code, answer.iter_raw()
    """

    base_url: str
    account: Account
    project: Project
    version: str
    user_agent: str = USER_AGENT
    by_hand: str = ""
    """Commands that fetch the same without this program, for a site that does not let it log in."""
    _client: "httpx.Client" = field(init=False, repr=False)

    def __enter__(self) -> "Session":
        self._client = self._new_client()
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    @property
    def page(self) -> str:
        """The project's page, where its agreement is signed."""
        return f"{self.base_url}/content/{self.project.slug}/{self.version}/"

    def url(self, path: str) -> str:
        return f"{self.base_url}/files/{self.project.slug}/{self.version}/{path}"

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> "Iterator[httpx.Response]":
        """The answer to a request for a file of the project, its body not read yet; status 200, 206 or 416.

        Raises Trouble for what may pass and DeepicdError for what will not. Both also while the body is read.
        """
        import httpx

        url = self.url(path)
        try:
            for _ in range(REDIRECTS):
                with self._client.stream("GET", url, headers=dict(headers), auth=self._auth) as answer:
                    if not answer.has_redirect_location:
                        self._check(path, answer)
                        yield answer
                        return
                    url = self._same_host(url, answer)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Trouble(f"{urlsplit(url).hostname} {_in_words(error)}") from error
        raise DeepicdError(f"{self.url(path)} redirects in a circle.", "Check --base-url, or try again later.")

    @property
    def _auth(self) -> tuple[str, str]:
        return self.account.user, self.account.password

    def _new_client(self) -> "httpx.Client":
        import httpx

        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity"}  # gzip on the way would break Range
        return httpx.Client(headers=headers, timeout=TIMEOUT, follow_redirects=False, verify=_certificates())

    def _same_host(self, url: str, answer: "httpx.Response") -> str:
        """Where a redirect leads. Raises for another host: the password is for this one."""
        target = answer.url.join(answer.headers["Location"])
        if (target.scheme, target.host, target.port) != (answer.url.scheme, answer.url.host, answer.url.port):
            raise DeepicdError(
                f"{url} redirects to another host, {target.host}; the password is for {answer.url.host} and was not"
                " sent there.",
                "Look at the project's page in a browser: " + self.page,
            )
        if "login" in target.path:
            raise self._wrong_password()
        return str(target)

    def _check(self, path: str, answer: "httpx.Response") -> None:
        """Raise unless the answer is a file, part of one, or 416 (nothing left of it)."""
        status = answer.status_code
        if status in (200, 206) and answer.headers.get("Content-Type", "").startswith("text/html"):
            raise DeepicdError(
                f"{self.url(path)} answers with a web page instead of a file.",
                f"Look at the project's page in a browser: {self.page}",
            )
        if status in (200, 206, 416):
            return
        if status == 401:
            raise self._wrong_password()
        if status == 403:
            raise self._refused(path)
        if status == 404:
            raise DeepicdError(
                f"{self.base_url} has no {path} of {self.project.slug} {self.version}.",
                f"See which versions there are: {self.base_url}/content/{self.project.slug}/",
            )
        if status in BUSY:
            raise Trouble(f"{answer.url.host} answers {status} {answer.reason_phrase}", retry_after(answer.headers))
        raise DeepicdError(
            f"{self.url(path)} answers {status} {answer.reason_phrase}.", f"Look at the project's page: {self.page}"
        )

    def _wrong_password(self) -> DeepicdError:
        return DeepicdError(
            f"{self.base_url} does not accept the password of {self.account.user}.",
            f"Try name and password in a browser: {self.base_url}/login/",
        )

    def _refused(self, path: str) -> DeepicdError:
        """What a 403 means, found out by asking once more without a password."""
        with self._new_client() as stranger, stranger.stream("GET", self.url(path)) as answer:
            whoever_asks = answer.status_code == 403
        name = f"{self.project.title} {self.version}"
        if whoever_asks:
            return DeepicdError(
                f"{self.base_url} answers 403 (forbidden) with a password and without: it lets no program log in that"
                f" calls itself {self.user_agent}.",
                f"See in a browser whether the files are open to you: {self.page}\n"
                f"If so, fetch them with the program that this page names:\n{self.by_hand}",
            )
        return DeepicdError(
            f"{self.account.user} has no access to {name}: its agreement is not signed, or the training that it asks"
            " for is missing or out of date.",
            f"Each project has an agreement of its own; sign this one at the foot of {self.page}",
        )


def check_base_url(text: str) -> str:
    """An address to send a password to. Raises DeepicdError unless it is https, or on this very machine."""
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise DeepicdError("--base-url holds a user name or password.", "Leave it out and name the account by --user.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeepicdError(f"{text} is not a web address.", f"Name one with its scheme, for instance {PHYSIONET}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise DeepicdError(f"{text} would carry the password in the clear.", "Use its https address.")
    return text.rstrip("/")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from a number or a date; None where it does not say.

    >>> retry_after({"Retry-After": "120"}), retry_after({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    (120.0, 0.0)
    """
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


@cache
def _certificates() -> "ssl.SSLContext":
    """The authorities to trust, read once and not for each session."""
    import httpx

    return httpx.create_ssl_context()


def _in_words(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"did not answer for {TIMEOUT:.0f} s"
    return "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection off"
