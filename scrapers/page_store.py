"""The pages as received, in one SQLite file: what is in it is never asked for again.

One document: url='https://…/a00-0' status=200 fetched_at='2025-11-03T09:12:44+00:00' body=…; one page: asked='A00.0'
url='https://…/a00-0'. Where two codes lead to one address, they share its document.

This file stands in place of Scrapy's HTTP cache and of its JOBDIR. The one writes several files a page, one after the
other, and a kill between two leaves half a page; the other writes its queue when a crawl is closed, and a kill closes
nothing. Here a page comes in one transaction together with the places that it links to, so that queue and pages are
never out of step: the queue is what was asked for or found, less what is here.

An answer that may be another one tomorrow (429, 5xx, none) is a failure, not a page. Readings are kept too, each with
the extractor that made it, so that a page is read once by each version of the extractor.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers.parser import EXTRACTOR, Reading
from scrapers.site import Site

TABLES = """
create table if not exists document (
    url text primary key,
    status integer not null,
    fetched_at text not null,
    encoding text not null,
    made_up integer not null,
    sha256 text not null,
    body blob not null
) strict;
create table if not exists page (
    asked text primary key,  -- a code with its dot, or the place of a list of codes in the site's section
    url text not null references document
) strict;
create table if not exists found (place text primary key) strict;
create table if not exists failure (
    asked text primary key,
    url text not null,
    status integer not null,
    reason text not null
) strict;
create table if not exists read_page (
    code text primary key,
    extractor text not null,
    outcome text not null,
    reading text not null  -- all of it, as JSON: another extractor may read other things
) strict;
create table if not exists site (name text not null, language text not null) strict;
"""
CODES = "select asked from page where asked glob '[A-Z]*'"
PAGE = """
select url, status, fetched_at, encoding, made_up, body
from page join document using (url)
where asked = ?
"""
HELD = "select url, status, fetched_at, encoding, made_up, body from document where url = ?"
UNREAD = """
select page.rowid, asked
from page
where page.rowid > ?
    and asked glob '[A-Z]*'
    and not exists (select 1 from read_page where code = asked and extractor = ?)
order by page.rowid
"""
ENTRY = """
select url, status, fetched_at, sha256, reading
from page join document using (url) join read_page on code = asked
where asked = ? and extractor = ?
"""
MADE_UP = """
select coalesce(min(made_up), 1)
from page join document using (url) join read_page on code = asked
where outcome = 'described' and extractor = ?
"""
ANSWERED = "select (select count(*) from page) + (select count(*) from failure)"

FORBIDDEN = "forbidden by robots.txt"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the site."""

    url: str  # where the answer came from, redirections followed
    status: int
    fetched_at: str  # ISO 8601, UTC
    encoding: str
    """As the server or the page declared it, or a guess."""
    made_up: bool
    """Whether the site said of itself that its texts are made up."""
    body: bytes  # content encoding undone

    @property
    def html(self) -> str:
        """The page as text. Bytes that are UTF-8 are taken for it: in no other encoding would they make sense."""
        if b"\0" not in self.body:  # UTF-16
            try:
                return self.body.decode("utf-8-sig")
            except UnicodeDecodeError:
                pass
        return self.body.decode(self.encoding, errors="replace")


@dataclass(frozen=True, slots=True)
class Entry:
    """A page that has been read, its body left out."""

    url: str
    status: int
    fetched_at: str
    sha256: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Failure:
    """A page that could not be had in the last crawl that asked for it."""

    url: str
    status: int  # 0 where no answer came
    reason: str


