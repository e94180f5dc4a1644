"""Headings and blocks → sections within sections, each with the id by which the guidelines cite it.

'I.C.4.a.3.b' is Section I, C, chapter 4, a, 3), (b). The front page has the id 'front'. Any other title without a
number ('Present on Admission Reporting Guidelines') stands under the section before it, counted among its siblings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deepicd.schema import Block, Section
from guidelines.code_references import find_codes, find_sections
from guidelines.document import Document
from guidelines.headings import TOP, Heading
from guidelines.paragraphs import build_blocks, measure_right_margins
from guidelines.styled_text import StyledText

FRONT = "front"


@dataclass(slots=True)
class Node:
    """A section as it is being put together."""

    id: str
    level: int
    heading: Heading
    blocks: list[Block]
    pages: tuple[int, int]
    children: list["Node"] = field(default_factory=list)

    def walk(self) -> Iterator["Node"]:
        """The section and all below it, in reading order."""
        yield self
        for child in self.children:
            yield from child.walk()


def build_sections(document: Document, headings: Sequence[Heading]) -> list[Section]:
    """The outermost sections of a document, references to codes and to each other resolved."""
    roots = _tree(document, headings)
    titles = {node.id: node.heading.title.text for root in roots for node in root.walk()}
    return [_section(root, titles) for root in roots]


def _tree(document: Document, headings: Sequence[Heading]) -> list[Node]:
    lines = [*document.front, *document.body]
    margins = measure_right_margins(lines)
    if lines and (not headings or headings[0].first):  # whatever stands above the first heading is not lost
        headings = [Heading(TOP, "", StyledText(""), lines[0].page, first=0, end=0), *headings]
    ends = [heading.first for heading in headings[1:]] + [len(lines)]
    roots: list[Node] = []
    above: list[Node] = []
    for heading, end in zip(headings, ends, strict=True):
        level = heading.level if heading.label or not roots else max(heading.level, TOP + 1)
        while above and above[-1].level >= level:
            above.pop()
        siblings = above[-1].children if above else roots
        node = Node(
            id=_id(heading, above[-1].id if above else "", siblings),
            level=level,
            heading=heading,
            blocks=build_blocks(lines[heading.end : end], margins),
            pages=(heading.page, lines[end - 1].page),
        )
        siblings.append(node)
        above.append(node)
    return roots


def _id(heading: Heading, parent: str, siblings: Sequence[Node]) -> str:
    """Unique among siblings: a label that the document uses twice gets a number behind it the second time."""
    label = heading.label.removeprefix("Section ").strip("().").replace(" ", "-")
    own = label or (str(len(siblings) + 1) if parent else FRONT)
    full = f"{parent}.{own}" if parent else own
    twice = sum(sibling.id.split("~")[0] == full for sibling in siblings)
    return f"{full}~{twice + 1}" if twice else full


def _section(node: Node, titles: Mapping[str, str]) -> Section:
    texts = [node.heading.title.text, *(block["text"] for block in node.blocks)]
    return Section(
        id=node.id,
        label=node.heading.label,
        title=node.heading.title.text,
        title_marks=node.heading.title.marks(("underline", "italics")),
        pages=[node.pages[0], max(child.pages[1] for child in node.walk())],
        blocks=node.blocks,
        codes=[reference for text in texts for reference in find_codes(text)],
        see=list(dict.fromkeys(target for text in texts for target in find_sections(text, titles, node.id))),
        children=[_section(child, titles) for child in node.children],
    )
