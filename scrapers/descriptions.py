"""The table that later stages read: the cached pages as rows of `schema.DESCRIPTIONS`, and what they add up to.

One row: code='A00.0' language='de' outcome='described' title='Cholera durch …' text='Sie haben …' words=132 …
Every code that was asked for has its row, whatever came of it; nothing here asks the network.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepicd.icd10cm import CHAPTERS, Code
from deepicd.progress import progress
from deepicd.store import Origin
from scrapers import page
from scrapers.cache import FORBIDDEN, Cache
from scrapers.site import Site

NO_ANSWER = "no answer"
"""Outcome of a code whose page could not be had; the next run asks for it again. `FORBIDDEN` is the other one."""

# DeepICD-R1, 3.1: pages harvested from gesund.bund.de, by characters of the code; mean words of a text
PAPER_BY_LENGTH = {3: 163, 4: 6_562, 5: 5_063}
PAPER_MEAN_WORDS = 132

Row = dict[str, Any]


def rows(pages: Cache, codes: Sequence[Code], site: Site) -> Iterator[Row]:
    """A row a code, in the order of the codes."""
    with progress("pages read", total=len(codes)) as advance:
        for code in codes:
            yield _answered(pages, code, site) or _unanswered(pages, code, site)
            advance(1)


def _answered(pages: Cache, code: Code, site: Site) -> Row | None:
    answer = pages.page(code)
    if answer is None:
        return None
    reading = page.read(answer.html, code)
    return {
        "code": str(code),
        "language": site.language,
        "outcome": reading.outcome,
        "title": reading.title,
        "text": reading.text,
        "words": len((reading.text or "").split()),
        "text_code": reading.text_code,
        "url": answer.url,
        "status": answer.status,
        "fetched_at": answer.fetched_at,
        "sha256": hashlib.sha256(answer.body).hexdigest(),
        "extractor": page.EXTRACTOR,
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
        "extractor": page.EXTRACTOR,
    }


def origin(pages: Cache, described: Sequence[Row]) -> Origin:
    """'synthetic' where the site said so of every described page, else 'public'."""
    answers = (pages.page(Code.parse(row["code"])) for row in described)
    return "synthetic" if all(answer is not None and answer.made_up for answer in answers) else "public"


def counts(table: Sequence[Row]) -> dict[str, Any]:
    """Rows by outcome; described ones by length of the code and by chapter; mean words of a text (None for none)."""
    described = [row for row in table if row["outcome"] == "described"]
    words = sum(row["words"] for row in described)
    return {
        "asked": len(table),
        "outcomes": dict(sorted(Counter(row["outcome"] for row in table).items())),
        "asked_by_length": _by_length(table),
        "described_by_length": _by_length(described),
        "asked_by_chapter": _by_chapter(table),
        "described_by_chapter": _by_chapter(described),
        "mean_words": round(words / len(described), 1) if described else None,
    }


def _by_length(table: Sequence[Row]) -> dict[str, int]:
    found = Counter(len(row["code"].replace(".", "")) for row in table)
    return {str(length): found[length] for length in PAPER_BY_LENGTH}


def _by_chapter(table: Sequence[Row]) -> dict[str, int]:
    found = Counter(Code.parse(row["code"]).chapter.number for row in table)
    return {str(chapter.number): found[chapter.number] for chapter in CHAPTERS if found[chapter.number]}


def summary(counted: Mapping[str, Any]) -> Iterator[str]:
    """The counts as lines of a table, beside the paper's harvest."""
    yield f"{'outcome':<28}{'pages':>8}"
    for outcome, number in counted["outcomes"].items():
        yield f"{outcome:<28}{number:>8,}"
    yield ""
    yield f"{'characters of the code':<28}{'asked':>8}{'described':>11}{'the paper':>11}"
    for length, of_paper in PAPER_BY_LENGTH.items():
        asked, described = counted["asked_by_length"][str(length)], counted["described_by_length"][str(length)]
        yield f"{length:<28}{asked:>8,}{described:>11,}{of_paper:>11,}"
    yield f"{'mean words of a text':<28}{'':>8}{counted['mean_words'] or 0:>11,}{PAPER_MEAN_WORDS:>11,}"
    yield ""
    yield f"{'chapter':<28}{'asked':>8}{'described':>11}"
    for chapter, asked in counted["asked_by_chapter"].items():
        yield f"{chapter:<28}{asked:>8,}{counted['described_by_chapter'].get(chapter, 0):>11,}"