class Cache:
    """The file, open. One process writes pages; another may write readings beside it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def codes(self) -> set[Code]:
        """The codes whose pages are here."""
        return {Code.parse(row[0]) for row in self._connection.execute(CODES)}

    def found(self) -> set[str]:
        """Places in the site's section that the pages here link to."""
        return {row[0] for row in self._connection.execute("select place from found")}

    def answered(self) -> int:
        """Pages and failures together."""
        return int(self._connection.execute(ANSWERED).fetchone()[0])

    def put(self, asked: Code | str, page: Page, found: Iterable[str] = ()) -> None:
        """Keep a page under the code or the place it was asked for, with the places that it links to."""
        digest, body = sha256(page.body).hexdigest(), zlib.compress(page.body, 1)
        document = (page.url, page.status, page.fetched_at, page.encoding, int(page.made_up), digest, body)
        with self._transaction():
            self._connection.execute("insert or ignore into document values (?, ?, ?, ?, ?, ?, ?)", document)
            self._connection.execute("insert or replace into page values (?, ?)", (str(asked), page.url))
            for place in found:
                self._connection.execute("insert or ignore into found values (?)", (place,))

    def page(self, asked: Code | str) -> Page | None:
        return self._page(PAGE, str(asked))

    def held(self, url: str) -> Page | None:
        """What an address answered, whatever it was asked for."""
        return self._page(HELD, url)

    def _page(self, query: str, key: str) -> Page | None:
        row = self._connection.execute(query, [key]).fetchone()
        if row is None:
            return None
        url, status, fetched_at, encoding, made_up, body = row
        return Page(url, status, fetched_at, encoding, bool(made_up), zlib.decompress(body))

    def forget(self, codes: Iterable[Code]) -> None:
        """Take pages out again, so that they are asked for anew."""
        with self._transaction():
            for code in codes:
                self._connection.execute("delete from page where asked = ?", [str(code)])
                self._connection.execute("delete from read_page where code = ?", [str(code)])
            self._connection.execute("delete from document where url not in (select url from page)")

    def unread(self, after: int = 0) -> list[tuple[int, Code]]:
        """Pages without a reading by this extractor, in the order they came, each with its number in that order."""
        return [(number, Code.parse(code)) for number, code in self._connection.execute(UNREAD, (after, EXTRACTOR))]

    def last(self) -> int:
        """The number of the page that came last; 0 for none."""
        return int(self._connection.execute("select coalesce(max(rowid), 0) from page").fetchone()[0])

    def put_readings(self, readings: Mapping[Code, Reading]) -> None:
        rows = [
            (str(code), EXTRACTOR, reading.outcome, json.dumps(asdict(reading), ensure_ascii=False))
            for code, reading in readings.items()
        ]
        with self._transaction():
            self._connection.executemany("insert or replace into read_page values (?, ?, ?, ?)", rows)

    def made_up(self) -> bool:
        """Whether the site said of every page with a text that it is made up, as far as they have been read."""
        return bool(self._connection.execute(MADE_UP, [EXTRACTOR]).fetchone()[0])

    def described(self) -> int:
        """Pages with a text, as far as they have been read."""
        query = "select count(*) from read_page where outcome = 'described' and extractor = ?"
        return int(self._connection.execute(query, [EXTRACTOR]).fetchone()[0])

    def entry(self, code: Code) -> Entry | None:
        """A code's page with its reading by this extractor."""
        row = self._connection.execute(ENTRY, (str(code), EXTRACTOR)).fetchone()
        if row is None:
            return None
        url, status, fetched_at, digest, found = row
        reading = json.loads(found)
        lists = {name: tuple(reading[name]) for name in ("marks", "hints")}
        return Entry(url, status, fetched_at, digest, Reading(**(reading | lists)))

    def fail(self, asked: Code | str, failure: Failure) -> None:
        self._connection.execute("insert or replace into failure values (?, ?, ?, ?)", (str(asked), *astuple(failure)))

    def failure(self, asked: Code | str) -> Failure | None:
        query = "select url, status, reason from failure where asked = ?"
        row = self._connection.execute(query, [str(asked)]).fetchone()
        return Failure(*row) if row else None

    def forget_failures(self) -> None:
        self._connection.execute("delete from failure")

    def claim(self, site: Site) -> None:
        """Make it this site's, or raise DeepicdError where it already holds another's pages."""
        held = self._connection.execute("select name, language from site").fetchone()
        if held is None:
            self._connection.execute("insert into site values (?, ?)", (site.name, site.language))
        elif held != (site.name, site.language):
            raise DeepicdError(
                f"The folder holds pages of {held[0]} in language {held[1]}, not of {site.name} in {site.language}.",
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
def opened(path: Path) -> Iterator[Cache]:
    """The cache in a file, made where there is none. Raises DeepicdError where SQLite cannot work with the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        # with a write-ahead log each row is one append, and a reader never waits for the writer
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma wal_autocheckpoint = 4000")  # 16 MB; each time the crawl waits for the disk
        connection.executescript(TABLES)
        yield Cache(connection)
    except sqlite3.OperationalError as error:
        raise DeepicdError(
            f"{path} cannot be used: {error}.", "See that the disk has room and the file may be written, then go on."
        ) from error
    except sqlite3.DatabaseError as error:
        raise DeepicdError(f"{path} is not the cache of a crawl: {error}.", "Choose another folder.") from error
    finally:
        connection.close()
