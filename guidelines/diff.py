"""Compare two parsed years, as Markdown for readers and JSON for programs.

Sections are paired in three passes: by id and title; then by title or wording, for sections with a new number; then by
id, for sections with a new title. The remaining sections were removed or added.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from deepicd.schema import Section
from guidelines.parse import read_year

SIMILAR = 0.6  # minimum share of common words in two versions of a text
_ALIKE = str.maketrans(dict.fromkeys("“”„", '"') | dict.fromkeys("‘’‚", "'") | dict.fromkeys("–—−‐‑", "-"))
LONG_TEXT = 80  # characters; shorter texts may resemble each other by chance


@dataclass(frozen=True, slots=True)
class SectionChange:
    """A section that is in both years, and how it differs."""

    before: str
    """Its id in the earlier year."""
    after: str
    title_before: str
    title_after: str
    text_before: str
    text_after: str

    @property
    def is_moved(self) -> bool:
        return self.before != self.after

    @property
    def is_reworded(self) -> bool:
        """Whether the words differ: other spaces, line ends, quotes or dashes are no other words."""
        before, after = f"{self.title_before} {self.text_before}", f"{self.title_after} {self.text_after}"
        return _list_words(before) != _list_words(after)


@dataclass(frozen=True, slots=True)
class UnmatchedSection:
    """A section that is in only one of the years."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class YearDiff:
    """Everything that differs between two years."""

    year_before: int
    year_after: int
    added: list[UnmatchedSection] = field(default_factory=list)
    removed: list[UnmatchedSection] = field(default_factory=list)
    moved: list[SectionChange] = field(default_factory=list)
    """Sections with another id, reworded or not."""
    changed: list[SectionChange] = field(default_factory=list)
    """Reworded sections with the same id."""
    unchanged: int = 0
    """Number of all other sections."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)

    def to_markdown(self) -> str:
        return "\n".join(_render_markdown(self))


def compare_years(before: Path, after: Path) -> YearDiff:
    """Return what differs between the folders of two years."""
    earlier, later = read_year(before), read_year(after)
    pairs, removed, added = _pair_sections(list(earlier.walk()), list(later.walk()))
    changes = [
        SectionChange(old["id"], new["id"], old["title"], new["title"], _join_text(old), _join_text(new))
        for old, new in pairs
    ]
    return YearDiff(
        year_before=earlier.fiscal_year,
        year_after=later.fiscal_year,
        added=[UnmatchedSection(section["id"], section["title"], _join_text(section)) for section in added],
        removed=[UnmatchedSection(section["id"], section["title"], _join_text(section)) for section in removed],
        moved=[change for change in changes if change.is_moved],
        changed=[change for change in changes if change.is_reworded and not change.is_moved],
        unchanged=sum(not (change.is_moved or change.is_reworded) for change in changes),
    )


def _pair_sections(
    before: Sequence[Section], after: Sequence[Section]
) -> tuple[list[tuple[Section, Section]], list[Section], list[Section]]:
    """Return pairs in the order of the later year, and the sections that are only in the earlier or the later year."""
    partners: dict[str, Section] = {}  # id in the later year → section of the earlier one
    remaining = {section["id"]: section for section in before}
    passes: tuple[Callable[[Section, Section], bool], ...] = (
        lambda old, new: old["id"] == new["id"] and old["title"] == new["title"],
        lambda old, new: old["id"] != new["id"] and _is_same_section(old, new),
        lambda old, new: old["id"] == new["id"] and _is_same_place(old, new),
    )
    for is_pair in passes:
        for new in after:
            if new["id"] in partners:
                continue
            partner = next((old for old in remaining.values() if is_pair(old, new)), None)
            if partner:
                partners[new["id"]] = remaining.pop(partner["id"])
    pairs = [(partners[section["id"]], section) for section in after if section["id"] in partners]
    return pairs, list(remaining.values()), [section for section in after if section["id"] not in partners]


def _is_same_section(old: Section, new: Section) -> bool:
    """Return whether two sections are the same with another number: same chapter and title, or similar long texts."""
    is_same_chapter = old["id"].split(".")[:3] == new["id"].split(".")[:3]
    if is_same_chapter and old["title"].casefold() == new["title"].casefold():
        return True
    texts = _join_text(old), _join_text(new)
    return all(len(text) > LONG_TEXT for text in texts) and _is_similar(*texts)


def _is_same_place(old: Section, new: Section) -> bool:
    """Return whether two sections with the same number have similar titles or texts."""
    return _is_similar(old["title"], new["title"]) or _is_similar(_join_text(old), _join_text(new))


def _list_words(text: str) -> list[str]:
    """Return the words and signs as they are compared.

    >>> _list_words("the “man -made” code") == _list_words('the "man-made" code')
    True
    """
    return re.findall(r"\w+|[^\w\s]", text.translate(_ALIKE))


def _is_similar(old: str, new: str) -> bool:
    matcher = SequenceMatcher(None, old.split(), new.split())
    return matcher.quick_ratio() >= SIMILAR and matcher.ratio() >= SIMILAR


def _join_text(section: Section) -> str:
    return "\n".join(block["text"] for block in section["blocks"])


def _render_markdown(diff: YearDiff) -> Iterator[str]:
    yield f"# ICD-10-CM guidelines: FY{diff.year_before} → FY{diff.year_after}"
    yield ""
    yield (
        f"Sections: {len(diff.added)} added, {len(diff.removed)} removed, {len(diff.moved)} moved, "
        f"{len(diff.changed)} changed, {diff.unchanged} unchanged. ~~Struck~~ was removed, **bold** is new."
    )
    for name, sections in (("Added", diff.added), ("Removed", diff.removed)):
        if sections:
            yield f"\n## {name}"
        for section in sections:
            yield f"\n### {section.id} {section.title}\n\n{_escape(section.text)}".rstrip()
    for name, changes in (("Moved", diff.moved), ("Changed", diff.changed)):
        if changes:
            yield f"\n## {name}"
        for change in changes:
            number = f"{change.before} → {change.after}" if change.is_moved else change.after
            yield f"\n### {number} {_mark_changes(change.title_before, change.title_after)}"
            if change.text_before != change.text_after:
                yield f"\n{_mark_changes(change.text_before, change.text_after)}"


def _mark_changes(before: str, after: str) -> str:
    """Return the later text with new words in bold and removed ones struck through.

    >>> _mark_changes("code it once", "code it twice")
    'code it ~~once~~ **twice**'
    """
    old_words, new_words = before.split(), after.split()
    parts = []
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(
        None, old_words, new_words, autojunk=False
    ).get_opcodes():
        old, new = _escape(" ".join(old_words[old_start:old_end])), _escape(" ".join(new_words[new_start:new_end]))
        if kind == "equal":
            parts.append(new)
            continue
        parts += [f"~~{old}~~"] * bool(old) + [f"**{new}**"] * bool(new)
    return " ".join(parts)


def _escape(text: str) -> str:
    return re.sub(r"([*_~<\[\]])", r"\\\1", text)
