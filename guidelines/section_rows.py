"""Sections as rows of a table (schema.SECTIONS), in reading order."""

from collections.abc import Iterator
from typing import Any

from deepicd.schema import Block, Mark, Section


def build_rows(fiscal_year: int, tree: list[Section]) -> Iterator[dict[str, Any]]:
    """One row a section, those below it in rows of their own."""
    for section in tree:
        yield from _rows(fiscal_year, section, parent=None, level=0, chapter=None)


def _rows(
    fiscal_year: int, section: Section, parent: str | None, level: int, chapter: int | None
) -> Iterator[dict[str, Any]]:
    if parent == "I.C":
        chapter = int(section["label"].rstrip("."))
    text, marks = join_blocks(section["blocks"])
    yield {
        "fiscal_year": fiscal_year,
        "id": section["id"],
        "parent": parent,
        "level": level,
        "chapter": chapter,
        "label": section["label"],
        "title": section["title"],
        "text": text,
        "codes": section["codes"],
        "see": section["see"],
        "first_page": section["pages"][0],
        "last_page": section["pages"][1],
        "marks": marks,
    }
    for child in section["children"]:
        yield from _rows(fiscal_year, child, section["id"], level + 1, chapter)


def join_blocks(blocks: list[Block]) -> tuple[str, list[Mark]]:
    """Blocks as one text, a line each, '- ' before an item, and the marks in it."""
    text, marks = "", list[Mark]()
    for block in blocks:
        start = f"{text}\n" if text else ""
        start += "- " if block["kind"] == "item" else ""
        marks += [
            Mark(start=mark["start"] + len(start), end=mark["end"] + len(start), style=mark["style"])
            for mark in block["marks"]
        ]
        text = start + block["text"]
    return text, marks
