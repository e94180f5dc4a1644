"""Downloads from a PhysioNet on loopback that has the faults of the real one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import sleep

import pytest
from physionet_site import PASSWORD, USER, Fault, Site, files, serving

from builders.physionet.fetch import fetch
from builders.physionet.session import Account
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy
from deepicd.lease import LOCK, hold_lease

NOTES = "mimic-iv-note/2.2/note/discharge.csv.gz"
EXPECTED = [
    "mimic-iv-note/2.2/LICENSE.txt",
    "mimic-iv-note/2.2/SHA256SUMS.txt",
    "mimic-iv-note/2.2/note/discharge.csv.gz",
    "mimiciv/3.1/LICENSE.txt",
    "mimiciv/3.1/SHA256SUMS.txt",
    "mimiciv/3.1/hosp/admissions.csv.gz",
    "mimiciv/3.1/hosp/d_icd_diagnoses.csv.gz",
    "mimiciv/3.1/hosp/diagnoses_icd.csv.gz",
    "mimiciv/3.1/hosp/patients.csv.gz",
    "mimiciv/3.1/icu/icustays.csv.gz",
]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files())) as site:
        yield site


def bring(site: Site, folder: Path, *, user_agent: str = USER_AGENT, **versions: str) -> list[Path]:
    account = Account(USER, PASSWORD)
    return fetch(
        folder,
        site.url,
        lambda: account,
        versions,
        user_agent=user_agent,
        policy=RetryPolicy(attempts=4, first_wait=0.01),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_only_what_is_needed_comes(site, tmp_path):
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED
    assert all((tmp_path / name).read_bytes() == site.files[name] for name in EXPECTED)


def test_a_second_run_asks_for_nothing_not_even_the_password(site, tmp_path):
    bring(site, tmp_path)
    before = len(site.requests)

    def account() -> Account:
        raise AssertionError

    assert fetch(tmp_path, site.url, account, {}) == []
    assert len(site.requests) == before


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(breaks_after=1000)],
        [Fault(breaks_after=1000)] * 6,  # more often than the policy allows, but each one brings something
        [Fault(breaks_after=0)] * 3,
        [Fault(500), Fault(503)],
        [Fault(429, {"Retry-After": "0"})],
        [Fault(garbled=True)],
        [Fault(garbled=True, breaks_after=1000)],
        [Fault(breaks_after=1000), Fault(416, {"Content-Range": "bytes */1"})],
        [Fault(breaks_after=1000), Fault(sends=500), Fault(206, {"Content-Range": "bytes 7-8/9"})],
    ],
    ids=["drop", "drops", "nothing", "5xx", "429", "wrong bytes", "wrong beginning", "wrong 416", "wrong 206"],
)
def test_faults_that_pass_are_survived(faults, site, tmp_path):
    site.faults["discharge.csv.gz"] = list(faults)
    bring(site, tmp_path)
    assert site.faults["discharge.csv.gz"] == []
    assert names(tmp_path) == EXPECTED
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]


def test_a_broken_download_goes_on_where_it_stopped(site, tmp_path):
    site.faults["discharge.csv.gz"] = [Fault(breaks_after=1000)]
    bring(site, tmp_path)
    first, second = site.asked("discharge.csv.gz")
    assert "range" not in first
    assert second["range"] == "bytes=1000-"
    assert second["if-range"].startswith('"')


def interrupted(site: Site, folder: Path) -> Path:
    """A run that ends with the first thousand bytes of the notes."""
    site.faults["discharge.csv.gz"] = [Fault(breaks_after=1000), *[Fault(503)] * 4]
    with pytest.raises(DeepicdError, match="503 Service Unavailable; gave up after 4 tries in a row"):
        bring(site, folder)
    return folder / f"{NOTES}.part"


def test_another_run_goes_on_where_the_last_one_gave_up(site, tmp_path):
    part = interrupted(site, tmp_path)
    assert part.stat().st_size == 1000
    assert not (tmp_path / NOTES).exists()
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED
    assert site.asked("discharge.csv.gz")[-1]["range"] == "bytes=1000-"


def test_a_file_that_changed_between_two_runs_is_fetched_anew(site, tmp_path):
    interrupted(site, tmp_path)
    sums = "mimic-iv-note/2.2/SHA256SUMS.txt"
    site.files[NOTES] = b"Another state of the notes. " * 3000
    digest = sha256(site.files[NOTES]).hexdigest()
    site.files[sums] = f"{digest} note/discharge.csv.gz\n".encode()
    (tmp_path / sums).unlink()  # as its user must, who learns that the checksum is not met
    bring(site, tmp_path)
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]
    assert len(site.asked("discharge.csv.gz")) == 1 + 4 + 1  # begun, refused, all of it in answer to If-Range


def test_two_states_without_an_etag_are_told_apart_by_the_checksum(site, tmp_path):
    site.etags = False
    part = interrupted(site, tmp_path)
    part.write_bytes(b"x" * 1000)
    bring(site, tmp_path)
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]


def test_a_server_may_send_less_than_the_rest(site, tmp_path):
    site.faults["discharge.csv.gz"] = [Fault(breaks_after=1000), Fault(sends=500)]
    bring(site, tmp_path)
    assert [asked.get("range") for asked in site.asked("discharge.csv.gz")] == [None, "bytes=1000-", "bytes=1500-"]
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]


def test_a_server_without_range_sends_all_of_it_again(site, tmp_path):
    site.ranges = False
    site.faults["discharge.csv.gz"] = [Fault(breaks_after=1000)]
    bring(site, tmp_path)
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]


def test_a_part_that_is_whole_only_takes_its_name(site, tmp_path):
    part = interrupted(site, tmp_path)
    part.write_bytes(site.files[NOTES])
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED
    assert len(site.asked("discharge.csv.gz")) == 1 + 4 + 1  # begun, refused, and 416


@pytest.mark.parametrize("damage", [b"", b"short", b"?" * 10_000], ids=["empty", "short", "other"])
def test_a_damaged_file_is_mended_and_nothing_else_fetched(damage, site, tmp_path):
    bring(site, tmp_path)
    (tmp_path / NOTES).write_bytes(damage)
    assert bring(site, tmp_path) == [tmp_path / NOTES]
    assert (tmp_path / NOTES).read_bytes() == site.files[NOTES]


def test_bytes_that_stay_wrong_are_never_taken_for_the_file(site, tmp_path):
    site.faults["discharge.csv.gz"] = [Fault(garbled=True)] * 2
    with pytest.raises(DeepicdError, match="was received twice with wrong bytes"):
        bring(site, tmp_path)
    assert list((tmp_path / NOTES).parent.iterdir()) == []


def test_a_web_page_is_never_taken_for_the_list_of_checksums(site, tmp_path):
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = b"<html>We are moving</html>"
    with pytest.raises(DeepicdError, match="it is not a list of checksums"):
        bring(site, tmp_path)
    assert names(tmp_path) == []


def test_another_version_comes_from_its_own_folder(site, tmp_path):
    site.files |= {path.replace("3.1", "2.2"): content for path, content in site.files.items() if "mimiciv" in path}
    bring(site, tmp_path, mimiciv="2.2")
    assert (tmp_path / "mimiciv" / "2.2" / "hosp" / "patients.csv.gz").is_file()
    assert not (tmp_path / "mimiciv" / "3.1").exists()


def test_a_wrong_password_is_said_to_be_one(site, tmp_path):
    with pytest.raises(DeepicdError, match=f"does not accept the password of {USER}"):
        fetch(tmp_path, site.url, lambda: Account(USER, "wrong"), {})
    assert len(site.requests) == 1


def test_a_missing_agreement_names_the_project_and_its_page_before_any_table_comes(site, tmp_path):
    site.unsigned = {"mimic-iv-note"}
    with pytest.raises(DeepicdError) as refusal:
        bring(site, tmp_path)
    assert "sam has no access to MIMIC-IV-Note 2.2: its agreement is not signed" in str(refusal.value)
    assert f"{site.url}/content/mimic-iv-note/2.2/" in str(refusal.value)
    assert names(tmp_path) == ["mimiciv/3.1/SHA256SUMS.txt"]


def test_a_site_that_does_not_know_this_program_is_told_from_a_missing_agreement(site, tmp_path):
    site.known_clients = ("Wget/", "libwfdb/")
    with pytest.raises(DeepicdError) as refusal:
        bring(site, tmp_path)
    assert f"it does not let a program log in that calls itself {USER_AGENT}" in str(refusal.value)
    assert f"--ask-password -P {tmp_path} {site.url}/files/mimiciv/3.1/SHA256SUMS.txt" in str(refusal.value)
    assert f"{site.url}/files/{NOTES}" in str(refusal.value)


def test_the_user_may_say_what_the_program_calls_itself(site, tmp_path):
    site.known_clients = ("ours/",)
    bring(site, tmp_path, user_agent="ours/1 (deepicd)")
    assert names(tmp_path) == EXPECTED


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(404), "has no hosp/patients.csv.gz of mimiciv 3.1"),
        (Fault(410), "answers 410 Gone"),
        (Fault(429, {"Retry-After": "86400"}), "asks to wait 24.0 hours; gave up after 1 try"),
        (Fault(302, {"Location": "https://elsewhere.example/file"}), "redirects to another host, elsewhere.example"),
        (Fault(302, {"Location": "/login/?next=/files/"}), "does not accept the password"),
        (Fault(200, {"Content-Type": "text/html; charset=utf-8"}), "answers with a web page"),
    ],
    ids=["404", "410", "429", "other host", "login", "page"],
)
def test_what_will_not_pass_ends_the_run_at_once(fault, message, site, tmp_path):
    site.faults["patients.csv.gz"] = [fault]
    with pytest.raises(DeepicdError, match=message):
        bring(site, tmp_path)
    assert len(site.asked("patients.csv.gz")) == 1


def test_the_password_does_not_follow_a_redirect_to_another_host(site, tmp_path):
    with serving(Site(files())) as other:
        site.faults["patients.csv.gz"] = [
            Fault(302, {"Location": f"{other.url}/files/mimiciv/3.1/hosp/patients.csv.gz"})
        ]
        with pytest.raises(DeepicdError, match="another host"):
            bring(site, tmp_path)
        assert other.requests == []


def test_a_redirect_on_the_same_host_is_followed(site, tmp_path):
    site.faults["patients.csv.gz"] = [Fault(302, {"Location": "/files/mimiciv/3.1/hosp/patients.csv.gz"})]
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED


def test_a_site_that_cannot_be_reached(tmp_path):
    with pytest.raises(DeepicdError, match=r"127\.0\.0\.1 cannot be reached; gave up after 3 tries"):
        fetch(
            tmp_path,
            "http://127.0.0.1:9",
            lambda: Account(USER, PASSWORD),
            {},
            policy=RetryPolicy(attempts=3, first_wait=0.01),
        )


@pytest.mark.parametrize("version", ["../../etc", "3.1/..", "latest", ""])
def test_what_is_no_version_is_refused(version, site, tmp_path):
    with pytest.raises(DeepicdError, match="is not a version of MIMIC-IV"):
        bring(site, tmp_path, mimiciv=version)
    assert site.requests == []


def test_a_killed_run_leaves_no_file_that_looks_whole_and_the_next_one_goes_on(site, tmp_path):
    site.faults["discharge.csv.gz"] = [Fault(breaks_after=30_000, hangs=True)]
    command = ["-m", "deepicd", "physionet", "fetch", "--user", USER, "--base-url", site.url, str(tmp_path)]
    environment = os.environ | {"DEEPICD_PHYSIONET_PASSWORD": PASSWORD}
    with subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL) as run:
        part = tmp_path / f"{NOTES}.part"
        while run.poll() is None and not (part.is_file() and part.stat().st_size):
            sleep(0.01)
        run.kill()
    assert not (tmp_path / NOTES).exists()
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED
    assert "if-range" in site.asked("discharge.csv.gz")[-1]


def test_two_processes_do_not_write_into_one_folder(site, tmp_path):
    with (
        hold_lease(tmp_path / LOCK, f"fetching into {tmp_path}"),
        pytest.raises(DeepicdError, match="Another process is fetching"),
    ):
        bring(site, tmp_path)
    bring(site, tmp_path)
    assert names(tmp_path) == EXPECTED
