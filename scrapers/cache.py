"""The pages as received, in one SQLite file: what is in it is never asked for again.

One row a page: code='A00.0' url='https://…/a00-0' status=200 fetched_at='2025-11-03T09:12:44+00:00' body=…

Scrapy's own cache writes several files a page, one after the other, and a kill between two leaves half a page. A row is
whole or absent. The crawl writes here and nothing else; descriptions are read from here, so that a better reading of
the pages needs no second crawl. An answer that may be another one tomorrow (429, 5xx, none) is a failure, not a page.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers.site import Site

TABLES = """
create table if not exists page (
    code text primary key,
    url text not null,
    status integer not null,
    fetched_at text not null,
    encoding text not null,
    made_up integer not null,
    body blob not null
) strict;
create table if not exists failure (
    code text primary key,
    url text not null,
    status integer not null,
    reason text not null
) strict;
create table if not exists site (name text not null, language text not null) strict;
"""
PUT_PAGE = "insert or replace into page values (?, ?, ?, ?, ?, ?, ?)"
PUT_FAILURE = "insert or replace into failure values (?, ?, ?, ?)"
ANSWERED = "select (select count(*) from page) + (select count(*) from failure)"

FORBIDDEN = "forbidden by robots.txt"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the site."""

    url: str  # where the answer came from, redirections followed
    status: int
    fetched_at: str  # ISO 8601, UTC
    encoding: str
    made_up: bool
    """Whether the site said of itself that its texts are made up."""
    body: bytes  # content encoding undone

    @property
    def html(self) -> str:
        return self.body.decode(self.encoding, errors="replace")


@dataclass(frozen=True, slots=True)
class Failure:
    """A page that could not be had in the last crawl that asked for it."""

    url: str
    status: int  # 0 where no answer came
    reason: str


class Cache:
    """The file, open. One process writes; others may read beside it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def codes(self) -> set[Code]:
        """The codes whose pages are here."""
        return {Code.parse(row[0]) for row in self._connection.execute("select code from page")}

    def answered(self) -> int:
        """Pages and failures together."""
        return int(self._connection.execute(ANSWERED).fetchone()[0])

    def put(self, code: Code, page: Page) -> None:
        body = zlib.compress(page.body)
        row = (str(code), page.url, page.status, page.fetched_at, page.encoding, int(page.made_up), body)
        self._connection.execute(PUT_PAGE, row)

    def page(self, code: Code) -> Page | None:
        row = self._connection.execute("select * from page where code = ?", [str(code)]).fetchone()
        if row is None:
            return None
        _, url, status, fetched_at, encoding, made_up, body = row
        return Page(url, status, fetched_at, encoding, bool(made_up), zlib.decompress(body))

    def fail(self, code: Code, failure: Failure) -> None:
        self._connection.execute(PUT_FAILURE, (str(code), failure.url, failure.status, failure.reason))

    def failure(self, code: Code) -> Failure | None:
        row = self._connection.execute("select * from failure where code = ?", [str(code)]).fetchone()
        return Failure(*row[1:]) if row else None

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
def opened(path: Path) -> Iterator[Cache]:
    """The cache in a file, made where there is none. Raises DeepicdError where SQLite cannot work with the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        # with a write-ahead log each row is one append, and a reader never waits for the writer
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
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
