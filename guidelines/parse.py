"""A guideline PDF → OUT/fy2025/: a JSON file a chapter and a part, all sections as a table, run.json.

    chapter_01.json … chapter_22.json             Section I.C, a file a chapter (schema.ChapterGuidelines)
    front.json, section_I.json, section_I_A.json, section_I_B.json, section_I_C.json, section_II.json … section_IV.json,
    appendix_I.json                               all that is not a chapter (schema.GuidelinePart)
    sections.parquet                              one row a section (schema.SECTIONS)

Every word from the front page to the end of the appendix stands in one JSON file and in one row; footers and contents
are in none. The folder appears whole or not at all, and a second run on the same PDF does nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from deepicd import records, storage
from deepicd.icd10cm import CHAPTERS
from deepicd.schema import SECTIONS, ChapterGuidelines, GuidelinePart, Section
from deepicd.stage_records import GuidelinesCounts, GuidelinesRecord
from guidelines import document
from guidelines.code_references import find_codes
from guidelines.completeness import refuse_incomplete
from guidelines.document import Document
from guidelines.headings import Headings, find_headings
from guidelines.parsed_year import CHAPTER, walk
from guidelines.section_rows import build_rows
from guidelines.sections import FRONT, build_sections

RESERVED = "Reserved for future guideline expansion"


def parse_pdf(pdf: Path, out: Path, *, overwrite: bool = False) -> GuidelinesRecord:
    """Parse `pdf` into OUT/fy<year>; the run's record. Raises DeepicdError where it is no complete guideline."""
    folder, plan = plan_parse(pdf, out)
    if done := records.find_finished(folder, plan):
        return done
    with records.fresh_folder(folder, plan, "public", overwrite=overwrite) as run:
        parsed = document.read_document(pdf)
        found = find_headings(parsed)
        tree = build_sections(parsed, found.found)
        refuse_incomplete(pdf, parsed, tree)
        if parsed.demonstration:
            run.origin = "synthetic"
        for name, value in build_files(parsed, tree):
            storage.write_json(run.folder / name, value)
        count = storage.write_parquet(
            run.folder / "sections.parquet", build_rows(parsed.fiscal_year, tree), SECTIONS, run.origin
        )
        run.counts = _counts(parsed, found, tree, count)
        run.notes += _notes(parsed, found)
    return run.record


def plan_parse(pdf: Path, out: Path) -> tuple[Path, records.Plan[GuidelinesRecord]]:
    """The folder that a PDF is parsed into, and the plan of it; reads the front page only."""
    with document.open_pdf(pdf) as opened:
        year = document.read_front_page(opened, pdf).fiscal_year
    return out / f"fy{year}", records.plan_run(GuidelinesRecord, options={"fiscal_year": year}, inputs={"pdf": pdf})


def build_files(parsed: Document, tree: list[Section]) -> Iterator[tuple[str, ChapterGuidelines | GuidelinePart]]:
    """Name and content of every JSON file, in reading order."""
    for section in tree:
        if section["id"] != "I":
            yield _name(section["id"]), _part(parsed, section)
            continue
        yield _name("I"), _part(parsed, section | {"children": []})
        for part in section["children"]:
            if part["id"] != "I.C":
                yield _name(part["id"]), _part(parsed, part)
                continue
            yield _name("I.C"), _part(parsed, part | {"children": []})
            for chapter in part["children"]:
                content = _chapter(parsed, chapter)
                yield f"chapter_{content['number']:02}.json", content


def _name(section_id: str) -> str:
    """
    >>> _name("I.A"), _name("Appendix-I"), _name("front")
    ('section_I_A.json', 'appendix_I.json', 'front.json')
    """
    if section_id == FRONT or section_id.startswith("Appendix"):
        return f"{section_id.replace('Appendix-', 'appendix_')}.json"
    return f"section_{section_id.replace('.', '_')}.json"


def _part(parsed: Document, section: Section) -> GuidelinePart:
    return GuidelinePart(fiscal_year=parsed.fiscal_year, effective=_effective(parsed), **section)


def _effective(parsed: Document) -> list[str]:
    return [day.isoformat() for day in parsed.effective] if parsed.effective else []


def _chapter(parsed: Document, section: Section) -> ChapterGuidelines:
    match = CHAPTER.fullmatch(section["title"])
    assert match is not None
    number, title = int(match[1]), match[2]
    return ChapterGuidelines(
        fiscal_year=parsed.fiscal_year,
        effective=_effective(parsed),
        id=section["id"],
        number=number,
        roman=CHAPTERS[number - 1].roman,
        title=title,
        heading=f"{section['label']} {section['title']}",
        heading_marks=section["title_marks"],
        ranges=[_dotted(code["first"], code["last"]) for code in find_codes(section["title"])],
        reserved=not section["children"] and [block["text"] for block in section["blocks"]] == [RESERVED],
        pages=section["pages"],
        blocks=section["blocks"],
        codes=section["codes"],
        see=section["see"],
        sections=section["children"],
    )


def _dotted(*codes: str) -> list[str]:
    return [code if len(code) == 3 else f"{code[:3]}.{code[3:]}" for code in codes]


def _counts(parsed: Document, found: Headings, tree: list[Section], rows: int) -> GuidelinesCounts:
    everything = list(walk(tree))
    return GuidelinesCounts(
        pages=parsed.pages,
        bookmarks=len(parsed.bookmarks),
        headings_from_bookmarks=found.bookmarked,
        headings_from_fonts=len(found.found) - found.bookmarked,
        code_references=sum(len(section["codes"]) for section in everything),
        cross_references=sum(len(section["see"]) for section in everything),
        marks=sum(len(block["marks"]) for section in everything for block in section["blocks"]),
        sections=rows,
    )


def _notes(parsed: Document, found: Headings) -> list[str]:
    notes = []
    if parsed.demonstration:
        notes.append("Made up for demonstration: these are not the official guidelines.")
    if found.unplaced:
        titles = "; ".join(bookmark.title for bookmark in found.unplaced)
        notes.append(f"{len(found.unplaced)} bookmarks do not stand on the page they point to: {titles}")
    return notes
