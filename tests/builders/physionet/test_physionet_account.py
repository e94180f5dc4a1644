"""Where the password comes from, and that it shows up nowhere."""

import logging
import os
import pty
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Deepicd
from physionet_site import PASSWORD, USER, Fault, Site, files, serving

from builders.physionet.session import Account, check_base_url, find_account
from deepicd.errors import DeepicdError

VARIABLE = "DEEPICD_PHYSIONET_PASSWORD"


@pytest.fixture(autouse=True)
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A netrc of the test's own, and no password in the environment."""
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return path


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files())) as site:
        yield site


def test_netrc_names_account_and_password(netrc):
    netrc.write_text("machine physionet.org login sam password secret\n")
    assert find_account(None, "physionet.org") == find_account("sam", "physionet.org") == Account("sam", "secret")


def test_the_environment_comes_before_netrc(netrc, monkeypatch):
    netrc.write_text("machine physionet.org login sam password old\n")
    monkeypatch.setenv(VARIABLE, "new")
    assert find_account(None, "physionet.org") == Account("sam", "new")


def test_netrc_gives_no_password_to_another_account_or_host(netrc):
    netrc.write_text("machine physionet.org login sam password secret\n")
    for user, host in [("alex", "physionet.org"), ("sam", "physionet.example")]:
        with pytest.raises(DeepicdError, match=f"no password for {user}, and no terminal"):
            find_account(user, host)


def test_without_any_name_there_is_no_account():
    with pytest.raises(DeepicdError, match="There is no account for"):
        find_account(None, "physionet.org")


def test_a_broken_netrc_is_named_by_its_line_and_not_quoted(netrc):
    netrc.write_text("machine physionet.org\n  login sam pasword secret\n")
    with pytest.raises(DeepicdError) as error:
        find_account("sam", "physionet.org")
    assert f"{netrc} cannot be read as netrc at line" in str(error.value)
    assert "secret" not in str(error.value)


def test_an_account_does_not_print_its_password():
    assert repr(Account("sam", "secret")) == "Account(user='sam')"


def test_a_terminal_is_asked_and_does_not_show_what_is_typed(site, tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        command = ["-m", "deepicd", "physionet", "fetch", "--user", USER, "--base-url", site.url, str(tmp_path)]
        os.execv(sys.executable, [sys.executable, *command])
    shown = b""
    while b"password of sam" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, PASSWORD.encode() + b"\n")
    while more := _read(terminal):
        shown += more
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown.decode()
    assert PASSWORD.encode() not in shown
    assert (tmp_path / "mimic-iv-note" / "2.2" / "note" / "discharge.csv.gz").is_file()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # Linux's way to say that the other side has closed
        return b""


@pytest.mark.parametrize(
    "trouble",
    [
        lambda site: None,
        lambda site: site.unsigned.add("mimiciv"),
        lambda site: setattr(site, "known_clients", ("Wget/",)),
        lambda site: site.faults.update({"patients.csv.gz": [Fault(garbled=True)] * 2}),
        lambda site: site.faults.update({"patients.csv.gz": [Fault(302, {"Location": "https://elsewhere.example/"})]}),
        lambda site: site.files.clear(),
    ],
    ids=["none", "no agreement", "unknown program", "wrong bytes", "redirect", "nothing there"],
)
def test_no_output_log_or_file_holds_the_password(trouble, site, tmp_path, deepicd: Deepicd, monkeypatch, caplog):
    monkeypatch.setenv(VARIABLE, PASSWORD)
    caplog.set_level(logging.DEBUG)
    trouble(site)
    outcome = deepicd("physionet", "fetch", "--user", USER, "--base-url", site.url, tmp_path / "copy")
    assert outcome.code in (0, 1)
    assert "Traceback" not in outcome.err
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (PASSWORD, b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert secret not in outcome.out + outcome.err + caplog.text
        assert secret.encode() not in written


def test_no_option_takes_a_password(tmp_path, deepicd: Deepicd):
    assert deepicd("physionet", "fetch", "--password", PASSWORD, tmp_path).code == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://physionet.org", "would transmit the password unencrypted"),
        ("ftp://physionet.org", "is not a web address"),
        ("physionet.org", "is not a web address"),
        ("https://sam:secret@physionet.org", "holds a user name or password"),
    ],
)
def test_a_password_is_sent_by_https_only(url, message):
    with pytest.raises(DeepicdError, match=message) as error:
        check_base_url(url)
    assert "secret" not in str(error.value)


def test_fetch_prints_the_files_and_then_that_there_is_nothing_to_do(site, tmp_path, deepicd: Deepicd, monkeypatch):
    monkeypatch.setenv(VARIABLE, PASSWORD)
    command = ["physionet", "fetch", "--user", USER, "--base-url", site.url, tmp_path / "copy"]
    first, second = deepicd(*command), deepicd(*command)
    assert (first.code, second.code) == (0, 0)
    assert len(first.out.splitlines()) == 10
    assert "10 files fetched" in first.err
    assert second.out == ""
    assert "nothing to fetch" in second.err
