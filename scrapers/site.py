"""The site that is asked: the address of each code's page, the pace it is asked at, and how the crawler names itself.

>>> Site.parse("https://gesund.bund.de", "de").url(Code.parse("T75.4"))
'https://gesund.bund.de/icd-code-suche/t75-4'

The site's robots.txt, terms of reuse and limits are unknown, so the pace is slow and the crawler gives a contact.
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

GESUND = "https://gesund.bund.de"
PATHS: dict[Language, str] = {"de": "icd-code-suche", "en": "en/icd-code-search"}
ROBOT = "deepicd"  # the name that robots.txt may address
MADE_UP = "X-Made-Up"  # header of a site whose texts are made up, as the sample site's are
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
SLUG = re.compile(r"[a-z][0-9]{2}(?:-[0-9]{1,2})?", re.ASCII | re.IGNORECASE)  # 'a00-b99' is a page that lists codes


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a host may be asked."""

    delay: float  # seconds between two requests; robots.txt and AutoThrottle may lengthen it
    back_off: float  # seconds before the first repetition of a failed request, doubled each time
    timeout: float  # seconds


PUBLIC = Pace(delay=1.0, back_off=5.0, timeout=30.0)
LOOPBACK = Pace(delay=0.0, back_off=0.05, timeout=10.0)


@dataclass(frozen=True, slots=True)
class Site:
    base_url: str
    """Without a slash at its end."""
    language: Language
    host: str
    pace: Pace

    @classmethod
    def parse(cls, base_url: str, language: Language, pace: Pace | None = None) -> "Site":
        """The site at an address; a `pace` other than this machine's or a public host's is for trials on loopback.

        Raises DeepicdError for what is no http(s) address of a host.
        """
        try:
            parts = urlsplit(base_url.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise DeepicdError(f"{base_url!r} is not the address of a site.", f"Give it as in --base-url {GESUND}")
        pace = pace or (PUBLIC if _is_public(host) else LOOPBACK)
        return cls(base_url.strip().rstrip("/"), language, host, pace)

    @property
    def section(self) -> str:
        """The address below which the site speaks of ICD codes."""
        return f"{self.base_url}/{PATHS[self.language]}"

    def url(self, code: Code) -> str:
        """The page of a code: in lower case, with a hyphen for the dot."""
        return f"{self.section}/{str(code).lower().replace('.', '-')}"

    @property
    def is_public(self) -> bool:
        """Whether it is anything but this machine."""
        return _is_public(self.host)

    @property
    def name(self) -> str:
        """What makes it the same site tomorrow; a port on this machine does not."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc if self.is_public else 'loopback'}{parts.path}"

    def user_agent(self, contact: str | None) -> str:
        """The crawler's name with a way to reach whoever runs it. Raises DeepicdError where a host must have one."""
        if contact is not None and not MAIL.fullmatch(contact):
            raise DeepicdError(f"{contact!r} is not a mail address.", "Name yours: --contact NAME@EXAMPLE.ORG")
        if contact is None and self.is_public:
            raise DeepicdError(
                f"A crawl of {self.host} must say who runs it, and no contact is given.",
                "Name a mail address that its operators can write to: --contact NAME@EXAMPLE.ORG",
            )
        return f"{ROBOT}/{__version__}" + (f" (+mailto:{contact})" if contact else "")


def place(url: str, section: str) -> str | None:
    """What an address in the section stands for: a code, dotted, or a place that lists codes; None outside of it.

    >>> [place(f"https://x.org{path}", "https://x.org/icd") for path in ("/icd/T75-4", "/icd/a00-b99", "/icd", "/faq")]
    ['T75.4', '/a00-b99', '', None]
    """
    rest = url.removeprefix(section)
    if rest == url or rest[:1] not in ("", "/", "?"):
        return None
    return str(Code.parse(rest[1:].replace("-", "."))) if SLUG.fullmatch(rest[1:]) else rest


def _is_public(host: str) -> bool:
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
