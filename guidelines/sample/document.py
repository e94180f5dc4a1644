"""Draw a short made-up guideline PDF in the form of the CMS one, for the demo and the tests.

Its text is in guideline.md and says on its front page that it was made up. It shares only the form with the real
document: front page, contents with leaders, nested bookmarks, a footer of three lines, chapters that share pages,
reserved chapters, bullets, hyphens at line ends, and marked changes. Same text, same bytes.

Run: python -m guidelines.sample.document sample.pdf
"""

import re
import sys
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from deepicd import storage

FIRST_BOOKMARK = "ICD-10-CM Official Guidelines for Coding and Reporting"
FOOTER_RIGHT = 545.0  # points
# By level: font, size, left edge of the heading and of the text below it, as measured in the FY2025 file
LEVELS = (
    ("Helvetica-Bold", 16, 66, 66),
    ("Helvetica-Bold", 14, 102, 120),
    ("Helvetica-Bold", 13, 121, 156),
    ("Times-Bold", 14, 170, 192),
    ("Times-Bold", 13, 199, 228),
    ("Times-Bold", 12, 251, 264),
)
BODY = 12  # points
LONGEST_CENTRED = 110  # characters; longer ones on the front page are running text
LEADING = 1.15  # times the type size


class Piece(NamedTuple):
    """A paragraph of the sample; `level` is its level if it is a heading, or else that of the heading above."""

    kind: Literal["front", "heading", "paragraph", "item"]
    level: int
    text: str  # with reportlab's <b>, <i>, <u>


def read_sample_text() -> str:
    """Return the text of the sample, in the notation of `parse_pieces`."""
    return (files("guidelines") / "sample" / "guideline.md").read_text(encoding="utf-8")


def write_sample(path: Path, text: str | None = None) -> Path:
    """Draw the sample, or another text in its notation; return the path. An existing file is replaced."""
    with storage.atomic_write(path) as tmp:
        _draw(list(parse_pieces(read_sample_text() if text is None else text)), tmp)
    return path


def parse_pieces(text: str) -> Iterator[Piece]:
    """Yield the paragraphs of a text in the notation of guideline.md: # headings, - items, **bold**, *italics*."""
    level, front = 0, True
    for line in filter(None, map(str.strip, text.splitlines())):
        markup = re.sub(r"\*(.+?)\*", r"<i>\1</i>", re.sub(r"\*\*(.+?)\*\*(?!\*)", r"<b>\1</b>", line))
        if heading := re.fullmatch(r"(#+) (.*)", markup):
            front = front and heading[2] == FIRST_BOOKMARK
            level = len(heading[1]) - 1
            yield Piece("heading", level, heading[2])
        elif front and len(line) <= LONGEST_CENTRED:
            yield Piece("front", 0, markup)
        elif line.startswith("- "):
            yield Piece("item", level, markup[2:])
        else:
            yield Piece("paragraph", level, markup)


def _draw(text: list[Piece], path: Path) -> None:
    from reportlab.lib.pagesizes import LETTER
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate, Paragraph
    from reportlab.platypus.tableofcontents import TableOfContents

    class Guideline(BaseDocTemplate):  # type: ignore[misc]  # reportlab has no types
        """Add every heading to bookmarks and contents; count pages for the footers of the next pass."""

        pages = 0

        def afterPage(self) -> None:  # reportlab's name
            self.pages = max(self.pages, self.page)

        def afterFlowable(self, flowable: Any) -> None:  # reportlab's name
            if (level := getattr(flowable, "heading", None)) is None:
                return
            title = flowable.getPlainText()
            self.canv.bookmarkPage(key := f"heading-{self.seq.next('heading')}")
            self.canv.addOutlineEntry(title, key, level)
            self.notify("TOCEntry", (level, title, self.page))

    contents = TableOfContents(
        dotsMinLevel=0, levelStyles=[_build_style("entry", level) for level in range(len(LEVELS))]
    )
    story: list[Any] = []
    for piece in text:
        if piece.text.startswith("Section I."):
            story += [PageBreak(), contents, PageBreak()]
        elif piece.text.startswith("Appendix"):
            story.append(PageBreak())
        bullet = "•" if piece.kind == "item" else None
        kind = "title" if piece.text == FIRST_BOOKMARK else piece.kind
        paragraph = Paragraph(piece.text, _build_style(kind, piece.level), bulletText=bullet)
        if piece.kind == "heading":
            paragraph.heading = piece.level
        story.append(paragraph)

    document = Guideline(str(path), pagesize=LETTER, invariant=1, title="Made up for demonstration", author="deepicd")
    frame = Frame(0, 72, LETTER[0], LETTER[1] - 122, leftPadding=0, rightPadding=36, topPadding=0, bottomPadding=0)
    document.addPageTemplates(PageTemplate("page", [frame], onPage=_draw_footer))
    document.year = next(piece.text[:7] for piece in text if piece.text.startswith("FY "))
    document.multiBuild(story, canvasmaker=partial(Canvas, invariant=1))


def _draw_footer(canvas: Any, document: Any) -> None:
    if document.page == 1:
        return
    canvas.setFont("Times-Roman", 10)
    canvas.drawRightString(FOOTER_RIGHT, 43, FIRST_BOOKMARK)
    canvas.drawRightString(FOOTER_RIGHT, 31, document.year)
    canvas.drawRightString(FOOTER_RIGHT, 19, f"Page {document.page} of {document.pages}")


def _build_style(kind: str, level: int) -> Any:
    from reportlab.lib.enums import TA_CENTER
    from reportlab.lib.styles import ParagraphStyle

    font, size, heading_left, text_left = LEVELS[level]
    if kind in ("front", "title"):
        size = 16 if kind == "title" else 12
        return ParagraphStyle(
            kind, fontName="Times-Bold", fontSize=size, leading=20, alignment=TA_CENTER, leftIndent=36
        )
    if kind == "heading":
        return ParagraphStyle(
            kind, fontName=font, fontSize=size, leading=size * LEADING, leftIndent=heading_left + 20,
            firstLineIndent=-20, spaceBefore=12, spaceAfter=3, keepWithNext=1,
        )  # fmt: skip
    if kind == "entry":
        return ParagraphStyle(kind, fontName="Times-Roman", fontSize=12, leading=13.8, leftIndent=66 + 12 * level)
    return ParagraphStyle(
        kind, fontName="Times-Roman", fontSize=BODY, leading=BODY * LEADING, embeddedHyphenation=1,
        leftIndent=text_left + (36 if kind == "item" else 0), bulletIndent=text_left + 18, bulletFontName="Symbol",
        spaceAfter=0 if kind == "item" else BODY * LEADING,
    )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(f"{write_sample(Path(sys.argv[1]))}\n")
