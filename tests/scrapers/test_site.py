"""Addresses, which hosts are public, and what a public host is told."""

import pytest

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers.site import LOOPBACK_PACE, PUBLIC_PACE, Site


@pytest.mark.parametrize(
    ("language", "code", "url"),
    [
        ("de", "A00.0", "https://gesund.bund.de/icd-code-suche/a00-0"),
        ("de", "I10", "https://gesund.bund.de/icd-code-suche/i10"),
        ("en", "G20.90", "https://gesund.bund.de/en/icd-code-search/g20-90"),
    ],
)
def test_the_address_of_a_code(language, code, url):
    assert Site.parse("https://gesund.bund.de/", language).page_url(Code.parse(code)) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80", "http://127.8.8.8"])
def test_this_machine_is_asked_without_delay(url):
    assert Site.parse(url, "de").pace == LOOPBACK_PACE


@pytest.mark.parametrize("url", ["https://gesund.bund.de", "http://10.0.0.1", "http://localhost.example.org"])
def test_any_other_host_is_asked_slowly_and_given_a_contact(url):
    site = Site.parse(url, "de")
    assert site.pace == PUBLIC_PACE
    assert site.build_user_agent("me@example.org").endswith(" (+mailto:me@example.org)")
    with pytest.raises(DeepicdError, match="no contact is given"):
        site.build_user_agent(None)


@pytest.mark.parametrize("contact", ["me", "me@example", "me@example.org\r\nCookie: x", ""])
def test_a_contact_must_be_an_email_address(contact):
    with pytest.raises(DeepicdError, match="not an email address"):
        Site.parse("https://gesund.bund.de", "de").build_user_agent(contact)


@pytest.mark.parametrize(
    "url", ["", "gesund.bund.de", "ftp://x.org", "http://", "http://x:port", "http://[::1", "http://x/?q=1"]
)
def test_an_invalid_address_is_refused(url):
    with pytest.raises(DeepicdError, match="not the address of a site"):
        Site.parse(url, "de")


def test_a_site_on_this_machine_is_the_same_on_another_port():
    assert Site.parse("http://127.0.0.1:1", "de").name == Site.parse("http://localhost:2", "de").name
