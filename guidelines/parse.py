"""Parse a guideline PDF into OUT/fy2025/, and read such a folder back.

    chapter_01.json … chapter_22.json             Section I.C, one file per chapter (schema.ChapterGuidelines)
    front.json, section_I.json, section_I_A.json, section_I_B.json, section_I_C.json, section_II.json … section_IV.json,
    appendix_I.json                               everything that is not a chapter (schema.GuidelinePart)
    sections.parquet                              one row per section (schema.SECTIONS)
    run.json

Every word from the front page to the end of the appendix is in one JSON file and in one row; running lines (named in
run.json) and contents are left out. Nothing is written unless a second library reads the same words (see audit). The
folder appears whole or not at all, and a second run on the same PDF does nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard, cast

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS
from deepicd.schema import SECTIONS, ChapterGuidelines, GuidelinePart, Section
from deepicd.stage_records import GuidelinesCounts, GuidelinesRecord
from guidelines.audit import audit
from guidelines.code_references import find_codes
from guidelines.completeness import refuse_incomplete
from guidelines.headings import Headings, find_headings
from guidelines.pdf_document import SOURCE_ADVICE, Document, open_pdf, read_document, read_front_page
from guidelines.sections import CHAPTER, CHAPTERS_ID, FRONT, build_rows, build_sections, walk

SHOWN = 5  # differences in a message
RESERVED = "Reserved for future guideline expansion"


@dataclass(frozen=True, slots=True)
class ParsedYear:
    """The sections of a fiscal year, read back from its folder."""

    fiscal_year: int
    sections: list[Section]
    record: GuidelinesRecord
    """The record of the run that parsed them."""

    def walk(self) -> Iterator[Section]:
        """Yield every section in reading order."""
        return walk(self.sections)


def parse_pdf(pdf: Path, out: Path, *, overwrite: bool = False) -> GuidelinesRecord:
    """Parse a PDF into OUT/fy<year>; return the run's record. Raises DeepicdError unless it is a complete guideline."""
    folder, plan = plan_parse(pdf, out)
    if done := records.find_finished(folder, plan):
        return done
    with records.open_fresh_folder(folder, plan, "public", overwrite=overwrite) as run:
        document = read_document(pdf)
        headings = find_headings(document)
        sections = build_sections(document, headings.headings)
        refuse_incomplete(pdf, document, sections)
        words = _audit(pdf, sections)
        if document.is_demonstration:
            run.origin = "synthetic"
        for name, value in build_files(document, sections):
            storage.write_json(run.folder / name, value)
        rows = storage.write_parquet(
            run.folder / "sections.parquet", build_rows(document.fiscal_year, sections), SECTIONS, run.origin
        )
        run.counts = _count(document, headings, sections, rows, words)
        run.notes += _write_notes(document, headings)
    return run.record


def _audit(pdf: Path, sections: list[Section]) -> int:
    """Return how many pieces of words a second library reads on the pages, all of them as in the sections."""
    result = audit(pdf, list(walk(sections)))
    if not result.is_clean:
        differences = "; ".join(islice(result.list_differences(), SHOWN))
        raise DeepicdError(
            f"Two libraries read {pdf} differently, {result.count_differences():,} times: {differences}.",
            f"Use the document as it was published; nothing was written. {SOURCE_ADVICE}",
        )
    return result.page_words


def plan_parse(pdf: Path, out: Path) -> tuple[Path, records.Plan[GuidelinesRecord]]:
    """Return the output folder of a PDF, and the plan. Reads only the front page."""
    with open_pdf(pdf) as opened:
        year = read_front_page(opened, pdf).fiscal_year
    return out / f"fy{year}", records.plan_run(GuidelinesRecord, options={"fiscal_year": year}, inputs={"pdf": pdf})


def build_files(document: Document, sections: list[Section]) -> Iterator[tuple[str, ChapterGuidelines | GuidelinePart]]:
    """Yield name and content of every JSON file, in reading order."""
    for section in sections:
        if section["id"] != "I":
            yield _name_file(section["id"]), _build_part(document, section)
            continue
        yield _name_file("I"), _build_part(document, section | {"children": []})
        for part in section["children"]:
            if part["id"] != CHAPTERS_ID:
                yield _name_file(part["id"]), _build_part(document, part)
                continue
            yield _name_file(CHAPTERS_ID), _build_part(document, part | {"children": []})
            for chapter in part["children"]:
                content = _build_chapter(document, chapter)
                yield f"chapter_{content['number']:02}.json", content


def _name_file(section_id: str) -> str:
    """Return the name of a section's file.

    >>> _name_file("I.A"), _name_file("Appendix-I"), _name_file("front")
    ('section_I_A.json', 'appendix_I.json', 'front.json')
    """
    if section_id == FRONT or section_id.startswith("Appendix"):
        return f"{section_id.replace('Appendix-', 'appendix_')}.json"
    return f"section_{section_id.replace('.', '_')}.json"


