"""The table that later stages read: the cached pages as rows of `schema.DESCRIPTIONS`, and what they add up to.

One row: code='A00.0' language='de' outcome='described' title='Cholera durch …' text='Sie haben …' words=132 …
Every code that was asked for has its row, whatever came of it; nothing here asks the network.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from deepicd.icd10cm import CHAPTERS, Code
from deepicd.log import track_progress
from deepicd.paper import DESCRIPTION_MEAN_WORDS, DESCRIPTIONS_BY_LENGTH
from deepicd.stage_records import ScrapeCounts
from deepicd.storage import Origin
from scrapers import parser
from scrapers.page_store import FORBIDDEN, Cache
from scrapers.parser import Reading
from scrapers.site import Site

NO_ANSWER = "no answer"
"""Outcome of a code whose page could not be had; the next run asks for it again. `FORBIDDEN` is the other one."""

BATCH = 200  # pages read between two writes into the cache

Row = dict[str, Any]


def read_pages(pages: Cache) -> None:
    """Read what nobody has read yet: a few pages of a crawl that was killed, or all where the extractor is newer."""
    unread = pages.unread()
    if not unread:
        return
    with track_progress("pages read", total=len(unread)) as advance:
        for start in range(0, len(unread), BATCH):
            readings: dict[Code, Reading] = {}
            for _, code in unread[start : start + BATCH]:
                answer = pages.page(code)
                assert answer is not None
                readings[code] = parser.read_page(answer.html, code)
            pages.put_readings(readings)
            advance(len(readings))


def rows(pages: Cache, codes: Sequence[Code], site: Site) -> Iterator[Row]:
    """A row a code, in the order of the codes. Pages must have been read."""
    for code in codes:
        yield _answered(pages, code, site) or _unanswered(pages, code, site)


def batches(table: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(table, size)):
        yield batch


def _answered(pages: Cache, code: Code, site: Site) -> Row | None:
    entry = pages.entry(code)
    if entry is None:
        return None
    reading = entry.reading
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
        "url": entry.url,
        "status": entry.status,
        "fetched_at": entry.fetched_at,
        "sha256": entry.sha256,
        "extractor": parser.EXTRACTOR,
    }


def _unanswered(pages: Cache, code: Code, site: Site) -> Row:
    failure = pages.failure(code)
    return {
        "code": str(code),
        "language": site.language,
        "outcome": FORBIDDEN if failure and failure.reason == FORBIDDEN else NO_ANSWER,
        "words": 0,
        "url": failure.url if failure else site.url(code),
        "status": failure.status if failure else 0,
        "extractor": parser.EXTRACTOR,
    }


def origin(pages: Cache) -> Origin:
    """'synthetic' where the site said so of every described page, else 'public'."""
    return "synthetic" if pages.made_up() else "public"


def counts(table: Iterator[Row]) -> ScrapeCounts:
    """Rows by outcome; described ones by length of the code and by chapter; mean words of a text (None for none)."""
    outcomes: Counter[str] = Counter()
    asked: Counter[tuple[int, int]] = Counter()
    described: Counter[tuple[int, int]] = Counter()
    words = 0
    for row in table:
        code = Code.parse(row["code"])
        place = (len(code.value), code.chapter.number)
        outcomes[row["outcome"]] += 1
        asked[place] += 1
        if row["outcome"] == "described":
            described[place] += 1
            words += row["words"]
    return ScrapeCounts(
        asked=asked.total(),
        outcomes=dict(sorted(outcomes.items())),
        asked_by_length=_by_length(asked),
        described_by_length=_by_length(described),
        asked_by_chapter=_by_chapter(asked),
        described_by_chapter=_by_chapter(described),
        mean_words=round(words / described.total(), 1) if described else None,
    )


def _by_length(found: Counter[tuple[int, int]]) -> dict[str, int]:
    return {
        str(length): sum(number for (of, _), number in found.items() if of == length)
        for length in DESCRIPTIONS_BY_LENGTH
    }


def _by_chapter(found: Counter[tuple[int, int]]) -> dict[str, int]:
    by_chapter = Counter[int]()
    for (_, chapter), number in found.items():
        by_chapter[chapter] += number
    return {str(chapter.number): by_chapter[chapter.number] for chapter in CHAPTERS if by_chapter[chapter.number]}


def summary(counted: ScrapeCounts) -> Iterator[str]:
    """The counts as lines of a table, beside the paper's harvest."""
    yield f"{'outcome':<28}{'pages':>8}"
    for outcome, number in counted.outcomes.items():
        yield f"{outcome:<28}{number:>8,}"
    yield ""
    yield f"{'characters of the code':<28}{'asked':>8}{'described':>11}{'the paper':>11}"
    for length, of_paper in DESCRIPTIONS_BY_LENGTH.items():
        asked, described = counted.asked_by_length[str(length)], counted.described_by_length[str(length)]
        yield f"{length:<28}{asked:>8,}{described:>11,}{of_paper:>11,}"
    yield f"{'mean words of a text':<28}{'':>8}{counted.mean_words or 0:>11,}{DESCRIPTION_MEAN_WORDS:>11,}"
    yield ""
    yield f"{'chapter':<28}{'asked':>8}{'described':>11}"
    for chapter, asked in counted.asked_by_chapter.items():
        yield f"{chapter:<28}{asked:>8,}{counted.described_by_chapter.get(chapter, 0):>11,}"
