"""From what is asked for to OUT/descriptions.parquet: plan, fetch what is missing, read all pages, write the table.

    harvest(Wanted(codes), Path("out/scrape"), base_url="http://127.0.0.1:8000")

OUT/descriptions.parquet and OUT/run.json are the result; OUT/.crawl/ keeps the pages and Scrapy's log. The pages are
the state: a crawl that was stopped goes on with the same command, a longer list of codes fetches only what is new, and
the table can be made again from them, byte for byte, without the network.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DESCRIPTIONS
from deepicd.stage_records import ScrapeCounts, ScrapeRecord
from scrapers import descriptions, page_store, parser
from scrapers.crawl_plan import CRAWL, PAGES, Wanted
from scrapers.crawl_process import Job, download
from scrapers.page_store import FORBIDDEN, Cache
from scrapers.site import GESUND, Language, Pace, Site

LOG, TABLE = "scrapy.log", "descriptions.parquet"
REDISTRIBUTION = "not granted"
TERMS = (
    "The texts belong to the site's operator; no terms of reuse are known, so redistribution counts as not granted: "
    "use them to distill, do not publish them."
)
MADE_UP = "The site said of itself that its texts are made up."


def harvest(
    wanted: Wanted | Iterable[Code],
    out: Path,
    *,
    base_url: str = GESUND,
    language: Language = "de",
    contact: str | None = None,
    pace: Pace | None = None,
) -> ScrapeRecord:
    """Ask a site for what is wanted (codes alone will do) and write what it says of them.

    The record of the run. A run whose every page is here asks nobody. Raises DeepicdError where the site cannot be
    reached, its robots.txt forbids the pages, a public host is to be asked without a contact, or no page has a text.
    """
    wanted = wanted if isinstance(wanted, Wanted) else Wanted(tuple(wanted))
    site = Site.parse(base_url, language, pace)
    if not wanted.codes and not wanted.follow:
        raise DeepicdError("There is no code to ask for.", "Give at least one ICD-10 code.")
    plan = records.plan_run(ScrapeRecord, options=_options(site, wanted), inputs={})
    if (record := records.find_finished(out, plan)) and not _unanswered(record.counts):
        return record
    if not (out / CRAWL / PAGES).is_file():
        records.refuse_other_content(out, plan, overwrite=True)
    user_agent = site.user_agent(contact)
    with (
        records.resumable_folder(out, plan, "public") as run,
        _nothing_left_of_nothing(out),
        page_store.opened(out / CRAWL / PAGES) as pages,
    ):
        pages.claim(site)
        before = len(pages.codes())
        descriptions.read_pages(pages)  # of a crawl that was killed, or for a newer extractor
        if job := _job(wanted, site, pages, out, user_agent):
            download(job, site, pages, out / CRAWL / LOG)
        asked = wanted.asked(pages)
        run.origin = descriptions.origin(pages)
        schema = DESCRIPTIONS.with_metadata({b"deepicd.redistribution": REDISTRIBUTION.encode()})
        with storage.open_parquet_writer(out / TABLE, schema, run.origin) as writer:
            counts = descriptions.counts(_written(writer, descriptions.rows(pages, asked, site)))
            _check(counts.outcomes, pages, asked, site, out)
            (out / records.RECORD).unlink(missing_ok=True)  # of an earlier list; it must not account for the new table
        fetched = {"downloaded": len(pages.codes()) - before, "lists_missing": len(wanted.pending_places(pages))}
        run.counts = counts = counts.model_copy(update=fetched)
        run.notes = [MADE_UP if run.origin == "synthetic" else TERMS]
        if unanswered := _unanswered(counts):
            run.notes.append(f"Pages without an answer: {unanswered:,}. The same command asks for them again.")
    return run.record


def _options(site: Site, wanted: Wanted) -> dict[str, object]:
    listed = wanted.listed()
    return {
        "site": site.name,
        "language": site.language,
        "codes": len(listed),
        "codes_sha256": storage.digest_json([str(code) for code in listed]),
        "follow": wanted.follow,
        "limit": wanted.limit,
        "extractor": parser.EXTRACTOR,
    }


def _unanswered(counts: ScrapeCounts) -> int:
    """Pages that the next run asks for again."""
    return counts.outcomes.get(descriptions.NO_ANSWER, 0) + counts.lists_missing


def _written(writer: pq.ParquetWriter, table: Iterator[descriptions.Row]) -> Iterator[descriptions.Row]:
    """The rows, each group of them once it is written."""
    for batch in descriptions.batches(table, storage.ROW_GROUP):
        writer.write_batch(pa.RecordBatch.from_pylist(batch, writer.schema))
        yield from batch


def _job(wanted: Wanted, site: Site, pages: Cache, out: Path, user_agent: str) -> Job | None:
    """What is left to fetch; None for nothing."""
    pending = wanted.pending(pages, site)
    if not pending:
        return None
    return Job(
        cache=str(out / CRAWL / PAGES),
        host=site.host,
        is_public=site.is_public,
        user_agent=user_agent,
        pace=site.pace,
        pending=pending,
        section=site.section,
        room=None if wanted.limit is None else max(0, wanted.limit - len(wanted.asked(pages))),
        follow=wanted.follow,
    )


def _check(outcomes: dict[str, int], pages: Cache, asked: list[Code], site: Site, out: Path) -> None:
    """Raise DeepicdError where no page has a text, with what there was instead."""
    if outcomes.get("described"):
        return
    if set(outcomes) == {FORBIDDEN}:
        raise DeepicdError(
            f"The robots.txt of {site.host} forbids the crawler these pages, or could not be had.",
            "Ask the site's operators for permission; the crawler does not go round it.",
        )
    if set(outcomes) <= {descriptions.NO_ANSWER} and (failure := pages.failure(asked[0] if asked else "")):
        raise DeepicdError(
            f"{site.base_url} gave no page: {failure.reason}.",
            "Check the address and the connection, then run the same command again.",
        )
    if not outcomes:
        raise DeepicdError(f"{site.section} links to no code's page.", "Name the codes: --codes FILE or --mimic DIR")
    found = ", ".join(f"{number:,} × {outcome}" for outcome, number in outcomes.items())
    raise DeepicdError(
        f"None of the {len(asked):,} pages of {site.base_url} has a text for its code: {found}.",
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
    with page_store.opened(path) as pages:
        return pages.last() > 0