def _build_part(document: Document, section: Section) -> GuidelinePart:
    return GuidelinePart(fiscal_year=document.fiscal_year, effective=_format_days(document), **section)


def _format_days(document: Document) -> list[str]:
    return [day.isoformat() for day in document.effective] if document.effective else []


def _build_chapter(document: Document, section: Section) -> ChapterGuidelines:
    match = CHAPTER.fullmatch(section["title"])
    if match is None:
        raise DeepicdError(
            f"Section {section['id']} is not a chapter: its title is {section['title']!r}.",
            f"Use the document as it was published. {SOURCE_ADVICE}",
        )
    number, title = int(match[1]), match[2]
    return ChapterGuidelines(
        fiscal_year=document.fiscal_year,
        effective=_format_days(document),
        id=section["id"],
        number=number,
        roman=CHAPTERS[number - 1].roman,
        title=title,
        heading=f"{section['label']} {section['title']}",
        heading_marks=section["title_marks"],
        ranges=[[_add_dot(code["first"]), _add_dot(code["last"])] for code in find_codes(section["title"])],
        reserved=not section["children"] and [block["text"] for block in section["blocks"]] == [RESERVED],
        pages=section["pages"],
        blocks=section["blocks"],
        codes=section["codes"],
        see=section["see"],
        sections=section["children"],
    )


def _add_dot(code: str) -> str:
    return code if len(code) == 3 else f"{code[:3]}.{code[3:]}"


def _count(document: Document, headings: Headings, sections: list[Section], rows: int, words: int) -> GuidelinesCounts:
    everything = list(walk(sections))
    return GuidelinesCounts(
        pages=document.pages,
        bookmarks=len(document.bookmarks),
        headings_from_bookmarks=headings.from_bookmarks,
        headings_from_fonts=len(headings.headings) - headings.from_bookmarks,
        code_references=sum(len(section["codes"]) for section in everything),
        cross_references=sum(len(section["see"]) for section in everything),
        marks=sum(len(block["marks"]) for section in everything for block in section["blocks"]),
        sections=rows,
        running_lines=document.running.pages,
        doubled_letters=document.doubled,
        audited_words=words,
    )


def _write_notes(document: Document, headings: Headings) -> list[str]:
    notes = []
    if document.is_demonstration:
        notes.append("Made up for demonstration: these are not the official guidelines.")
    if headings.unplaced:
        titles = "; ".join(bookmark.title for bookmark in headings.unplaced)
        notes.append(f"{len(headings.unplaced)} bookmarks are not on the page they point to: {titles}")
    return notes


def read_year(folder: Path) -> ParsedYear:
    """Return the year in a folder that `parse_pdf` wrote. Raises DeepicdError for any other folder."""
    record = records.read(folder)
    if record is None or record.command not in GuidelinesRecord.COMMANDS:
        raise DeepicdError(
            f"{folder} holds no parsed guidelines.", "Give a year's folder, or create it: deepicd guidelines PDF OUT"
        )
    parsed = record.parse_as(GuidelinesRecord, str(folder / records.RECORD))
    (section_i,) = _read_parts(folder, "section_I")
    conventions, general, chapters = _read_parts(folder, "section_I_A", "section_I_B", "section_I_C")
    chapters["children"] = [_read_chapter(path) for path in sorted(folder.glob("chapter_*.json"))]
    section_i["children"] = [conventions, general, chapters]
    appendices = sorted(path.stem for path in folder.glob("appendix_*.json"))
    rest = _read_parts(folder, "section_II", "section_III", "section_IV", *appendices)
    return ParsedYear(parsed.fiscal_year, [*_read_parts(folder, "front"), section_i, *rest], parsed)


def _read_parts(folder: Path, *names: str) -> list[Section]:
    return [cast(Section, _read_file(folder / f"{name}.json", GuidelinePart, "children")) for name in names]


def _read_file(path: Path, kind: type, below: str) -> dict[str, Any]:
    """Return the value in a file. Raises DeepicdError unless it, and the sections in `below`, have all fields."""
    value = storage.read_json(path)
    if _has_fields(value, kind) and isinstance(value[below], list) and all(map(_is_section, value[below])):
        return value
    raise DeepicdError(
        f"{path} is not a file of parsed guidelines, or is one of another version.",
        "Create it again: deepicd guidelines PDF OUT",
    )


def _is_section(value: object) -> bool:
    if not _has_fields(value, Section) or not isinstance(value["children"], list):
        return False
    return all(map(_is_section, value["children"]))


def _has_fields(value: object, kind: type) -> TypeGuard[dict[str, Any]]:
    fields: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]  # of every TypedDict
    return isinstance(value, dict) and fields <= value.keys()


def _read_chapter(path: Path) -> Section:
    chapter = cast(ChapterGuidelines, _read_file(path, ChapterGuidelines, "sections"))
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
