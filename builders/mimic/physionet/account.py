"""Who asks: a PhysioNet account. The password comes from the environment, from netrc or from a prompt.

It is never an option of a command, which others on the machine could read in the list of processes, and never part of
a message: `repr` of an account leaves it out.
"""

import netrc
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from deepicd.errors import DeepicdError

PASSWORD = "DEEPICD_PHYSIONET_PASSWORD"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Account:
    user: str
    password: str = field(repr=False)


def find_account(user: str | None, host: str) -> Account:
    """The account to use on a host; without `user` the one that netrc names. Raises DeepicdError for none."""
    login, password = _from_netrc(host)
    user = user or login
    if user is None:
        raise DeepicdError(
            f"No account is named for {host}.", "Name it: deepicd physionet fetch --user NAME DIR, or in ~/.netrc."
        )
    if given := os.environ.get(PASSWORD):
        return Account(user, given)
    if password and login == user:
        return Account(user, password)
    if not sys.stdin.isatty():
        raise DeepicdError(
            f"There is no password for {user}, and no terminal to ask for it.",
            f"Put it into the environment as {PASSWORD}, or into ~/.netrc: machine {host} login {user} password …",
        )
    return Account(user, click.prompt(f"PhysioNet password of {user}", hide_input=True, err=True))


def _from_netrc(host: str) -> tuple[str | None, str | None]:
    """Login and password that netrc (NETRC, else ~/.netrc) holds for a host; (None, None) for none."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not path.is_file():
        return None, None
    try:
        found = netrc.netrc(path).authenticators(host)
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        line = f" at line {error.lineno}" if isinstance(error, netrc.NetrcParseError) and error.lineno else ""
        # its own message may quote a password
        raise DeepicdError(f"{path} cannot be read as netrc{line}.", "Mend or remove that line.") from None
    return (found[0], found[2]) if found else (None, None)
