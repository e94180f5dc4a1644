"""The pages as received, in one SQLite file. A page that is stored is never requested again.

One document: url='https://…/a00-0' status=200 fetched_at='2025-11-03T09:12:44+00:00' body=…; one page: asked='A00.0'
url='https://…/a00-0'. Two codes that lead to the same address share its document.

This file replaces Scrapy's HTTP cache and its JOBDIR. The cache writes several files per page, and a kill between two
leaves half a page; the JOBDIR writes its queue when a crawl is closed, which a kill prevents. Here a page is stored in
one transaction with its links, so that queue and pages agree: the queue is what was requested or linked and is missing.

An answer that may be different tomorrow (429, 5xx, none) is a failure and not a page. Readings are stored as well, with
the version of the extractor that made them, so that each version reads a page once.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deepicd.errors import BadCode, DeepicdError
from deepicd.icd10cm import Code
from scrapers.decoding import decode_page
from scrapers.parser import EXTRACTOR, Reading, read_page
from scrapers.site import Site, is_in_section

TABLES = (files("scrapers") / "page_store.sql").read_text(encoding="utf-8")
CODES = "select asked from page where asked glob '[A-Z]*'"
PAGE = """
select url, status, fetched_at, encoding, made_up, body
from page join document using (url)
where asked = ?
"""
DOCUMENT = "select url, status, fetched_at, encoding, made_up, body from document where url = ?"
UNREAD = """
select page.rowid, asked
from page
where page.rowid > ?
    and asked glob '[A-Z]*'
    and not exists (select 1 from read_page where code = asked and extractor = ?)
