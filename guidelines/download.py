"""Download the guideline PDF of a fiscal year from the CMS.

The address is that of FY2025 and FY2026. A year that was updated in April may have another; the error then says where
to look. A file gets its name only after it has been recognised.
"""

from pathlib import Path

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.http import USER_AGENT, RetryPolicy, TransientError, describe_failure, raise_if_transient, retry
from guidelines.pdf_document import SOURCE_ADVICE, open_pdf, read_front_page

CMS = "https://www.cms.gov"
ADDRESS = "/files/document/fy-{year}-icd-10-cm-coding-guidelines.pdf"
AGAIN = f"Rerun the command, or download it by hand. {SOURCE_ADVICE}"


def download_guidelines(year: int, to: Path, base_url: str = CMS, *, policy: RetryPolicy | None = None) -> Path:
    """Download the guideline of a year to a file, unless the file is that guideline already; return the file.

    Raises DeepicdError if the download fails or is not the guideline of that year.
    """
    if to.exists():
        _refuse_other_year(to, year, str(to))
        return to
    url = base_url.rstrip("/") + ADDRESS.format(year=year)
    if not url.startswith(("https://", "http://")) or " " in url:
        raise DeepicdError(f"{base_url} is not a web address.", f"Give one with its scheme, for instance {CMS}")
    with storage.atomic_write(to) as tmp:
        _download(url, tmp, policy or RetryPolicy())
        _refuse_other_year(tmp, year, url)
    return to


def _download(url: str, to: Path, policy: RetryPolicy) -> None:
    import httpx

    def fetch() -> None:
        with client.stream("GET", url) as response, to.open("wb") as file:
            raise_if_transient(response)
            response.raise_for_status()
            for chunk in response.iter_bytes():
                file.write(chunk)

    with httpx.Client(headers={"User-Agent": USER_AGENT}, timeout=policy.timeout, follow_redirects=True) as client:
        try:
            retry(fetch, policy, doing=f"Downloading {url}")
        except httpx.HTTPStatusError as error:
            raise DeepicdError(
                f"{url} answers {error.response.status_code} {error.response.reason_phrase}.",
                f"Download the PDF of that year in a browser, and name the file. {SOURCE_ADVICE}",
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:  # UnicodeError: 'http://a..b'
            raise DeepicdError(
                f"{url} is not a web address: {error}.", f"Give one as --base-url, for instance {CMS}"
            ) from error
        except (httpx.ProtocolError, httpx.DecodingError, httpx.TooManyRedirects) as error:
            raise DeepicdError(f"The answer of {url} is broken: {error}.", AGAIN) from error
        except (TransientError, httpx.TransportError) as error:
            raise DeepicdError(
                f"{url} could not be downloaded: {describe_failure(error)}.", f"Check the connection. {AGAIN}"
            ) from error


def _refuse_other_year(path: Path, year: int, source: str) -> None:
    """Raise DeepicdError unless a file is the guideline of a year. `source`: its name in the message."""
    try:
        with open_pdf(path) as pdf:
            actual_year = read_front_page(pdf, path).fiscal_year
    except DeepicdError as error:
        raise DeepicdError(error.what.replace(str(path), source), error.advice) from error
    if actual_year != year:
        raise DeepicdError(
            f"{source} is the guideline of fiscal year {actual_year}, not of {year}.",
            f"Choose another year, or download it by hand. {SOURCE_ADVICE}",
        )
