"""From a list of codes to OUT/descriptions.parquet: plan, fetch what is missing, read all pages, write the table.

    harvest(codes, Path("out/scrape"), base_url="http://127.0.0.1:8000")

OUT/descriptions.parquet and OUT/run.json are the result; OUT/.crawl/ keeps the pages and Scrapy's log. The pages are
the state: a crawl that was stopped goes on with the same command, a longer list of codes fetches only what is new, and
the table can be made again from them, byte for byte, without the network.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DESCRIPTIONS
from scrapers import cache, codes, descriptions, page
from scrapers.cache import FORBIDDEN, Cache
from scrapers.download import download
from scrapers.site import GESUND, Language, Site

CRAWL, PAGES, LOG = ".crawl", "pages.sqlite", "scrapy.log"
TABLE = "descriptions.parquet"
REDISTRIBUTION = "not granted"
TERMS = (
    "The texts belong to the site's operator; no terms of reuse are known, so redistribution counts as not granted: "
    "use them to distill, do not publish them."
)
MADE_UP = "The site said of itself that its texts are made up."


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a crawl would do: the pages it needs and those of them that are here already."""

    site: Site
    pages: int
    here: int

    def __str__(self) -> str:
        missing = self.pages - self.here
        seconds = missing * self.site.pace.delay
        pace = f", at most one every {self.site.pace.delay:g} s: {_duration(seconds)} or more" if seconds else ""
        return (
            f"{self.site.base_url} ({self.site.language}): {self.pages:,} pages, {self.here:,} of them already here; "
            f"{missing:,} to ask for{pace}."
        )


def outlook(
    wanted: Iterable[Code], out: Path, *, base_url: str = GESUND, language: Language = "de", limit: int | None = None
) -> Outlook:
    """What `harvest` with these arguments would ask for. Writes nothing and asks nobody."""
    site = Site.parse(base_url, language)
    asked = codes.with_parents(wanted)[:limit]
    here: set[Code] = set()
    if (path := out / CRAWL / PAGES).is_file():
        with cache.opened(path) as pages:
            pages.claim(site)
            here = pages.codes()
    return Outlook(site, len(asked), len(here.intersection(asked)))


def harvest(
    wanted: Iterable[Code],
    out: Path,
    *,
    base_url: str = GESUND,
    language: Language = "de",
    contact: str | None = None,
    limit: int | None = None,
) -> runs.Record:
    """Ask a site for the codes and their parents (`limit`: the first so many pages) and write what it says of them.

    The record of the run. A run whose every page is here asks nobody. Raises DeepicdError where the site cannot be
    reached, its robots.txt forbids the pages, a public host is to be asked without a contact, or no page has a text.
    """
    site = Site.parse(base_url, language)
    asked = codes.with_parents(wanted)[:limit]
    if not asked:
        raise DeepicdError("There is no code to ask for.", "Give at least one ICD-10 code.")
    plan = runs.plan("scrape", options=_options(site, asked), inputs={})
    if (record := runs.finished(out, plan)) and descriptions.NO_ANSWER not in record["counts"]["outcomes"]:
        return record
    if not (out / CRAWL / PAGES).is_file():
        runs.refuse_other_content(out, plan, overwrite=True)
    user_agent = site.user_agent(contact)
    with (
        runs.kept_folder(out, plan, "public") as run,
        _nothing_left_of_nothing(out),
        cache.opened(out / CRAWL / PAGES) as pages,
    ):
        pages.claim(site)
        before = pages.codes()
        if missing := [code for code in asked if code not in before]:
            download(site, missing, pages, out / CRAWL / PAGES, out / CRAWL / LOG, user_agent)
        table = list(descriptions.rows(pages, asked, site))
        described = _described(table, pages, site, out)
        run.origin = descriptions.origin(pages, described)
        run.counts = descriptions.counts(table) | {"downloaded": len(pages.codes() - before)}
        run.notes = [MADE_UP if run.origin == "synthetic" else TERMS]
        if unanswered := run.counts["outcomes"].get(descriptions.NO_ANSWER):
            run.notes.append(f"Pages without an answer: {unanswered:,}. The same command asks for them again.")
        schema = DESCRIPTIONS.with_metadata({b"deepicd.redistribution": REDISTRIBUTION.encode()})
        (out / runs.RECORD).unlink(missing_ok=True)  # of an earlier list; it must not account for the new table
        store.write_parquet(out / TABLE, table, schema, run.origin)
    written = runs.read(out)
    assert written is not None
    return written


def _options(site: Site, asked: list[Code]) -> dict[str, object]:
    return {
        "site": site.name,
        "language": site.language,
        "pages": len(asked),
        "codes_sha256": store.digest_of([str(code) for code in asked]),
        "extractor": page.EXTRACTOR,
    }


def _described(table: list[descriptions.Row], pages: Cache, site: Site, out: Path) -> list[descriptions.Row]:
    """The rows with a text. Raises DeepicdError where there are none, with what there was instead."""
    described = [row for row in table if row["outcome"] == "described"]
    if described:
        return described
    outcomes = descriptions.counts(table)["outcomes"]
    if set(outcomes) == {FORBIDDEN}:
        raise DeepicdError(
            f"The robots.txt of {site.host} forbids the crawler these pages, or could not be had.",
            "Ask the site's operators for permission; the crawler does not go round it.",
        )
    if set(outcomes) == {descriptions.NO_ANSWER}:
        failure = pages.failure(Code.parse(table[0]["code"]))
        raise DeepicdError(
            f"{site.base_url} gave no page: {failure.reason if failure else 'it was not asked'}.",
            "Check the address and the connection, then run the same command again.",
        )
    found = ", ".join(f"{number:,} × {outcome}" for outcome, number in outcomes.items())
    raise DeepicdError(
        f"None of the {len(table):,} pages of {site.base_url} has a text for its code: {found}.",
        "Look at one of them in a browser: the address may be another site's, or the layout of its pages has changed. "
        f"To fetch them once more, remove {out / CRAWL} first.",
    )


@contextmanager
def _nothing_left_of_nothing(out: Path) -> Iterator[None]:
    """After an error, take away a cache that holds no page, and `out` if that was all there was in it."""
    try:
        yield
    except BaseException:
        if not _holds_pages(out / CRAWL / PAGES):
            shutil.rmtree(out / CRAWL, ignore_errors=True)
            if out.is_dir() and not any(out.iterdir()):
                out.rmdir()
        raise


def _holds_pages(path: Path) -> bool:
    if not path.is_file():
        return False
    with cache.opened(path) as pages:
        return bool(pages.codes())


def _duration(seconds: float) -> str:
    """'45 seconds', '12 minutes', '4.7 hours'."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
