"""The guideline PDF of a fiscal year, fetched from the CMS.

The address is the one under which FY2025 and FY2026 were published; a year that was updated in April may stand under
another, and then the message says where to look. A file takes its name only when it has been recognised.
"""

import shutil
from http.client import HTTPException, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from deepicd import __version__, storage
from deepicd.errors import DeepicdError
from guidelines import document

CMS = "https://www.cms.gov"
ADDRESS = "/files/document/fy-{year}-icd-10-cm-coding-guidelines.pdf"
BY_HAND = f"Run the same command again, or download it by hand. {document.SOURCE_ADVICE}"
TIMEOUT = 30  # seconds without an answer


def download_guidelines(year: int, to: Path, base_url: str = CMS) -> Path:
    """Download the guideline of a year to a file, and return it; a file that is this guideline already is kept.

    Raises DeepicdError where no answer comes, or something else than the guideline of that year.
    """
    if to.exists():
        _recognise(to, year, str(to))
        return to
    url = base_url.rstrip("/") + ADDRESS.format(year=year)
    if not url.startswith(("https://", "http://")):
        raise DeepicdError(f"{base_url} is not a web address.", f"Name one with its scheme, for instance {CMS}")
    with storage.atomic_write(to) as tmp:
        _download(url, tmp)
        _recognise(tmp, year, url)
    return to


def _download(url: str, to: Path) -> None:
    try:
        request = Request(url, headers={"User-Agent": f"deepicd/{__version__}"})
        with urlopen(request, timeout=TIMEOUT) as answer, to.open("wb") as file:
            shutil.copyfileobj(answer, file)
            announced = answer.headers.get("Content-Length")
    except HTTPError as error:
        raise DeepicdError(
            f"{url} answers {error.code} {error.reason}.",
            f"The year may be published under another name: download it by hand. {document.SOURCE_ADVICE}",
        ) from error
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DeepicdError(f"No answer from {url}: {reason}.", "Check the connection, then run it again.") from error
    except (InvalidURL, ValueError) as error:
        raise DeepicdError(
            f"{url} is not a web address: {error}.", f"Name one as --base-url, for instance {CMS}"
        ) from error
    except HTTPException as error:  # a status line that is none, a body in pieces of which the last is missing
        raise DeepicdError(f"The answer of {url} is broken: {error!r:.80}.", "Run the same command again.") from error
    got = to.stat().st_size
    if announced is not None and not announced.isdecimal():
        raise DeepicdError(f"The answer of {url} is broken: Content-Length {announced!r:.40}.", BY_HAND)
    if announced is not None and got != int(announced):
        raise DeepicdError(f"{url} broke off after {got:,} of {int(announced):,} bytes.", "Run the same command again.")


def _recognise(path: Path, year: int, source: str) -> None:
    """Raise unless a file is the guideline of a year."""
    try:
        with document.open_pdf(path) as pdf:
            found = document.read_front_page(pdf, path).fiscal_year
    except DeepicdError as error:
        raise DeepicdError(error.what.replace(str(path), source), error.advice) from error
    if found != year:
        raise DeepicdError(
            f"{source} is the guideline of fiscal year {found}, not of {year}.",
            f"Ask for another. {document.SOURCE_ADVICE}",
        )
