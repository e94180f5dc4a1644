"""A parsed year, read back from its files as one tree of sections.

year = read(Path("out/guidelines/fy2025"))
year.fiscal_year, [section["id"] for section in year.sections]   # 2025, ['front', 'I', 'II', 'III', 'IV', …]
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import Block, ChapterGuidelines, GuidelinePart, Section
from deepicd.stage_records import GuidelinesRecord

CHAPTER = re.compile(r"Chapter (\d{1,2}):\s*(.*?)\s*(?:\(?[A-Z]\d[\dA-Z].*)?", re.DOTALL)
"""The title of a chapter: its number, and its name without the codes it covers."""


@dataclass(frozen=True, slots=True)
class ParsedYear:
    """All sections of a fiscal year. `record` is the run that parsed them."""

    fiscal_year: int
    sections: list[Section]
    record: GuidelinesRecord

    def all_sections(self) -> Iterator[Section]:
        """Every section in reading order."""
        return walk(self.sections)


def read_year(folder: Path) -> ParsedYear:
    """The year in a folder that `deepicd guidelines` wrote. Raises DeepicdError for any other folder."""
    record = records.read(folder)
    if record is None or record.command not in GuidelinesRecord.COMMANDS:
        raise DeepicdError(
            f"{folder} holds no parsed guidelines.", "Name a year's folder, or make it: deepicd guidelines PDF OUT"
        )
    parsed = record.parse_as(GuidelinesRecord, str(folder / records.RECORD))
    (section_i,) = _parts(folder, "section_I")
    conventions, general, chapters = _parts(folder, "section_I_A", "section_I_B", "section_I_C")
    chapters["children"] = [_as_section(path) for path in sorted(folder.glob("chapter_*.json"))]
    section_i["children"] = [conventions, general, chapters]
    appendices = sorted(path.stem for path in folder.glob("appendix_*.json"))
    rest = _parts(folder, "section_II", "section_III", "section_IV", *appendices)
    return ParsedYear(parsed.fiscal_year, [*_parts(folder, "front"), section_i, *rest], parsed)


def walk(sections: list[Section]) -> Iterator[Section]:
    """Sections and all below them, in reading order."""
    for section in sections:
        yield section
        yield from walk(section["children"])


def format_heading(section: Section) -> str:
    """A section's heading as printed: label and title."""
    return f"{section['label']} {section['title']}".strip()


def list_texts(section: Section) -> Iterator[str]:
    """What a section says by itself: its heading, then its blocks."""
    yield format_heading(section)
    yield from map(_text, section["blocks"])


def _text(block: Block) -> str:
    return block["text"]


def _parts(folder: Path, *names: str) -> list[Section]:
    return [cast(Section, _whole(folder / f"{name}.json", GuidelinePart, "children")) for name in names]


def _whole(path: Path, kind: type, below: str) -> dict[str, Any]:
    """The value in a file, if it has all fields of its kind, as have the sections `below`. Raises DeepicdError."""
    value = storage.read_json(path)
    if _has(value, kind) and isinstance(value[below], list) and all(map(_is_section, value[below])):
        return value
    raise DeepicdError(
        f"{path} is not a file of parsed guidelines, or of another version.",
        "Make it again: deepicd guidelines PDF OUT",
    )


def _is_section(value: object) -> bool:
    return _has(value, Section) and all(map(_is_section, value["children"]))


def _has(value: object, kind: type) -> TypeGuard[dict[str, Any]]:
    fields: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]  # of every TypedDict
    return isinstance(value, dict) and fields <= value.keys()


def _as_section(path: Path) -> Section:
    chapter = cast(ChapterGuidelines, _whole(path, ChapterGuidelines, "sections"))
    label, _, title = chapter["heading"].partition(" ")
    return Section(
        id=chapter["id"],
        label=label,
        title=title,
        title_marks=chapter["heading_marks"],
        pages=chapter["pages"],
        blocks=chapter["blocks"],
        codes=chapter["codes"],
        see=chapter["see"],
        children=chapter["sections"],
    )
