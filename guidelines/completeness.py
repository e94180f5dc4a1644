"""Check that a guideline is complete: its pages by their printed numbers, its parts and chapters, its numbering.

A page that is missing from a PDF leaves no trace in the words that remain, so the audit of words cannot find it. Three
things can: the footers ('Page 17 of 120'), the parts that every year has, and gaps in the labels (2., 4.).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.schema import Section
from guidelines.headings import LABELS, TOP, find_contents_entries, parse_ordinal, remove_spaces
from guidelines.lines import Line
from guidelines.pdf_document import LEADERS, SOURCE_ADVICE, Document, format_pages
from guidelines.running_lines import PageNumber
from guidelines.sections import CHAPTER, CHAPTERS_ID, FRONT, format_heading, walk

PRINTED_SHARE = 0.9  # of the pages after the first, which must have a number
FEWEST_SHIFTED = 3  # entries of the contents that are wrong by as many pages
ENTRY_NUMBER = re.compile(r"(\d+)\s*\Z")

PARTS = {
    FRONT: "the front page",
    **{part: f"Section {part}" for part in ("I.A", "I.B", "I.C", "II", "III", "IV")},
    "Appendix-I": "Appendix I",
}


def refuse_incomplete(pdf: Path, document: Document, sections: list[Section]) -> None:
    """Raise DeepicdError, with everything that is missing, if pages, parts, chapters or labels have a gap."""
    faults = [
        *find_number_faults(document, sections),
        *find_part_faults(sections),
        *find_label_faults(sections, document.contents),
    ]
    if faults:
        count = sum(1 for _ in walk(sections))
        year = f"the guideline for fiscal year {document.fiscal_year}, {count} sections on {document.pages} pages"
        raise DeepicdError(
            f"{pdf} was recognised as {year}, but it is not complete; {'; '.join(faults)}.",
            f"Use the whole document; nothing was written. {SOURCE_ADVICE}",
        )


def find_number_faults(document: Document, sections: list[Section]) -> Iterator[str]:
    """Yield where the printed page numbers show that pages are missing, repeated or swapped.

    Without printed numbers the contents decide, which say on which page each section begins.
    """
    numbers = document.running.numbers
    if double := [page for page, own in enumerate(numbers, start=1) if len(set(own)) > 1]:
        yield f"more than one page number stands on {format_pages(double)} of the file"
    elif sum(map(bool, numbers)) >= PRINTED_SHARE * (len(numbers) - 1):
        yield from find_page_faults([own[0] if own else None for own in numbers])
    else:
        yield from find_contents_faults(document.contents, sections)


def find_contents_faults(contents: Sequence[Line], sections: list[Section]) -> Iterator[str]:
    """Yield a fault unless most sections begin on the page that the contents state; the front page may not count."""
    pages: dict[str, list[int]] = {}
    for section in walk(sections):
        pages.setdefault(remove_spaces(format_heading(section)), []).append(section["pages"][0])
    distances = Counter[int]()
    for line in contents:
        title, number = LEADERS.split(line.text)[0], ENTRY_NUMBER.search(line.text)
        starts = pages.get(remove_spaces(title), [])
        if number and len(starts) == 1:
            distances[starts[0] - int(number[1])] += 1
    if not distances:
        yield "no page has a printed number, and the contents give none, so that missing pages would not show"
    elif len(near := [(distance, times) for distance, times in distances.items() if times >= FEWEST_SHIFTED]) > 1:
        yield f"the contents disagree with the pages by {' and '.join(str(distance) for distance, _ in near)} pages"


def find_page_faults(numbers: Sequence[PageNumber | None]) -> Iterator[str]:
    """Yield where the numbers in the footers and the pages disagree; nothing if no footer has a number.

    >>> list(find_page_faults([None, PageNumber(2, 5), PageNumber(5, 5), PageNumber(5, 5), PageNumber(3, 5)]))
    ['missing: page 4 of 5', 'repeated: page 5', 'out of order: page 3']
    """
    totals = Counter(number.total for number in numbers if number)
    if not totals:
        return
    total = totals.most_common(1)[0][0]
    printed = _fill_numbers(numbers)
    if missing := set(range(1, total + 1)) - set(printed):
        yield f"missing: {format_pages(missing)} of {total}"
    if repeated := [number for number, times in Counter(printed).items() if times > 1]:
        yield f"repeated: {format_pages(repeated)}"
    if early := [after for before, after in pairwise(printed) if after < before]:
        yield f"out of order: {format_pages(early)}"
    foreign = {number.number for number in numbers if number and number.total != total}
    foreign |= {number for number in printed if number > total}
    if foreign:
        yield f"not of these {total} pages: {format_pages(foreign)}"


def _fill_numbers(numbers: Sequence[PageNumber | None]) -> list[int]:
    """Return each page's number, missing ones filled in; an unnumbered front page before page 1 is dropped."""
    filled: list[int] = []
    for number in numbers:
        filled.append(number.number if number else filled[-1] + 1 if filled else 1)
    is_first_uncounted = numbers[0] is None and len(filled) > 1 and filled[1] == 1
    return filled[1:] if is_first_uncounted else filled