order by page.rowid
"""
READ_PAGE = """
select url, status, fetched_at, sha256, reading
from page join document using (url) join read_page on code = asked
where asked = ? and extractor = ?
"""
READ_CODES = "select code from read_page join page on asked = code where outcome = ? and extractor = ? order by code"
MADE_UP = """
select coalesce(min(made_up), 1)
from page join document using (url) join read_page on code = asked
where outcome = 'described' and extractor = ?
"""
ANSWERS = "select (select count(*) from page) + (select count(*) from failure)"
FORBIDDEN = "forbidden by robots.txt"
READING = TypeAdapter(Reading)  # to JSON and back


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer of the site."""

    url: str  # where the answer came from, after redirects
    status: int
    fetched_at: str  # ISO 8601, UTC
    encoding: str  # as the server or the page declared it, or a guess
    is_made_up: bool
    """Whether the site declared its texts as made up."""
    body: bytes  # without content encoding

    def read(self, code: Code, section_url: str) -> Reading:
        """Return what the page says about a code. An address outside of the ICD section is no page of a code."""
        reading = read_page(self.html, code)
        if not is_in_section(self.url, section_url):
            return Reading("not an ICD page")
        return reading

    @property
    def html(self) -> str:
        """The page as text."""
        return decode_page(self.body, self.encoding)


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page with its reading instead of its body."""

    url: str
    status: int
    fetched_at: str
    sha256: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """Why the last crawl could not fetch a page."""

    url: str
    status: int  # 0 if there was no answer
    reason: str


class PageStore:
    """The open file. One process writes pages; another may write readings at the same time.

    A `target` is what was requested: a code, or the path of a list of codes in the site's section.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_codes(self) -> set[Code]:
        """Return the codes whose pages are stored."""
        return {Code.parse(row[0]) for row in self._connection.execute(CODES)}

    def list_links(self) -> set[str]:
        """Return the targets in the site's section that stored pages link to."""
        return {row[0] for row in self._connection.execute("select place from found")}

    def count_answers(self) -> int:
        """Return the number of pages and failures."""
        return int(self._connection.execute(ANSWERS).fetchone()[0])

    def put_page(self, target: Code | str, page: Page, links: Iterable[str] = ()) -> None:
        """Store a page under the target it was requested for, with the targets that it links to."""
        digest, body = sha256(page.body).hexdigest(), zlib.compress(page.body, 1)
        document = (page.url, page.status, page.fetched_at, page.encoding, int(page.is_made_up), digest, body)
        with self._transaction():
            self._connection.execute("insert or ignore into document values (?, ?, ?, ?, ?, ?, ?)", document)
            self._connection.execute("insert or replace into page values (?, ?)", (str(target), page.url))
            self._connection.executemany("insert or ignore into found values (?)", [(link,) for link in links])

    def get_page(self, target: Code | str) -> Page | None:
        """Return the page of a target, None if it is not stored."""
        return self._get_page(PAGE, str(target))

    def get_page_at(self, url: str) -> Page | None:
        """Return what an address answered, for whichever target it was requested."""
        return self._get_page(DOCUMENT, url)

    def _get_page(self, query: str, key: str) -> Page | None:
        row = self._connection.execute(query, [key]).fetchone()
        if row is None:
            return None
        url, status, fetched_at, encoding, made_up, body = row
        return Page(
            url=url, status=status, fetched_at=fetched_at, encoding=encoding, is_made_up=bool(made_up),
            body=zlib.decompress(body),
        )  # fmt: skip

    def forget_pages(self, codes: Iterable[Code]) -> None:
        """Remove pages, so that they are requested again."""
        with self._transaction():
            for code in codes:
                self._connection.execute("delete from page where asked = ?", [str(code)])
                self._connection.execute("delete from read_page where code = ?", [str(code)])
            self._connection.execute("delete from document where url not in (select url from page)")

    def list_unread(self, after: int = 0) -> list[tuple[int, Code]]:
        """Return pages without a reading by this extractor in the order they came, each with its number."""
        return [(number, Code.parse(code)) for number, code in self._connection.execute(UNREAD, (after, EXTRACTOR))]

    def get_last_number(self) -> int:
        """Return the number of the page that came last; 0 if there is none."""
        return int(self._connection.execute("select coalesce(max(rowid), 0) from page").fetchone()[0])

    def put_readings(self, readings: Mapping[Code, Reading]) -> None:
        """Store readings, in place of earlier ones of the same codes."""
        rows = [
            (str(code), EXTRACTOR, reading.outcome, READING.dump_json(reading).decode())
            for code, reading in readings.items()
        ]
        query = "insert or replace into read_page select ?, ?, ?, ? where exists (select 1 from page where asked = ?)"
        with self._transaction():  # the other process may have removed a page since it was read
            self._connection.executemany(query, [(*row, row[0]) for row in rows])

    def list_read(self, outcome: str) -> list[Code]:
        """Return the codes whose pages this extractor has read with an outcome."""
        return [Code.parse(row[0]) for row in self._connection.execute(READ_CODES, (outcome, EXTRACTOR))]

    def is_made_up(self) -> bool:
        """Return whether the site declared every page with a text as made up, among those that have been read."""
        return bool(self._connection.execute(MADE_UP, [EXTRACTOR]).fetchone()[0])

    def count_described(self) -> int:
        """Return the number of pages with a text, among those that have been read."""
        query = "select count(*) from read_page where outcome = 'described' and extractor = ?"
        return int(self._connection.execute(query, [EXTRACTOR]).fetchone()[0])

    def get_read_page(self, code: Code) -> ReadPage | None:
        """Return a code's page with its reading by this extractor; None unless there are both."""
        row = self._connection.execute(READ_PAGE, (str(code), EXTRACTOR)).fetchone()
        if row is None:
            return None
        url, status, fetched_at, digest, reading = row
        return ReadPage(url, status, fetched_at, digest, READING.validate_json(reading))

    def put_failure(self, target: Code | str, failure: FetchFailure) -> None:
        """Record that a target could not be fetched."""
        self._connection.execute("insert or replace into failure values (?, ?, ?, ?)", (str(target), *astuple(failure)))

    def get_failure(self, target: Code | str) -> FetchFailure | None:
        """Return why a target could not be fetched; None if it was fetched or not requested."""
        query = "select url, status, reason from failure where asked = ?"
        row = self._connection.execute(query, [str(target)]).fetchone()
        return FetchFailure(*row) if row else None

    def count_failures(self) -> dict[str, int]:
        """Return the reasons of the last crawl's failures with their number, the most frequent first."""
        query = "select reason, count(*) from failure group by reason order by count(*) desc, reason"
        return dict(self._connection.execute(query).fetchall())

    def forget_failures(self) -> None:
        """Remove all failures, before a crawl that requests them again."""
        self._connection.execute("delete from failure")

    def claim(self, site: Site) -> None:
        """Bind the file to a site. Raises DeepicdError if it holds pages of another one."""
        owner = self._connection.execute("select name, language from site").fetchone()
        if owner is None:
            self._connection.execute("insert into site values (?, ?)", (site.name, site.language))
        elif owner != (site.name, site.language):
            raise DeepicdError(
                f"The folder holds pages of {owner[0]} in language {owner[1]}, not of {site.name} in {site.language}.",
                "Choose another folder for this crawl.",
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.execute("commit")


@contextmanager
def open_store(path: Path) -> Iterator[PageStore]:
    """Open the store in a file, which is created if missing. Raises DeepicdError if SQLite cannot use the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        # with a write-ahead log each row is one append, and a reader never waits for the writer
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma wal_autocheckpoint = 4000")  # 16 MB; at each checkpoint the crawl waits for the disk
        connection.executescript(TABLES)
        yield PageStore(connection)
    except sqlite3.OperationalError as error:
        raise DeepicdError(
            f"{path} cannot be used: {error}.",
            "Check that the disk has room and the file is writable, then run the same command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise DeepicdError(f"{path} is not the page store of a crawl: {error}.", "Choose another folder.") from error
    except (zlib.error, ValidationError, BadCode, UnicodeDecodeError) as error:  # a page or code that is none
        raise DeepicdError(
            f"{path} is damaged: what it holds cannot be read ({type(error).__name__}).",
            "Crawl again into another folder, or put back a copy of it.",
        ) from error
    finally:
        connection.close()
