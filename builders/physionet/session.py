"""Requests to PhysioNet: the password goes to one host only, and refusals are explained.

PhysioNet accepts a password only from programs whose User-Agent it knows, and answers 403 to all others
(MIT-LCP/physionet-build, `http_auth_allowed`), as it does to an account without access. To tell the two apart, the same
address is requested without a password: 401 means that this program may log in, so the account lacks access.

The password comes from the environment, from netrc or from a prompt. It is never an option of a command, which others
on the machine could see in the process list, and never part of a message.
"""

import netrc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from builders.physionet.releases import Project
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy, TransientError, raise_if_transient
from deepicd.storage import expand_home

if TYPE_CHECKING:
    import ssl

    import httpx

PHYSIONET = "https://physionet.org"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
POLICY = RetryPolicy(attempts=8, first_wait=2.0)
"""Attempts in a row that bring no byte; a download that makes progress may be interrupted any number of times."""
REDIRECTS = 5
PASSWORD = "DEEPICD_PHYSIONET_PASSWORD"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Account:
    """A PhysioNet account. Its `repr` leaves the password out."""

    user: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Session:
    """Authenticated access to one version of one project.

    with Session(base_url, account, MIMIC, "3.1") as session, session.get("hosp/patients.csv.gz") as response:
        response.status_code, response.iter_raw()
    """

    base_url: str
    account: Account
    project: Project
    version: str
    user_agent: str = USER_AGENT
    by_hand: str = ""
    """Commands that fetch the same files with wget, for a site that does not let this program log in."""
    _client: "httpx.Client" = field(init=False, repr=False)

    def __enter__(self) -> "Session":
        self._client = self._open_client()
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
        """Yield the response to a request for a file of the project, its body unread; status 200, 206 or 416.

        Raises TransientError for a failure that may pass and DeepicdError for one that will not, also while the body is
        read.
        """
        import httpx

        url = self.url(path)
        try:
            for _ in range(REDIRECTS):
                with self._client.stream("GET", url, headers=dict(headers), auth=self._auth) as response:
                    if not response.has_redirect_location:
                        self._check_response(path, response)
                        yield response
                        return
                    url = self._resolve_redirect(url, response)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TransientError(f"{urlsplit(url).hostname} {_describe_failure(error)}") from error
        raise DeepicdError(f"{self.url(path)} redirects in a circle.", "Check --base-url, or try again later.")

    @property
    def _auth(self) -> tuple[str, str]:
        return self.account.user, self.account.password

    def _open_client(self) -> "httpx.Client":
        import httpx

        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity"}  # gzip on the way would break Range
        return httpx.Client(
            headers=headers, timeout=POLICY.timeout, follow_redirects=False, verify=_load_certificates()
        )

    def _resolve_redirect(self, url: str, response: "httpx.Response") -> str:
        """Return the target of a redirect. Raises for another host: the password is for this one."""
        target = response.url.join(response.headers["Location"])
        if (target.scheme, target.host, target.port) != (response.url.scheme, response.url.host, response.url.port):
            raise DeepicdError(
                f"{url} redirects to another host, {target.host}; the password is for {response.url.host} and was not"
                " sent there.",
                "Look at the project's page in a browser: " + self.page,
            )
        if "login" in target.path:
            raise self._wrong_password_error()
        return str(target)

    def _check_response(self, path: str, response: "httpx.Response") -> None:
        """Raise unless the response is a file, part of one, or 416 (nothing left of it)."""
        status = response.status_code
        if status in (200, 206) and response.headers.get("Content-Type", "").startswith("text/html"):
            raise DeepicdError(
                f"{self.url(path)} answers with a web page instead of a file.",
                f"Look at the project's page in a browser: {self.page}",
            )
        if status in (200, 206, 416):
            return
        if status == 401:
            raise self._wrong_password_error()
        if status == 403:
            raise self._explain_refusal(path)
        if status == 404:
            raise DeepicdError(
                f"{self.base_url} has no {path} of {self.project.slug} {self.version}.",
                f"See which versions there are: {self.base_url}/content/{self.project.slug}/",
            )
        raise_if_transient(response)
        raise DeepicdError(
            f"{self.url(path)} answers {status} {response.reason_phrase}.", f"Look at the project's page: {self.page}"
        )

    def _wrong_password_error(self) -> DeepicdError:
        return DeepicdError(
            f"{self.base_url} does not accept the password of {self.account.user}.",
            f"Check the name and password in a browser: {self.base_url}/login/",
        )

    def _explain_refusal(self, path: str) -> DeepicdError:
        """Return the error for a 403, after requesting the file once more without a password."""
        with self._open_client() as client, client.stream("GET", self.url(path)) as response:
            is_refused_to_all = response.status_code == 403
        name = f"{self.project.title} {self.version}"
        if is_refused_to_all:
            return DeepicdError(
                f"{self.base_url} answers 403 (forbidden) with and without a password: it does not let a program log in"
                f" that calls itself {self.user_agent}.",
                f"Check in a browser whether you have access to the files: {self.page}\n"
                f"If so, fetch them with the program that this page names:\n{self.by_hand}",
            )
        return DeepicdError(
            f"{self.account.user} has no access to {name}: its agreement is not signed, or the training that it"
            " requires is missing or out of date.",
            f"Each project has its own agreement; sign this one at the foot of {self.page}",
        )


def check_base_url(text: str) -> str:
    """Return the address without a final slash. Raises DeepicdError unless it is https or on this machine."""
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise DeepicdError("--base-url holds a user name or password.", "Leave it out and pass the account as --user.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeepicdError(f"{text} is not a web address.", f"Give one with its scheme, for instance {PHYSIONET}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise DeepicdError(f"{text} would transmit the password unencrypted.", "Use its https address.")
    return text.rstrip("/")


def find_account(user: str | None, host: str) -> Account:
    """Return the account to use on a host; without `user`, the one in netrc. Raises DeepicdError if there is none."""
    login, password = _read_netrc(host)
    user = user or login
    if user is None:
        raise DeepicdError(
            f"There is no account for {host}: neither --user nor netrc names one.",
            "Name it: deepicd physionet fetch --user NAME DIR, or add it to ~/.netrc.",
        )
    if secret := os.environ.get(PASSWORD):
        return Account(user, secret)
    if password and login == user:
        return Account(user, password)
    if not sys.stdin.isatty():
        raise DeepicdError(
            f"There is no password for {user}, and no terminal to ask for it.",
            f"Put it into the environment as {PASSWORD}, or into ~/.netrc: machine {host} login {user} password …",
        )
    return Account(user, click.prompt(f"PhysioNet password of {user}", hide_input=True, err=True))


def _read_netrc(host: str) -> tuple[str | None, str | None]:
    """Return the login and password in netrc (NETRC, else ~/.netrc) for a host; (None, None) if it has none."""
    path = expand_home(os.environ.get("NETRC") or "~/.netrc")
    if not path.is_file():
        return None, None
    try:
        entry = netrc.netrc(path).authenticators(host)
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        line = f" at line {error.lineno}" if isinstance(error, netrc.NetrcParseError) and error.lineno else ""
        # its own message may quote a password
        raise DeepicdError(f"{path} cannot be read as netrc{line}.", "Correct or remove that line.") from None
    return (entry[0], entry[2]) if entry else (None, None)


@cache
def _load_certificates() -> "ssl.SSLContext":
    """Return the trusted certificate authorities; reading them takes too long to do it per session."""
    import httpx

    return httpx.create_ssl_context()


def _describe_failure(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"did not answer for {POLICY.timeout:.0f} s"
    return "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection"
