"""The sections of the guidelines that apply to a code, ranked, within a budget of tokens.

    sections = read_sections(Path("out/guidelines/fy2025/sections.parquet"))
    join_passages(choose_passages(sections, Code.parse("E11.65"), max_tokens=1024))

Sections that name the code come first, then those that name one of its parents (the nearest first) or a range that
contains it (the narrowest first); of the code's own chapter also those that name another code of its category, and
last the rules that the chapter states for all of its codes. A section includes the headings above it; the introductions
under these headings follow it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import storage
from deepicd.engines.tokens import estimate_tokens
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import SECTIONS, CodeReference

Reason = Literal["names the code", "names a parent", "names a range", "names a sibling", "introduces", "chapter rule"]
ORDER: tuple[Reason, ...] = ("names the code", "names a parent", "names a range", "names a sibling", "chapter rule")
CHAPTER_LEVEL = 2  # of 'I.C.4'; the chapter's own sections stand one below
OMITTED_HEADINGS = ("I", "I.C")  # they add nothing to the heading of a chapter


@dataclass(frozen=True, slots=True)
class SectionText:
    """A section without the sections below it."""

    position: int
    """Its index in reading order."""
    id: str
    parent: str | None
    level: int
    chapter: int | None
    heading: str
    text: str
    codes: tuple[CodeReference, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A section that applies to a code, and why."""

    section: SectionText
    above: tuple[SectionText, ...]
    """The sections that contain it, outermost first."""
    reason: Reason


class SectionIndex:
    """What is the same for every code: which sections name codes of a category, and which state a chapter's rules."""

    def __init__(self, sections: Mapping[str, SectionText]) -> None:
        self.sections = sections
        self.parents = {section.id: tuple(_list_parents(sections, section)) for section in sections.values()}
        self.chapters = [section for section in sections.values() if _is_chapter(section)]
        self._naming: dict[str, list[tuple[SectionText, CodeReference]]] = {}
        self._rules: dict[int, list[SectionText]] = {}

    def list_references(self, category: str) -> list[tuple[SectionText, CodeReference]]:
        """Return the sections with a reference that may apply to codes of a category. Headings of chapters are none."""
        if category not in self._naming:
            self._naming[category] = [
                (section, reference)
                for section in self.sections.values()
                for reference in section.codes
                if reference["first"][:3] <= category <= reference["last"][:3] and not _is_chapter(section)
            ]
        return self._naming[category]

    def list_rules(self, chapter: int) -> list[SectionText]:
        """Return the sections with text that apply to every code of a chapter: those of topics that name none of it."""
        if chapter not in self._rules:
            own = [section for section in self.sections.values() if section.chapter == chapter]
            covered = [reference for section in own if _is_chapter(section) for reference in section.codes]
            specific = {self._find_topic(section) for section in own if _names_own_codes(section, covered)}
            self._rules[chapter] = [
                section
                for section in own
                if section.text and (_is_chapter(section) or self._find_topic(section) not in specific)
            ]
        return self._rules[chapter]

    def _find_topic(self, section: SectionText) -> str:
        """Return the id of the ancestor directly below the chapter; for the chapter, its own id."""
        path = (*self.parents[section.id], section)
        return path[min(1, len(path) - 1)].id


def read_sections(table: Path) -> SectionIndex:
    """Return the sections of a year."""
    rows = storage.open_parquet(table, SECTIONS).read().to_pylist()
    sections = {
        row["id"]: SectionText(
            position=position,
            id=row["id"],
            parent=row["parent"],
            level=row["level"],
            chapter=row["chapter"],
            heading=f"{row['label']} {row['title']}".strip(),
            text=row["text"],
            codes=tuple(row["codes"]),
        )
        for position, row in enumerate(rows)
    }
    return SectionIndex(sections)


def choose_passages(
    index: SectionIndex,
    code: Code,
    *,
    max_tokens: int,
    count_tokens: Callable[[str], int] = estimate_tokens,
) -> list[Passage]:
    """Return the sections that apply to a code, best first, up to `max_tokens` in all, headings included.

    A section that does not fit is skipped, and a smaller one after it may still be chosen. Each chosen section adds its
    introductions, the nearest first, as far as they fit.
    """
    chosen: dict[str, Passage] = {}
    headings: set[str] = set()
    spent = 0

    def add_if_it_fits(section: SectionText, reason: Reason) -> bool:
        nonlocal spent
        above = index.parents[section.id]
        new = [entry for entry in (*above, section) if entry.id not in headings]
        cost = sum(count_tokens(f"{entry.heading}\n") for entry in new) + count_tokens(f"{section.text}\n")
        if section.id in chosen or spent + cost > max_tokens:
            return False
        chosen[section.id] = Passage(section, above, reason)
        headings.update(entry.id for entry in new)
        spent += cost
        return True

    for section, reason in _rank_sections(index, code):
        if add_if_it_fits(section, reason):
            for parent in reversed(chosen[section.id].above):
                if parent.text and parent.level >= CHAPTER_LEVEL:
                    add_if_it_fits(parent, "introduces")
    return list(chosen.values())


