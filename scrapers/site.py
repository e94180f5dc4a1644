"""A site of ICD-10-GM explanations: the addresses of its pages, how fast it may be asked, how the crawler names itself.

>>> Site.parse("https://gesund.bund.de", "de").page_url(Code.parse("T75.4"))
'https://gesund.bund.de/icd-code-suche/t75-4'

The site's robots.txt, terms of reuse and rate limits are unknown, so the crawler is slow and names a contact.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from deepicd import __version__
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code

Language = Literal["de", "en"]

GESUND_URL = "https://gesund.bund.de"
PATHS: dict[Language, str] = {"de": "icd-code-suche", "en": "en/icd-code-search"}
ROBOT_NAME = "deepicd"  # how robots.txt may address the crawler
MADE_UP_HEADER = "X-Made-Up"  # sent by a site whose texts are made up, as the sample site's are
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
SLUG = re.compile(r"[a-z][0-9]{2}(?:-[0-9]{1,2})?", re.ASCII | re.IGNORECASE)  # 'a00-b99' is a page that lists codes


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a host may be asked."""

    delay: float  # seconds between two requests; robots.txt and AutoThrottle may lengthen it
    back_off: float  # seconds before the first retry of a failed request, doubled for each further one
    timeout: float  # seconds


PUBLIC_PACE = Pace(delay=1.0, back_off=5.0, timeout=30.0)
LOOPBACK_PACE = Pace(delay=0.0, back_off=0.05, timeout=10.0)


@dataclass(frozen=True, slots=True)
class Site:
    """One language of a site."""

    base_url: str
    """Without a slash at its end."""
    language: Language
    host: str
    pace: Pace

    @classmethod
    def parse(cls, base_url: str, language: Language, pace: Pace | None = None) -> "Site":
        """Return the site at an address. Raises DeepicdError unless it is the http(s) address of a host.

        The pace depends on whether the host is this machine; pass another one only for tests on loopback.
        """
        try:
            parts = urlsplit(base_url.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise DeepicdError(f"{base_url!r} is not the address of a site.", f"Expected: --base-url {GESUND_URL}")
        pace = pace or (PUBLIC_PACE if _is_public(host) else LOOPBACK_PACE)
        return cls(base_url.strip().rstrip("/"), language, host, pace)

    @property
    def section_url(self) -> str:
        """The address below which the site has its pages about ICD codes."""
        return f"{self.base_url}/{PATHS[self.language]}"

    def page_url(self, code: Code) -> str:
        """Return the address of a code's page: in lower case, with a hyphen for the dot."""
        return f"{self.section_url}/{str(code).lower().replace('.', '-')}"

    @property
    def is_public(self) -> bool:
        """Whether the host is not this machine."""
        return _is_public(self.host)

    @property
    def name(self) -> str:
        """What identifies the site from one crawl to the next; a port on this machine does not."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc if self.is_public else 'loopback'}{parts.path}"

    def build_user_agent(self, contact: str | None) -> str:
        """Return the crawler's name with its contact. Raises DeepicdError for a public host without a contact."""
        if contact is not None and not EMAIL.fullmatch(contact):
            raise DeepicdError(f"{contact!r} is not an email address.", "Pass yours: --contact NAME@EXAMPLE.ORG")
        if contact is None and self.is_public:
            raise DeepicdError(
                f"A crawl of {self.host} must name who runs it, and no contact is given.",
                "Pass an email address that its operators can write to: --contact NAME@EXAMPLE.ORG",
            )
        return f"{ROBOT_NAME}/{__version__}" + (f" (+mailto:{contact})" if contact else "")


def is_in_section(url: str, section_url: str) -> bool:
    """Return whether an address lies in the ICD section, on whichever port or scheme.

    >>> paths = ("/icd/a00", "/icd", "/icd-hilfe", "/login?to=/icd/a00")
    >>> [is_in_section(f"https://x.org{path}", "http://x.org/icd") for path in paths]
    [True, True, False, False]
    """
    path, section = urlsplit(url).path, urlsplit(section_url).path
    return path == section or path.startswith(f"{section}/")


def parse_target(url: str, section_url: str) -> str | None:
    """Return what an address in the section stands for: a dotted code or the path of a list; None outside of it.

    >>> paths = ("/icd/T75-4", "/icd/a00-b99", "/icd", "/faq")
    >>> [parse_target(f"https://x.org{path}", "https://x.org/icd") for path in paths]
    ['T75.4', '/a00-b99', '', None]
    """
    path = url.removeprefix(section_url)
    if path == url or path[:1] not in ("", "/", "?"):
        return None
    return str(Code.parse(path[1:].replace("-", "."))) if SLUG.fullmatch(path[1:]) else path


def _is_public(host: str) -> bool:
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
