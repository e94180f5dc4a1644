"""Take out what stands at one height on most pages: headers, footers, page numbers, stamps, watermarks.

They are found by what they are and not by words or places known beforehand, since a reader's PDF may be scaled, set on
other paper or stamped: a run whose text, numbers aside, is printed at one height and in one size on a third of all
pages. The same text is also taken out elsewhere where nothing but such runs is further out on its page: the contents of
FY2025 have their footer 8 points higher than the other pages.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from guidelines.characters import PageText, Run
from guidelines.lines import BULLETS, Line, build_lines

SHARE = 3  # on one page of three: headers of even and odd pages may differ
FEWEST = 3  # pages
SAME_HEIGHT = 0.25  # of the type size
SAME_SIZE = 0.1  # of the type size

NUMBERS = re.compile(r"\d+")
ROMAN_NUMBER = re.compile(r"[ivxlc]+", re.IGNORECASE)
PAGE_NUMBER = re.compile(r"\bPage ?(\d+) ?of ?(\d+)\b")


class PageNumber(NamedTuple):
    """'Page 17 of 120'."""

    number: int
    total: int


@dataclass(frozen=True)
class RunningText:
    """What was taken out: on which pages, and the page numbers in it."""

    pages: dict[str, int] = field(default_factory=dict)
    """Text, '#' for numbers → on how many pages, most frequent first."""
    numbers: list[list[PageNumber]] = field(default_factory=list)
    """By page, in order."""


class _Place(NamedTuple):
    text: str
    top: float
    size: float

    def matches(self, run: Run) -> bool:
        return abs(run.size - self.size) <= SAME_SIZE * self.size

    def holds(self, run: Run) -> bool:
        return self.matches(run) and abs(run.top - self.top) <= SAME_HEIGHT * self.size


def take_out_running(pages: Sequence[PageText]) -> tuple[list[list[Run]], RunningText]:
    """Return the other runs of each page, and what was taken out."""
    places = defaultdict[str, list[_Place]](list)
    for place in _find_places(pages):
        places[place.text].append(place)
    rest, running = list[list[Run]](), list[list[Line]]()
    for page in pages:
        own, others = _split_page(page.runs, places)
        rest.append(others)
        running.append(build_lines(own))
    texts = Counter(text for lines in running for text in {NUMBERS.sub("#", line.text) for line in lines})
    numbers = [
        [PageNumber(int(match[1]), int(match[2])) for line in lines for match in PAGE_NUMBER.finditer(line.text)]
        for lines in running
    ]
    return rest, RunningText(dict(sorted(texts.items(), key=lambda item: (-item[1], item[0]))), numbers)


def mask_numbers(text: str) -> str:
    """Return a text without what differs from page to page; '' if it is no text.

    >>> mask_numbers("Page 17 of 120"), mask_numbers("xiv"), mask_numbers("•")
    ('Page#of#', '#', '')
    """
    if ROMAN_NUMBER.fullmatch(text):
        return "#"
    if not any(character.isalnum() for character in text):
        return ""
    return NUMBERS.sub("#", text).replace(" ", "")


def _mask_run(run: Run) -> str:
    """Return the masked text of a run; what is printed askew comes letter by letter, its full stops included."""
    return mask_numbers(run.text) if run.print.is_upright else f"askew {run.text}"


def _find_places(pages: Sequence[PageText]) -> Iterator[_Place]:
    """Yield each text, height and size that recurs."""
    by_text = defaultdict[str, list[tuple[float, float, int]]](list)
    for page in pages:
        for run in page.runs:
            if (text := _mask_run(run)) and run.text[0] not in BULLETS:
                by_text[text].append((run.top, run.size, page.number))
    fewest = max(FEWEST, len(pages) / SHARE)
    for text, found in by_text.items():
        if len(found) < fewest:
            continue
        for group in _group_by_height(sorted(found)):
            if len({number for _, _, number in group}) >= fewest:
                yield _Place(text, median(top for top, _, _ in group), median(size for _, size, _ in group))


def _group_by_height(found: Iterable[tuple[float, float, int]]) -> Iterator[list[tuple[float, float, int]]]:
    group: list[tuple[float, float, int]] = []
    for entry in found:
        if group and entry[0] - group[0][0] > SAME_HEIGHT * entry[1]:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _split_page(runs: Sequence[Run], places: dict[str, list[_Place]]) -> tuple[list[Run], list[Run]]:
    """Return the running and the other runs of a page."""
    own, others = list[Run](), list[Run]()
    for run in runs:
        known = places.get(_mask_run(run), ()) if places else ()
        (own if any(place.holds(run) for place in known) else others).append(run)
    for outermost in (min, max):
        while others:
            run = outermost(others, key=lambda run: run.top)
            if not any(place.matches(run) for place in places.get(_mask_run(run), ())):
                break
            own.append(run)
            others.remove(run)
    return own, others
