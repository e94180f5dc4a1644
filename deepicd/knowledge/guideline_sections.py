"""The sections of the guidelines that bear on a code, ranked, within a budget of tokens.

    sections = read_sections(Path("out/guidelines/fy2025/sections.parquet"))
    excerpt(choose(sections, Code.parse("E11.65"), max_tokens=1024))

What names the code comes first, then what names one of its parents (the nearest first), a range over it (the narrowest
first), another code of its category, and last the rules that a chapter states for all of its codes. A section brings
along the headings above it; what these say by themselves, their introductions, comes right behind it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import storage
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import SECTIONS, CodeReference

Reason = Literal["names the code", "names a parent", "names a range", "names a sibling", "introduces", "chapter rule"]
ORDER: tuple[Reason, ...] = ("names the code", "names a parent", "names a range", "names a sibling", "chapter rule")
CHAPTER_LEVEL = 2  # of 'I.C.4'; the chapter's own sections stand one below
BARE = ("I", "I.C")  # their headings say nothing that a chapter's own does not
CHARACTERS_PER_TOKEN = 4  # of English prose, for want of the teacher's own tokenizer


@dataclass(frozen=True, slots=True)
class SectionText:
    """A section by itself, without those below it."""

    place: int
    """In reading order."""
    id: str
    parent: str | None
    level: int
    chapter: int | None
    heading: str
    text: str
    codes: tuple[CodeReference, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A section that bears on a code, and why."""

    section: SectionText
    above: tuple[SectionText, ...]
    """The sections that it stands under, outermost first."""
    reason: Reason


def read_sections(table: Path) -> dict[str, SectionText]:
    """Id → section, in reading order."""
    rows = storage.open_parquet(table, SECTIONS).read().to_pylist()
    return {
        row["id"]: SectionText(
            place=place,
            id=row["id"],
            parent=row["parent"],
            level=row["level"],
            chapter=row["chapter"],
            heading=f"{row['label']} {row['title']}".strip(),
            text=row["text"],
            codes=tuple(row["codes"]),
        )
        for place, row in enumerate(rows)
    }


def estimate_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def choose_passages(
    sections: Mapping[str, SectionText],
    code: Code,
    *,
    max_tokens: int,
    tokens: Callable[[str], int] = estimate_tokens,
) -> list[Passage]:
    """What bears on a code, best first; all of it together, headings included, costs at most `max_tokens`.

    A section that does not fit is passed over, and a smaller one behind it may still be taken. What is taken brings its
    introductions along, the nearest first, as far as they fit.
    """
    chosen: dict[str, Passage] = {}
    headings: set[str] = set()
    spent = 0

    def take(section: SectionText, reason: Reason) -> bool:
        nonlocal spent
        above = _above(sections, section)
        new = [one for one in (*above, section) if one.id not in headings]
        cost = sum(tokens(f"{one.heading}\n") for one in new) + tokens(f"{section.text}\n")
        if section.id in chosen or spent + cost > max_tokens:
            return False
        chosen[section.id] = Passage(section, tuple(above), reason)
        headings.update(one.id for one in new)
        spent += cost
        return True

    for section, reason in _ranked(sections, code):
        if take(section, reason):
            for parent in reversed(chosen[section.id].above):
                if parent.text and parent.level >= CHAPTER_LEVEL:
                    take(parent, "introduces")
    return list(chosen.values())


def join_passages(passages: Iterable[Passage]) -> str:
    """Passages as text in reading order, each heading once above what stands under it; '' for none."""
    shown = {section.id: section for passage in passages for section in (*passage.above, passage.section)}
    told = {passage.section.id for passage in passages}
    lines: list[str] = []
    for section in sorted(shown.values(), key=lambda section: section.place):
        lines.append(section.heading)
        if section.id in told and section.text:
            lines.append(section.text)
    return "\n".join(lines)


def _ranked(sections: Mapping[str, SectionText], code: Code) -> Iterator[tuple[SectionText, Reason]]:
    """Every section that bears on a code by itself, best first."""
    bearing = [
        (ORDER.index(reason), breadth, section.place, section.id)
        for section, (reason, breadth) in _bearing(sections, code)
    ]
    for reason, _, _, section_id in sorted(bearing):
        yield sections[section_id], ORDER[reason]


def _bearing(sections: Mapping[str, SectionText], code: Code) -> Iterator[tuple[SectionText, tuple[Reason, int]]]:
    """Sections that bear on a code by themselves: why, and how broadly."""
    # a heading may take in single codes of another chapter: 'Chapter 1 … (A00-B99), U07.1, U09.9'
    own = {code.chapter.number} | {
        section.chapter
        for section in sections.values()
        if section.level == CHAPTER_LEVEL and any(_reference(reference, code) for reference in section.codes)
    }
    chapter = [section for section in sections.values() if section.chapter in own]
    covered = [reference for section in chapter if section.level == CHAPTER_LEVEL for reference in section.codes]
    particular = {_topic(sections, section) for section in chapter if _names(section, covered)}
    for section in sections.values():
        found = [bearing for reference in section.codes if (bearing := _reference(reference, code))]
        general = section.level == CHAPTER_LEVEL or _topic(sections, section) not in particular
        if found and section.level != CHAPTER_LEVEL:
            yield section, min(found, key=lambda bearing: (ORDER.index(bearing[0]), bearing[1]))
        elif section.chapter in own and section.text and general:
            yield section, ("chapter rule", section.level)


def _names(section: SectionText, covered: list[CodeReference]) -> bool:
    """Whether it names codes that its chapter covers; a section that names none of them holds for all of them."""
    return any(
        span["first"] <= reference["first"] and reference["first"][: len(span["last"])] <= span["last"]
        for reference in section.codes
        for span in covered
        if section.level != CHAPTER_LEVEL
    )


def _topic(sections: Mapping[str, SectionText], section: SectionText) -> str:
    """Id of the section just below the chapter that a section belongs to; the chapter's own id for the chapter."""
    path = [*_above(sections, section), section]
    return path[min(1, len(path) - 1)].id


def _reference(reference: CodeReference, code: Code) -> tuple[Reason, int] | None:
    """How a reference bears on a code, and how much else it covers; None where it does not.

    >>> reference = CodeReference(text="E08-E13", first="E08", last="E13")
    >>> _reference(reference, Code("E1165")), _reference(reference, Code("E162"))
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
        return "names a range", _categories(first, last)
    return None  # a chapter and more: says nothing of this code in particular


_WHOLE_CHAPTERS = tuple(span for chapter in CHAPTERS for span in chapter.ranges)


def _categories(first: str, last: str) -> int:
    """How many categories a range spans beyond its first, about: C4A and its like are counted as C49."""
    return _ordinal(last) - _ordinal(first)


def _ordinal(code: str) -> int:
    return ord(code[0]) * 100 + int(code[1]) * 10 + (int(code[2]) if code[2].isdigit() else 9)


def _above(sections: Mapping[str, SectionText], section: SectionText) -> list[SectionText]:
    """The sections that one stands under, outermost first."""
    path: list[SectionText] = []
    while section.parent is not None:
        section = sections[section.parent]
        if section.id not in BARE:
            path.insert(0, section)
    return path
