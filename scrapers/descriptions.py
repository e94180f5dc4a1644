"""The table that later stages read: stored pages as rows of `schema.DESCRIPTIONS`, and their counts.

One row: code='A00.0' language='de' outcome='described' title='Cholera durch …' text='Sie haben …' words=132 …
Every requested code has a row, whatever its outcome. Nothing here uses the network.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Required, TypedDict

from deepicd.icd10cm import CHAPTERS, Code
from deepicd.log import track_progress
from deepicd.paper import DESCRIPTION_MEAN_WORDS, DESCRIPTIONS_BY_LENGTH
from deepicd.stage_records import ScrapeCounts
from deepicd.storage import Origin
from scrapers import parser
from scrapers.page_store import FORBIDDEN, PageStore
from scrapers.site import Site, is_in_section

NO_ANSWER, REDIRECTED = "no answer", "redirected"
"""Outcomes of a page that could not be fetched; the next run requests it again. The other such outcome: `FORBIDDEN`."""
UNKNOWN = "unknown code"
FOREIGN = "not an ICD page"
GONE = {404, 410}

BATCH = 200  # pages read between two writes into the store


class Row(TypedDict, total=False):
    """A row of schema.DESCRIPTIONS; what a page without an answer lacks is null."""

    code: Required[str]
    language: str
    outcome: Required[str]
    title: str | None
    text: str | None
    words: Required[int]
    text_code: str | None
    marks: tuple[str, ...]
    hints: tuple[str, ...]
    url: str
    status: int
    fetched_at: str
    sha256: str
    extractor: str


def read_pages(store: PageStore, site: Site) -> None:
    """Read the pages that have no reading: those of a killed crawl, or all of them with a newer extractor.

    Remove those that are no ICD pages: no crawl has made sure that the site was itself when they came.
    """
    unread = store.list_unread()
    if not unread:
        return
    foreign: list[Code] = []
    with track_progress("pages read", total=len(unread)) as advance:
        for start in range(0, len(unread), BATCH):
            codes = [code for _, code in unread[start : start + BATCH]]
            pages = {code: page for code in codes if (page := store.get_page(code))}
            readings = {code: page.read(code, site.section_url) for code, page in pages.items()}
            store.put_readings(readings)
            foreign += [code for code, reading in readings.items() if reading.outcome == FOREIGN]
            advance(len(codes))
    store.forget_pages(foreign)


def list_doubtful(store: PageStore, site: Site) -> list[Code]:
    """Return the codes whose answer may be another one tomorrow: no ICD page, and not the section's 404 either."""
    pages = {code: store.get_read_page(code) for code in store.list_read(FOREIGN)}
    return [
        code
        for code, page in pages.items()
        if page and not (page.status in GONE and is_in_section(page.url, site.section_url))
    ]


def build_rows(store: PageStore, codes: Sequence[Code], site: Site) -> Iterator[Row]:
    """Yield one row per code, in the order of the codes. Pages must have been read."""
    for code in codes:
        yield _build_row(store, code, site) or _build_unanswered_row(store, code, site)


def complete_rows(rows: Iterator[Row], titles: Mapping[str, str], lacking: Sequence[Code], site: Site) -> Iterator[Row]:
    """Yield the rows with the titles of GM's official list, and one for each code that it lacks, sorted by code."""
    absent: Iterator[Row] = (
        {"code": str(code), "language": site.language, "outcome": UNKNOWN, "words": 0, "url": "", "status": 0,
         "extractor": parser.EXTRACTOR}
        for code in lacking
    )  # fmt: skip
    for row in merge(rows, absent, key=lambda row: Code.parse(row["code"])):
        if row["code"] in titles:
            row["title"] = titles[row["code"]]
        yield row


