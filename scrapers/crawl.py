"""Scrape a site into OUT/descriptions.parquet: plan, fetch what is missing, read all pages, write the table.

    scrape(CrawlPlan(codes), Path("out/scrape"), base_url="http://127.0.0.1:8000")

The results are OUT/descriptions.parquet and OUT/run.json; OUT/.crawl/ keeps the pages and Scrapy's log. The pages are
the only state: an interrupted crawl continues with the same command, a longer list of codes fetches only the new ones,
and the table can be rebuilt from them, byte for byte, without the network.
"""

import logging
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
from deepicd.storage import Origin
from scrapers import descriptions, parser
from scrapers.crawl_plan import CRAWL_FOLDER, STORE_FILE, CrawlPlan, build_job
from scrapers.monitor import run_crawl
from scrapers.page_store import FORBIDDEN, PageStore, open_store
from scrapers.site import GESUND_URL, Language, Pace, Site

LOG_FILE, TABLE = "scrapy.log", "descriptions.parquet"
REDISTRIBUTION = "not granted"
TERMS = (
    "The texts belong to the site's operator. No terms of reuse are known, so redistribution counts as not granted: "
    "use them to distill, do not publish them."
)
MADE_UP = "The site declares its texts as made up."

logger = logging.getLogger(__name__)


def scrape(
    plan: CrawlPlan | Iterable[Code],
    out: Path,
    *,
    base_url: str = GESUND_URL,
    language: Language = "de",
    contact: str | None = None,
    pace: Pace | None = None,
) -> ScrapeRecord:
    """Fetch the pages of a plan, or of codes with their parents, and write what they say. Return the run's record.

    Sends no request if every page is stored. Raises DeepicdError if the site cannot be reached, its robots.txt forbids
    the pages, a public host is given without a contact, or no page has a text.
    """
    plan = plan if isinstance(plan, CrawlPlan) else CrawlPlan(tuple(plan))
    site = Site.parse(base_url, language, pace)
    if plan.codes and not plan.list_named_codes() and not plan.follow:
        raise DeepicdError(
            "GM's official list has none of these codes.", "Check that --gm-list names the list of BfArM's index."
        )
    if not plan.codes and not plan.follow:
        raise DeepicdError("There is no code to request.", "Pass at least one ICD-10 code.")
    run_plan = records.plan_run(ScrapeRecord, options=_list_options(site, plan), inputs={})
    if (record := records.find_finished(out, run_plan)) and not _count_unanswered(record.counts):
        logger.info("%s holds the answer to every page already: nothing to do.", out)
        return record
    store_file = out / CRAWL_FOLDER / STORE_FILE
    if not store_file.is_file():
        records.refuse_other_content(out, run_plan, overwrite=True)
    user_agent = site.build_user_agent(contact)
    with (
        records.open_resumable_folder(out, run_plan, "public") as run,
        _remove_empty_store(out),
        open_store(store_file) as store,
    ):
        store.claim(site)
        descriptions.read_pages(store, site)  # of a crawl that was killed, or for a newer extractor
        store.forget_pages(descriptions.list_doubtful(store, site))
        pages_before = len(store.list_codes())
        if job := build_job(plan, site, store, store_file=store_file, user_agent=user_agent):
            run_crawl(job, site, store, out / CRAWL_FOLDER / LOG_FILE)
        run.origin = descriptions.find_origin(store)
        counts = _write_table(out, run.origin, plan, site, store)
        downloaded = len(store.list_codes()) - pages_before
        lists_missing = len(plan.list_pending_lists(store))
        doubtful = len(descriptions.list_doubtful(store, site))
        run.counts = counts = counts.model_copy(
            update={"downloaded": downloaded, "lists_missing": lists_missing, "doubtful": doubtful}
        )
        described = counts.outcomes.get("described", 0)
        logger.info("Fetched %s pages; wrote %s rows, %s of them with a text.", downloaded, counts.asked, described)
        run.notes = [MADE_UP if run.origin == "synthetic" else TERMS]
        run.notes += _list_unanswered(counts, store)
    return run.record


def _list_options(site: Site, plan: CrawlPlan) -> dict[str, object]:
    codes = plan.list_named_codes()
    return {
        "site": site.name,
        "language": site.language,
        "codes": len(codes),
        "codes_sha256": storage.digest_json([str(code) for code in codes]),
        "follow": plan.follow,
        "limit": plan.limit,
        **({} if plan.gm_titles is None else {"gm_list_sha256": storage.digest_json(dict(plan.gm_titles))}),
        "extractor": parser.EXTRACTOR,
    }


