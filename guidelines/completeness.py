"""Whether all of a guideline is there: its pages by their own numbers, its parts and chapters, its numbering.

What is missing from a PDF leaves no trace in the words that remain, so no audit of words against pages finds it. Three
things tell: the footers ('Page 17 of 120'), the parts that every year has, and labels that go from 2. to 4.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.schema import Section
from guidelines import document
from guidelines.document import Document, PageNumber, format_pages
from guidelines.headings import LABELS, TOP, find_contents_entries, parse_ordinal
from guidelines.lines import Line
from guidelines.parsed_year import CHAPTER, format_heading, walk
from guidelines.sections import FRONT

PARTS = {
    FRONT: "the front page",
    **{part: f"Section {part}" for part in ("I.A", "I.B", "I.C", "II", "III", "IV")},
    "Appendix-I": "Appendix I",
}


def refuse_incomplete(pdf: Path, parsed: Document, tree: list[Section]) -> None:
    """Raise DeepicdError, with all that is missing, unless pages, parts, chapters and labels go on without a gap."""
    faults = [*find_page_faults(parsed.numbers), *find_part_faults(tree), *find_label_faults(tree, parsed.contents)]
    if faults:
        sections = sum(1 for _ in walk(tree))
        year = f"the guideline for fiscal year {parsed.fiscal_year}, {sections} sections on {parsed.pages} pages"
        raise DeepicdError(
            f"{pdf} was recognised as {year}, but it is not complete; {'; '.join(faults)}.",
            f"Take the whole document; nothing was written. {document.SOURCE_ADVICE}",
        )


def find_page_faults(numbers: Sequence[PageNumber | None]) -> Iterator[str]:
    """What the numbers in the footers say against the pages that are there; nothing where no footer has a number.

    >>> list(find_page_faults([None, PageNumber(2, 5), PageNumber(5, 5), PageNumber(5, 5), PageNumber(3, 5)]))
    ['missing: page 4 of 5', 'twice there: page 5', 'out of order: page 3']
    """
    totals = Counter(number.of for number in numbers if number)
    if not totals:
        return
    total = totals.most_common(1)[0][0]
    printed = _filled(numbers)
    if missing := set(range(1, total + 1)) - set(printed):
        yield f"missing: {format_pages(missing)} of {total}"
    if doubled := [number for number, times in Counter(printed).items() if times > 1]:
        yield f"twice there: {format_pages(doubled)}"
    if early := [after for before, after in pairwise(printed) if after < before]:
        yield f"out of order: {format_pages(early)}"
    if strange := {number.number for number in numbers if number and number.of != total} | {
        number for number in printed if number > total
    }:
        yield f"not of these {total} pages: {format_pages(strange)}"


def _filled(numbers: Sequence[PageNumber | None]) -> list[int]:
    """The numbers of all pages: one without is the next after the page before it, the first is 1 or, uncounted, 0."""
    filled: list[int] = []
    for number in numbers:
        filled.append(number.number if number else filled[-1] + 1 if filled else 1)
    uncounted = numbers[0] is None and len(filled) > 1 and filled[1] == 1
    return filled[1:] if uncounted else filled


def find_part_faults(tree: list[Section]) -> Iterator[str]:
    """Parts that are not there, and whatever stands below Section I.C but the 22 chapters in order."""
    found = {section["id"]: section for section in walk(tree)}
    missing = [name for part, name in PARTS.items() if part not in found]
    titles = [section["title"] for section in found["I.C"]["children"]] if "I.C" in found else []
    numbers = [int(match[1]) if (match := CHAPTER.fullmatch(title)) else 0 for title in titles]
    missing += [f"chapter {number}" for number in range(1, 23) if number not in numbers]
    if missing:
        yield f"missing: {', '.join(missing)}"
    elif numbers != list(range(1, 23)):
        yield f"Section I.C holds {'; '.join(titles)}"


def find_label_faults(tree: list[Section], contents: Sequence[Line]) -> Iterator[str]:
    """Places where labels below one section skip some, unless the document's contents skip the same ones.

    The chapters are left to `part_faults`.
    """
    for parent in walk(tree):
        labelled = [section for section in parent["children"] if section["label"]]
        if parent["id"] == "I.C" or not labelled:
            continue
        level = _level(labelled)
        before, last = parent, 0
        for section in labelled:
            number = parse_ordinal(section["label"], level)
            skipped = range(last + 1, number)
            if number != last + 1 and not _skipped_by_contents(contents, before, section, level, skipped):
                gap = f"{before['label']} to {section['label']}" if last else f"nothing to {section['label']}"
                yield f"below {parent['id']} the numbering goes from {gap}"
            before, last = section, number


def _level(labelled: Sequence[Section]) -> int:
    """The level whose numbering the labels fit best: '(i)' before '(ii)' is a Roman number, after '(h)' a letter."""

    def fitting(level: int) -> tuple[int, int]:
        alike = [LABELS[level].fullmatch(section["label"]) is not None for section in labelled]
        numbers = [parse_ordinal(section["label"], level) * fits for section, fits in zip(labelled, alike, strict=True)]
        return sum(after == before + 1 for before, after in pairwise([0, *numbers])), sum(alike)

    return max(range(TOP + 1, len(LABELS)), key=fitting)


def _skipped_by_contents(
    contents: Sequence[Line], before: Section, after: Section, level: int, skipped: Sequence[int]
) -> bool:
    """Whether the contents list both headings, each once, and none of the skipped ones between them."""
    starts, ends = (find_contents_entries(contents, format_heading(section)) for section in (before, after))
    if len(starts) != 1 or len(ends) != 1 or not skipped:
        return False
    labels = (LABELS[level].match(line.text) for line in contents[starts[0] + 1 : ends[0]])
    return not any(label and parse_ordinal(label[0], level) in skipped for label in labels)
