"""Build nested sections from headings and lines, with the ids by which the guidelines cite them; as a tree or as rows.

'I.C.4.a.3.b' is Section I, C, chapter 4, a, 3), (b). The front page has the id 'front'. Any other title without a
number ('Present on Admission Reporting Guidelines') is below the section before it, with its position as its label.

A paragraph ends before a larger gap, before a bullet, or where a line breaks off although the next word would have
fitted. The last rule separates lists that are set line by line ('Z59.1, Inadequate housing') without bullets. It does
not apply in the middle of a sentence, since words tied by a no-break space or hyphen move to the next line together. A
paragraph that continues over a page end stays whole.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from deepicd.schema import Block, Mark, Section
from guidelines.code_references import find_codes, find_sections
from guidelines.headings import TOP, Heading
from guidelines.lines import Line, StyledText
from guidelines.pdf_document import Document

FRONT = "front"
CHAPTERS_ID = "I.C"
CHAPTER = re.compile(r"Chapter (\d{1,2}):\s*(.*?)\s*(?:\(?[A-Z]\d[\dA-Z].*)?", re.DOTALL)
"""The title of a chapter: its number, and its name without the codes it covers."""

NEXT_LINE = 1.35  # times the type size; FY2025: 1.15 within a paragraph, 1.22 between items, 2.3 between paragraphs
SAME_SIZE = 0.085  # of the type size: FY2025 has 12, 13, 14 and 16 points, and text may be a point from its heading
WORD_SPACE = 0.25  # times the type size, as in Times
MARGIN_LINES = 3  # lines of a page that must end at the right margin
MARGIN_WIDTH = 0.67  # of the type size, by which their ends may differ

# How a line ends, and how the next begins, in the middle of a sentence.
_OPEN_END = re.compile(r"\b(?:an?|the|of|to|in|by|for|with)\Z|\([^)]*\Z")
_LOWER_CASE = re.compile(r"[a-z]")
_CLOSED_END = re.compile(r"[.:;!?)”\"]\Z|; (?:or|and)\Z")  # 'therapeutic treatment; or': the next list entry follows


@dataclass(slots=True)
class _Node:
    """A section while the tree is built."""

    id: str
    level: int
    heading: Heading
    blocks: list[Block]
    pages: tuple[int, int]
    children: list["_Node"] = field(default_factory=list)

    def walk(self) -> Iterator["_Node"]:
        """Yield the section and everything below it, in reading order."""
        yield self
        for child in self.children:
            yield from child.walk()


def build_sections(document: Document, headings: Sequence[Heading]) -> list[Section]:
    """Return the outermost sections of a document, with their references to codes and to each other."""
    roots = _build_tree(document, headings)
    titles = {node.id: node.heading.title.text for root in roots for node in root.walk()}
    return [_build_section(root, titles) for root in roots]


def _build_tree(document: Document, headings: Sequence[Heading]) -> list[_Node]:
    lines = [*document.front, *document.body]
    margins = measure_right_margins(lines)
    if lines and (not headings or headings[0].first):  # keep the text above the first heading
        headings = [Heading(TOP, "", StyledText(""), lines[0].page, first=0, end=0), *headings]
    ends = [heading.first for heading in headings[1:]] + [len(lines)]
    roots: list[_Node] = []
    above: list[_Node] = []
    for heading, end in zip(headings, ends, strict=True):
        level = heading.level if heading.label or not roots else max(heading.level, TOP + 1)
        while above and above[-1].level >= level:
            above.pop()
        siblings = above[-1].children if above else roots
        node = _Node(
            id=_build_id(heading, above[-1].id if above else "", siblings),
            level=level,
            heading=heading,
            blocks=build_blocks(lines[heading.end : end], margins),
            pages=(heading.page, lines[end - 1].page),
        )
        siblings.append(node)
        above.append(node)
    return roots


def _build_id(heading: Heading, parent: str, siblings: Sequence[_Node]) -> str:
    """Return an id that is unique among siblings: a label that the document repeats gets a suffix."""
    label = heading.label.removeprefix("Section ").strip("().").replace(" ", "-")
    own = label or (str(len(siblings) + 1) if parent else FRONT)
    full = f"{parent}.{own}" if parent else own
    repeats = sum(sibling.id.split("~")[0] == full for sibling in siblings)
    return f"{full}~{repeats + 1}" if repeats else full


def _build_section(node: _Node, titles: Mapping[str, str]) -> Section:
    texts = [node.heading.title.text, *(block["text"] for block in node.blocks)]
    return Section(
        id=node.id,
        label=node.heading.label,
        title=node.heading.title.text,
        title_marks=node.heading.title.list_marks(("underline", "italics")),
        pages=[node.pages[0], max(child.pages[1] for child in node.walk())],
        blocks=node.blocks,
        codes=[reference for text in texts for reference in find_codes(text)],
        see=list(dict.fromkeys(target for text in texts for target in find_sections(text, titles, node.id))),
        children=[_build_section(child, titles) for child in node.children],
    )


def measure_right_margins(lines: Sequence[Line]) -> dict[int, float]:
    """Return page → right margin of its text in points, where several lines end; a single longer line is ignored."""
    pages: dict[int, list[Line]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line)
    return {page: _find_margin(own) for page, own in pages.items()}


def _find_margin(lines: Sequence[Line]) -> float:
    ends = sorted((line.right for line in lines), reverse=True)
    width = MARGIN_WIDTH * median(line.size for line in lines)
    for at, end in enumerate(ends[: -MARGIN_LINES + 1]):
        if end - ends[at + MARGIN_LINES - 1] <= width:
            return end
    return ends[0]


def build_blocks(lines: Sequence[Line], margins: Mapping[int, float]) -> list[Block]:
    """Return the text of one section as paragraphs and list items, in the printed order."""
    groups: list[list[Line]] = []
    for line in lines:
        if groups and not _begins_block(line, groups[-1], margins):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [_build_block(group) for group in groups]


def _begins_block(line: Line, group: Sequence[Line], margins: Mapping[int, float]) -> bool:
    before = group[-1]
    if line.is_bulleted:
        return True
    if line.page == before.page and line.top - before.top > NEXT_LINE * max(line.size, before.size):
        return True
    if abs(line.size - before.size) > SAME_SIZE * max(line.size, before.size):
        return True
    if margins[before.page] - before.right <= WORD_SPACE * before.size + line.first_word:
        return False
    if _OPEN_END.search(before.text):
        return False
    return not _LOWER_CASE.match(line.text) or _CLOSED_END.search(before.text) is not None


def _build_block(group: Sequence[Line]) -> Block:
    content = StyledText.join(line.content for line in group)
    if group[0].is_bulleted:
        content = content.drop_prefix(1)
        return Block(kind="item", text=content.text, marks=content.list_marks())
    return Block(kind="paragraph", text=content.text, marks=content.list_marks())


def walk(sections: list[Section]) -> Iterator[Section]:
    """Yield sections and everything below them, in reading order."""
    for section in sections:
        yield section
        yield from walk(section["children"])


def format_heading(section: Section) -> str:
    """Return a section's heading as printed: label and title."""
    return f"{section['label']} {section['title']}".strip()


def list_texts(section: Section, bullet: str = "") -> Iterator[str]:
    """Yield a section's heading and its own blocks, items after a bullet."""
    yield format_heading(section)
    for block in section["blocks"]:
        yield f"{bullet if block['kind'] == 'item' else ''}{block['text']}"


def build_rows(
    fiscal_year: int, sections: list[Section], parent: str | None = None, level: int = 0, chapter: int | None = None
) -> Iterator[dict[str, object]]:
    """Yield one row of schema.SECTIONS per section, in reading order."""
    for section in sections:
        if parent == CHAPTERS_ID:
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
        yield from build_rows(fiscal_year, section["children"], section["id"], level + 1, chapter)


def join_blocks(blocks: list[Block]) -> tuple[str, list[Mark]]:
    """Return blocks as one text, one line each, with '- ' before an item, and the marks in it."""
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