def find_part_faults(sections: list[Section]) -> Iterator[str]:
    """Yield missing parts, and the content of Section I.C unless it is the 22 chapters in order."""
    by_id = {section["id"]: section for section in walk(sections)}
    missing = [name for part, name in PARTS.items() if part not in by_id]
    titles = [section["title"] for section in by_id[CHAPTERS_ID]["children"]] if CHAPTERS_ID in by_id else []
    numbers = [int(match[1]) if (match := CHAPTER.fullmatch(title)) else 0 for title in titles]
    missing += [f"chapter {number}" for number in range(1, 23) if number not in numbers]
    if missing:
        yield f"missing: {', '.join(missing)}"
    elif numbers != list(range(1, 23)):
        yield f"Section I.C holds {'; '.join(titles)}"


def find_label_faults(sections: list[Section], contents: Sequence[Line]) -> Iterator[str]:
    """Yield gaps in the labels below each section, unless the document's contents have the same gap.

    The chapters are left to `find_part_faults`.
    """
    for parent in walk(sections):
        labelled = [section for section in parent["children"] if section["label"]]
        if parent["id"] == CHAPTERS_ID or not labelled:
            continue
        level = _find_level(labelled)
        before, last = parent, 0
        for section in labelled:
            number = parse_ordinal(section["label"], level)
            skipped = range(last + 1, number)
            if number != last + 1 and not _is_skipped_in_contents(contents, before, section, level, skipped):
                gap = f"{before['label']} to {section['label']}" if last else f"nothing to {section['label']}"
                yield f"below {parent['id']} the numbering goes from {gap}"
            before, last = section, number


def _find_level(labelled: Sequence[Section]) -> int:
    """Return the level whose numbering fits best: '(i)' before '(ii)' is a Roman number, after '(h)' a letter."""

    def measure_fit(level: int) -> tuple[int, int]:
        matches = [LABELS[level].fullmatch(section["label"]) is not None for section in labelled]
        numbers = [
            parse_ordinal(section["label"], level) * is_match
            for section, is_match in zip(labelled, matches, strict=True)
        ]
        return sum(after == before + 1 for before, after in pairwise([0, *numbers])), sum(matches)

    return max(range(TOP + 1, len(LABELS)), key=measure_fit)


def _is_skipped_in_contents(
    contents: Sequence[Line], before: Section, after: Section, level: int, skipped: Sequence[int]
) -> bool:
    """Return whether the contents list both headings, each once, and no skipped one between them."""
    starts, ends = (find_contents_entries(contents, format_heading(section)) for section in (before, after))
    if len(starts) != 1 or len(ends) != 1 or not skipped:
        return False
    labels = (LABELS[level].match(line.text) for line in contents[starts[0] + 1 : ends[0]])
    return not any(label and parse_ordinal(label[0], level) in skipped for label in labels)