def _list_unanswered(counts: ScrapeCounts, store: PageStore) -> list[str]:
    """Return a note on the pages that the next run requests again, with the reasons; none if there are none."""
    notes = []
    if unfetched := _count_unanswered(counts) - counts.doubtful:
        reasons = ", ".join(f"{number:,} × {reason}" for reason, number in store.count_failures().items())
        notes.append(f"Pages without an answer: {unfetched:,} ({reasons}). The same command requests them again.")
    if counts.doubtful:
        notes.append(f"Answers that are not ICD pages: {counts.doubtful:,}. The same command requests them again.")
    return notes


def _count_unanswered(counts: ScrapeCounts) -> int:
    """Return how many pages the next run requests again."""
    unfetched = (counts.outcomes.get(outcome, 0) for outcome in (descriptions.NO_ANSWER, descriptions.REDIRECTED))
    return sum(unfetched) + counts.lists_missing + counts.doubtful


def _write_table(out: Path, origin: Origin, plan: CrawlPlan, site: Site, store: PageStore) -> ScrapeCounts:
    """Write the table and return its counts."""
    codes = plan.list_codes(store)
    schema = DESCRIPTIONS.with_metadata({b"deepicd.redistribution": REDISTRIBUTION.encode()})
    with storage.open_parquet_writer(out / TABLE, schema, origin) as writer:
        rows = descriptions.build_rows(store, codes, site)
        if plan.gm_titles is not None:
            rows = descriptions.complete_rows(rows, plan.gm_titles, plan.list_lacking(), site)
        counts = descriptions.count_rows(_write_rows(writer, rows))
        _refuse_without_text(counts.outcomes, store, codes, site, out)
        (out / records.RECORD).unlink(missing_ok=True)  # an earlier list's record must not describe the new table
    return counts


def _write_rows(writer: pq.ParquetWriter, table: Iterator[descriptions.Row]) -> Iterator[descriptions.Row]:
    """Yield the rows, each batch of them after it is written."""
    for batch in descriptions.batch_rows(table, storage.ROW_GROUP):
        writer.write_batch(pa.RecordBatch.from_pylist(batch, writer.schema))
        yield from batch


def _refuse_without_text(outcomes: dict[str, int], store: PageStore, codes: list[Code], site: Site, out: Path) -> None:
    """Raise DeepicdError, with the outcomes there are, if no page has a text."""
    if outcomes.get("described"):
        return
    if set(outcomes) == {FORBIDDEN}:
        raise DeepicdError(
            f"The robots.txt of {site.host} forbids these pages to the crawler.",
            "Ask the site's operators for permission; the crawler obeys robots.txt.",
        )
    if set(outcomes) <= {descriptions.NO_ANSWER, descriptions.REDIRECTED} and (
        failure := store.get_failure(codes[0] if codes else "")
    ):
        raise DeepicdError(
            f"{site.base_url} gave no page: {failure.reason}.",
            "Check the address and the connection, then run the same command again.",
        )
    if not outcomes:
        raise DeepicdError(
            f"{site.section_url} links to no code's page.", "Name the codes: --cohort DIR, --codes FILE or --mimic DIR"
        )
    counted = ", ".join(f"{number:,} × {outcome}" for outcome, number in outcomes.items())
    raise DeepicdError(
        f"None of the {len(codes):,} pages of {site.base_url} has a text for its code: {counted}.",
        "Look at one of them in a browser, and check --base-url. To fetch them once more, remove"
        f" {out / CRAWL_FOLDER} first.",
    )


@contextmanager
def _remove_empty_store(out: Path) -> Iterator[None]:
    """After an error, remove a store without pages, and `out` if it held nothing else."""
    try:
        yield
    except BaseException:
        if not _has_pages(out / CRAWL_FOLDER / STORE_FILE):
            shutil.rmtree(out / CRAWL_FOLDER, ignore_errors=True)
            if out.is_dir() and not any(out.iterdir()):
                out.rmdir()
        raise


def _has_pages(path: Path) -> bool:
    if not path.is_file():
        return False
    with open_store(path) as store:
        return store.get_last_number() > 0