def batch_rows(table: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Yield lists of at most `size` rows."""
    while batch := list(islice(table, size)):
        yield batch


def _build_row(store: PageStore, code: Code, site: Site) -> Row | None:
    page = store.get_read_page(code)
    if page is None:
        return None
    reading = page.reading
    return {
        "code": str(code),
        "language": site.language,
        "outcome": reading.outcome,
        "title": reading.title,
        "text": reading.text,
        "words": len((reading.text or "").split()),
        "text_code": reading.text_code,
        "marks": reading.marks,
        "hints": reading.hints,
        "url": page.url,
        "status": page.status,
        "fetched_at": page.fetched_at,
        "sha256": page.sha256,
        "extractor": parser.EXTRACTOR,
    }


def _build_unanswered_row(store: PageStore, code: Code, site: Site) -> Row:
    failure = store.get_failure(code)
    outcome = NO_ANSWER
    if failure and failure.reason == FORBIDDEN:
        outcome = FORBIDDEN
    elif failure and 300 <= failure.status < 400:
        outcome = REDIRECTED
    return {
        "code": str(code),
        "language": site.language,
        "outcome": outcome,
        "words": 0,
        "url": failure.url if failure else site.page_url(code),
        "status": failure.status if failure else 0,
        "extractor": parser.EXTRACTOR,
    }


def find_origin(store: PageStore) -> Origin:
    """Return 'synthetic' if the site declared every described page as made up, else 'public'."""
    return "synthetic" if store.is_made_up() else "public"


def count_rows(table: Iterator[Row]) -> ScrapeCounts:
    """Return rows by outcome, described rows by length of the code and by chapter, and a text's mean words."""
    outcomes: Counter[str] = Counter()
    requested: Counter[tuple[int, int]] = Counter()  # by length of the code and chapter
    described: Counter[tuple[int, int]] = Counter()
    words = 0
    for row in table:
        code = Code.parse(row["code"])
        group = (len(code.value), code.chapter.number)
        outcomes[row["outcome"]] += 1
        requested[group] += 1
        if row["outcome"] == "described":
            described[group] += 1
            words += row["words"]
    return ScrapeCounts(
        asked=requested.total(),
        outcomes=dict(sorted(outcomes.items())),
        asked_by_length=_sum_by_length(requested),
        described_by_length=_sum_by_length(described),
        asked_by_chapter=_sum_by_chapter(requested),
        described_by_chapter=_sum_by_chapter(described),
        mean_words=round(words / described.total(), 1) if described else None,
    )


def _sum_by_length(groups: Counter[tuple[int, int]]) -> dict[str, int]:
    return {
        str(length): sum(number for (of_group, _), number in groups.items() if of_group == length)
        for length in DESCRIPTIONS_BY_LENGTH
    }


def _sum_by_chapter(groups: Counter[tuple[int, int]]) -> dict[str, int]:
    by_chapter = Counter[int]()
    for (_, chapter), number in groups.items():
        by_chapter[chapter] += number
    return {str(chapter.number): by_chapter[chapter.number] for chapter in CHAPTERS if by_chapter[chapter.number]}


def format_summary(counts: ScrapeCounts) -> Iterator[str]:
    """Yield the lines of a table of the counts, beside those of the paper."""
    yield f"{'outcome':<28}{'pages':>11}"
    for outcome, number in counts.outcomes.items():
        yield f"{outcome:<28}{number:>11,}"
    yield ""
    yield f"{'characters of the code':<28}{'requested':>11}{'described':>11}{'the paper':>11}"
    for length, in_paper in DESCRIPTIONS_BY_LENGTH.items():
        requested, described = counts.asked_by_length[str(length)], counts.described_by_length[str(length)]
        yield f"{length:<28}{requested:>11,}{described:>11,}{in_paper:>11,}"
    yield f"{'mean words of a text':<28}{'':>11}{counts.mean_words or 0:>11,}{DESCRIPTION_MEAN_WORDS:>11,}"
    yield ""
    yield f"{'chapter':<28}{'requested':>11}{'described':>11}"
    for chapter, requested in counts.asked_by_chapter.items():
        yield f"{chapter:<28}{requested:>11,}{counts.described_by_chapter.get(chapter, 0):>11,}"