def join_passages(passages: Iterable[Passage]) -> str:
    """Return passages as text in reading order, each heading once; '' for none."""
    passages = list(passages)
    with_parents = {section.id: section for passage in passages for section in (*passage.above, passage.section)}
    with_text = {passage.section.id for passage in passages}
    lines: list[str] = []
    for section in sorted(with_parents.values(), key=lambda section: section.position):
        lines.append(section.heading)
        if section.id in with_text and section.text:
            lines.append(section.text)
    return "\n".join(lines)


def _rank_sections(index: SectionIndex, code: Code) -> Iterator[tuple[SectionText, Reason]]:
    """Yield every section that applies to a code by itself, best first."""
    reasons: dict[str, tuple[Reason, int]] = {}
    for section, reference in index.list_references(code.category):
        reason = _classify_reference(reference, code)
        if reason is None or not (_names_code(reference, code) or section.chapter == code.chapter.number):
            continue
        if section.id not in reasons or _rank(reason) < _rank(reasons[section.id]):
            reasons[section.id] = reason
    # a heading may name single codes of another chapter: 'Chapter 1 … (A00-B99), U07.1, U09.9'
    naming = (
        chapter
        for chapter in index.chapters
        if chapter.text and any(_names_code(reference, code) for reference in chapter.codes)
    )
    for section in (*index.list_rules(code.chapter.number), *naming):
        reasons.setdefault(section.id, ("chapter rule", section.level))
    ranked = sorted(
        (*_rank(reason), index.sections[section_id].position, section_id) for section_id, reason in reasons.items()
    )
    for rank, _, _, section_id in ranked:
        yield index.sections[section_id], ORDER[rank]


def _names_code(reference: CodeReference, code: Code) -> bool:
    reason = _classify_reference(reference, code)
    return reason is not None and reason[0] != "names a sibling"


def _rank(reason: tuple[Reason, int]) -> tuple[int, int]:
    return ORDER.index(reason[0]), reason[1]


def _is_chapter(section: SectionText) -> bool:
    return section.level == CHAPTER_LEVEL and section.chapter is not None


def _names_own_codes(section: SectionText, covered: list[CodeReference]) -> bool:
    """Return whether a section names codes that its chapter covers; if not, it applies to all of them."""
    return any(
        span["first"] <= reference["first"] and reference["first"][: len(span["last"])] <= span["last"]
        for reference in section.codes
        for span in covered
        if not _is_chapter(section)  # its heading names all codes that it covers
    )


def _classify_reference(reference: CodeReference, code: Code) -> tuple[Reason, int] | None:
    """Return how a reference applies to a code, and how much else it covers; None if it does not apply.

    >>> reference = CodeReference(text="E08-E13", first="E08", last="E13")
    >>> _classify_reference(reference, Code("E1165")), _classify_reference(reference, Code("E162"))
    (('names a range', 5), None)
    """
    first, last = reference["first"], reference["last"]
    if first == last:
        if code.value == first:
            return "names the code", 0
        if code.value.startswith(first):
            return "names a parent", len(code.value) - len(first)
        return ("names a sibling", 0) if first.startswith(code.category) else None
    if not first <= code.value[: len(first)] or not code.value[: len(last)] <= last:
        return None
    if any(a <= first[:3] <= last[:3] <= b and (first[:3], last[:3]) != (a, b) for a, b in _WHOLE_CHAPTERS):
        return "names a range", _count_categories(first, last)
    return None  # a whole chapter or more: not specific to this code


_WHOLE_CHAPTERS = tuple(span for chapter in CHAPTERS for span in chapter.ranges)


def _count_categories(first: str, last: str) -> int:
    """Return roughly how many categories a range has after its first: C4A and the like count as C49."""
    return _number_category(last) - _number_category(first)


def _number_category(code: str) -> int:
    return ord(code[0]) * 100 + int(code[1]) * 10 + (int(code[2]) if code[2].isdigit() else 9)


def _list_parents(sections: Mapping[str, SectionText], section: SectionText) -> list[SectionText]:
    """Return the sections that contain one, outermost first."""
    path: list[SectionText] = []
    while section.parent is not None:
        if section.parent not in sections:
            raise DeepicdError("A section of the guidelines has a parent that is not there.", "Parse the PDF again.")
        section = sections[section.parent]
        if section.id not in OMITTED_HEADINGS:
            path.insert(0, section)
    return path
