"""Reads the pages while the crawl brings them: what has come so far, and whether to go on makes sense.

Three things end a crawl. A run of pages of known codes that have the element for a text and no text in it is what
a change of layout looks like. A run of answers with status 200 that are no pages of the site is what maintenance, a
captcha or another site's address look like; these are forgotten, to be asked for again on a better day. And a beginning
without a single text. Later on, codes that the site does not know, even thousands in a row, are no sign of anything.
"""

from collections import Counter

from deepicd.icd10cm import Code
from scrapers import parser
from scrapers.page_store import Cache
from scrapers.parser import Reading

EMPTY_RUN = 60
"""Some six categories of ICD-10-GM in a row; the paper found a text for four of five terminal codes."""
WRITE_AT_ONCE = 500
"""Readings; while this process writes, the crawl must wait to write its next page."""
START = 100
"""Pages without a text at the beginning of a harvest."""
OK = 200
STRANGE_RUN = 10
"""No page of a known site says so little ten times in a row."""


class Watch:
    """What the pages say that came since the watch began."""

    def __init__(self, pages: Cache) -> None:
        self._pages = pages
        self._seen = pages.last()
        self._outcomes: Counter[str] = Counter()
        self._readings: dict[Code, Reading] = {}
        self._empty = 0
        self._strange: list[Code] = []
        self._nothing_yet = pages.described() == 0

    @property
    def status(self) -> str:
        """'9,812 described, 1,020 unknown code, 3 no text'."""
        return ", ".join(f"{number:,} {outcome}" for outcome, number in self._outcomes.most_common())

    def look(self) -> str | None:
        """Read what is new. The reason to stop, if there is one; what came after it is left to `end`."""
        reason = None
        for number, code in self._pages.unread(after=self._seen):
            answer = self._pages.page(code)
            assert answer is not None
            self._readings[code] = reading = parser.read_page(answer.html, code)
            self._seen = number
            self._count(code, reading, answer.status)
            if reason := self._reason():
                break
        if len(self._readings) >= WRITE_AT_ONCE:
            self._write()
        return reason

    def _write(self) -> None:
        self._pages.put_readings(self._readings)
        self._readings = {}

    def end(self) -> None:
        """Keep the readings. Forget answers that were no pages, with those that came before the crawl was stopped."""
        self._write()
        if len(self._strange) < STRANGE_RUN:
            return
        strange = self._strange
        for _, code in self._pages.unread(after=self._seen):
            answer = self._pages.page(code)
            if answer and answer.status == OK and parser.read_page(answer.html, code).outcome == "not an ICD page":
                strange.append(code)
        self._pages.forget(strange)

    def _reason(self) -> str | None:
        if self._nothing_yet and self._outcomes.total() >= START:
            return f"none of its first {START} pages has a text; the layout may have changed, or GM has no such codes"
        if self._empty >= EMPTY_RUN:
            return (
                f"the last {EMPTY_RUN} pages have an article and no text in it, so their layout may have changed; if "
                "these codes have no text, the same command goes on after them"
            )
        if len(self._strange) >= STRANGE_RUN:
            return f"its last {STRANGE_RUN} answers are no ICD pages (maintenance, a captcha, another site's address)"
        return None

    def _count(self, code: Code, reading: Reading, status: int) -> None:
        self._outcomes[reading.outcome] += 1
        self._nothing_yet = self._nothing_yet and reading.outcome != "described"
        self._empty = self._empty + 1 if reading.outcome == "no text" and reading.has_article else 0
        self._strange = [*self._strange, code] if reading.outcome == "not an ICD page" and status == OK else []
