"""What changed between two parsed years, as Markdown for readers and JSON for programs.

Sections are paired in three passes: by id and title; then by title or by wording, for those that moved to another
number; then by id, for those with a new title. What is left over was removed or added.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from deepicd.schema import Section
from guidelines import parsed_year

ALIKE = 0.6  # share of words in common from which on two texts are taken for versions of one


@dataclass(frozen=True, slots=True)
class SectionChange:
    """A section that stands in both years, and how it differs."""

    before: str
    """Its id in the earlier year."""
    after: str
    title_before: str
    title_after: str
    text_before: str
    text_after: str

    @property
    def moved(self) -> bool:
        return self.before != self.after

    @property
    def reworded(self) -> bool:
        return (self.title_before, self.text_before) != (self.title_after, self.text_after)


@dataclass(frozen=True, slots=True)
class UnmatchedSection:
    """A section that stands in one of the years only."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class YearDiff:
    """All that differs between two years; `unchanged` counts the rest."""

    year_before: int
    year_after: int
    added: list[UnmatchedSection] = field(default_factory=list)
    removed: list[UnmatchedSection] = field(default_factory=list)
    moved: list[SectionChange] = field(default_factory=list)
    """Under another id, with the same words or others."""
    changed: list[SectionChange] = field(default_factory=list)
    """Under the same id, with other words."""
    unchanged: int = 0

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)

    def as_markdown(self) -> str:
        return "\n".join(_markdown(self))


def compare_years(before: Path, after: Path) -> YearDiff:
    """Compare two years' folders."""
    earlier, later = parsed_year.read_year(before), parsed_year.read_year(after)
    pairs, removed, added = _paired(list(earlier.all_sections()), list(later.all_sections()))
    changes = [_change(one, other) for one, other in pairs]
    return YearDiff(
        year_before=earlier.fiscal_year,
        year_after=later.fiscal_year,
        added=[_entry(section) for section in added],
        removed=[_entry(section) for section in removed],
        moved=[change for change in changes if change.moved],
        changed=[change for change in changes if change.reworded and not change.moved],
        unchanged=sum(not (change.moved or change.reworded) for change in changes),
    )


def _paired(
    before: Sequence[Section], after: Sequence[Section]
) -> tuple[list[tuple[Section, Section]], list[Section], list[Section]]:
    """Pairs in the order of the later year, and what stands in one year only."""
    partner: dict[str, Section] = {}  # id in the later year → section of the earlier one
    left = {section["id"]: section for section in before}

    def pair(section: Section, candidates: Iterator[Section]) -> None:
        if section["id"] not in partner and (found := next(candidates, None)):
            partner[section["id"]] = left.pop(found["id"])

    passes: tuple[Callable[[Section, Section], bool], ...] = (
        lambda one, other: one["id"] == other["id"] and one["title"] == other["title"],
        lambda one, other: one["id"] != other["id"] and _same_section(one, other),
        lambda one, other: one["id"] == other["id"] and _same_place(one, other),
    )
    for same in passes:
        for section in after:
            pair(section, (one for one in left.values() if same(one, section)))
    pairs = [(partner[section["id"]], section) for section in after if section["id"] in partner]
    return pairs, list(left.values()), [section for section in after if section["id"] not in partner]


def _same_section(one: Section, other: Section) -> bool:
    """Whether two sections are one under another number: same title and chapter, or nearly the same words."""
    same_chapter = one["id"].split(".")[:3] == other["id"].split(".")[:3]
    if same_chapter and one["title"].casefold() == other["title"].casefold():
        return True
    texts = _text(one), _text(other)
    return all(len(text) > 80 for text in texts) and _alike(*texts)


def _same_place(one: Section, other: Section) -> bool:
    """Whether two sections under one number have a title or words in common."""
    return _alike(one["title"], other["title"]) or _alike(_text(one), _text(other))


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one.split(), other.split())
    return matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def _text(section: Section) -> str:
    return "\n".join(block["text"] for block in section["blocks"])


def _entry(section: Section) -> UnmatchedSection:
    return UnmatchedSection(section["id"], section["title"], _text(section))


def _change(one: Section, other: Section) -> SectionChange:
    return SectionChange(one["id"], other["id"], one["title"], other["title"], _text(one), _text(other))


def _markdown(changes: YearDiff) -> Iterator[str]:
    yield f"# ICD-10-CM guidelines: FY{changes.year_before} → FY{changes.year_after}"
    yield ""
    yield (
        f"Sections: {len(changes.added)} added, {len(changes.removed)} removed, {len(changes.moved)} moved, "
        f"{len(changes.changed)} changed, {changes.unchanged} as before. ~~Struck~~ is gone, **bold** is new."
    )
    for name, entries in (("Added", changes.added), ("Removed", changes.removed)):
        if entries:
            yield f"\n## {name}"
        for entry in entries:
            yield f"\n### {entry.id} {entry.title}\n\n{_escaped(entry.text)}".rstrip()
    for name, listed in (("Moved", changes.moved), ("Changed", changes.changed)):
        if listed:
            yield f"\n## {name}"
        for change in listed:
            number = f"{change.before} → {change.after}" if change.moved else change.after
            yield f"\n### {number} {_marked(change.title_before, change.title_after)}"
            if change.text_before != change.text_after:
                yield f"\n{_marked(change.text_before, change.text_after)}"


def _marked(before: str, after: str) -> str:
    """The later text with what is new in bold and what is gone struck through.

    >>> _marked("code it once", "code it twice")
    'code it ~~once~~ **twice**'
    """
    one, other = before.split(), after.split()
    parts = []
    for kind, first, last, first_after, last_after in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        gone, new = _escaped(" ".join(one[first:last])), _escaped(" ".join(other[first_after:last_after]))
        if kind == "equal":
            parts.append(new)
            continue
        parts += [f"~~{gone}~~"] * bool(gone) + [f"**{new}**"] * bool(new)
    return " ".join(parts)


def _escaped(text: str) -> str:
    return re.sub(r"([*_~<\[\]])", r"\\\1", text)
