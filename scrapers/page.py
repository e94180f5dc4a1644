"""What a page of gesund.bund.de says of an ICD-10-GM code: a pure function from its HTML to one of five outcomes.

    >>> html = '''<title>ICD-10-Code: A00.0</title><h1>ICD-Code A00.0: Cholera</h1>
    ... <article><div data-text-key="A00.0"><p>Sie haben Cholera.</p></div></article>'''
    >>> read(html, Code.parse("A00.0"))
    Reading(outcome='described', title='Cholera', text='Sie haben Cholera.', text_code='A00.0')

The text stands in `<div data-text-key="A00.0">`, whose key may name another code than the one asked for, and which may
be missing or empty. A code the site does not know gets a page too, under another title and with status 200.
Left out of the text: navigation, headings, the list of additional indicators (G, V, Z, A, …), sources and notes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from deepicd.icd10cm import Code

if TYPE_CHECKING:
    from bs4 import Tag

EXTRACTOR = "1"
"""Raise it when the same page would give another row: the pages on disk are then read again."""

Outcome = Literal[
    "described",
    "no text",  # a page of this code, without an explanation
    "another code",  # the explanation on it is a parent's or a child's: `text_code` says whose
    "unknown code",  # a page of the site, about no code
    "not an ICD page",  # an error page, a captcha, something that is no HTML
]

# <title> of a code's page begins 'ICD-10-Code:'; 'ICD-Code-Suche' is the search
KNOWN_CODE = re.compile(r"ICD-10(?:-GM)?[- ]Code\s*:", re.IGNORECASE)
# <h1>ICD-Code A00.0: Cholera durch …</h1>, in English <h1>ICD code A00.0: Cholera due to …</h1>
HEADLINE = re.compile(r"ICD(?:-10)?(?:-GM)?[- ]Code\s+[^\s:]+\s*:\s*(?P<title>.+)", re.IGNORECASE)
OF_THE_SITE = re.compile(r"icd-code-su|icd-code-search", re.IGNORECASE)  # in the address of a link, on any page

NO_TEXT_IN = ["nav", "header", "footer", "aside", "form", "button", "script", "style", "noscript", "template", "svg"]
HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
PARAGRAPHS = ["p", "div", "section", "ul", "ol", "dl", "table", "blockquote"]
LINES = ["li", "tr", "dt", "dd"]
NOT_DESCRIPTION = {  # headings of what is on the page beside the explanation, German and English
    "zusatzkennzeichen",
    "additional indicator",
    "additional indicators",
    "quelle",
    "quellen",
    "source",
    "sources",
    "hinweis",
    "hinweise",
    "note",
    "notes",
}
PARAGRAPH_MARK, LINE_MARK = "\x1d", "\x1e"  # no HTML text holds these two control characters in earnest


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found. `text` has its paragraphs parted by a blank line; None unless the outcome is 'described'."""

    outcome: Outcome
    title: str | None = None
    text: str | None = None
    text_code: str | None = None
    """Whose text the page holds, dotted; None where it holds none."""


def read(html: str, asked: Code) -> Reading:
    """The reading of one page. Never raises: whatever the server sent, it is an outcome."""
    from bs4 import BeautifulSoup, Tag

    page = BeautifulSoup(html.replace("\0", ""), "lxml")  # libxml2 ends a document at its first NUL
    if not KNOWN_CODE.match(_line(page.title)):
        of_the_site = any(OF_THE_SITE.search(str(link["href"])) for link in page.find_all("a", href=True))
        return Reading("unknown code" if of_the_site else "not an ICD page")
    headline = HEADLINE.match(_line(page.h1))
    title = headline["title"] if headline else None
    texts = {
        code: text
        for block in page.find_all(attrs={"data-text-key": True})
        if isinstance(block, Tag) and (code := _key(block)) and (text := _description(block))
    }
    if own := texts.get(asked):
        return Reading("described", title, own, str(asked))
    if texts:
        return Reading("another code", title, text_code=str(next(iter(texts))))
    return Reading("no text", title)


def _line(tag: "Tag | None") -> str:
    """A tag's text on one line; '' for no tag."""
    return " ".join(tag.get_text(" ").replace("\xad", "").split()) if tag else ""


def _key(block: "Tag") -> Code | None:
    return Code.find(str(block["data-text-key"]).strip().rstrip("!*+†-."))


def _description(block: "Tag") -> str:
    """The explanation in a block, as paragraphs; '' where nothing but headings, lists of marks and sources is left."""
    from bs4.element import NavigableString, PreformattedString

    for heading in block.find_all(HEADINGS):
        if _line(heading).rstrip(":").casefold() in NOT_DESCRIPTION:
            for part in list(_section(heading, block)):
                part.extract()
    for tag in block.find_all(NO_TEXT_IN + HEADINGS):
        tag.extract()
    for text in block.find_all(string=True):
        if isinstance(text, PreformattedString):  # a comment
            text.extract()
        else:  # line breaks of the source mean nothing
            text.replace_with(re.sub(r"\s+", " ", text))
    for tag in block.find_all(PARAGRAPHS):
        tag.insert_before(NavigableString(PARAGRAPH_MARK))
        tag.insert_after(NavigableString(PARAGRAPH_MARK))
    for tag in block.find_all(LINES):
        tag.insert(0, NavigableString(f"{LINE_MARK}- " if tag.name == "li" else LINE_MARK))
    for tag in block.find_all("br"):
        tag.replace_with(NavigableString(LINE_MARK))
    paragraphs = (_paragraph(part) for part in block.get_text().replace("\xad", "").split(PARAGRAPH_MARK))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _paragraph(part: str) -> str:
    """Its lines, white space closed up; empty lines and bullets without text are dropped."""
    lines = (" ".join(line.split()) for line in part.split(LINE_MARK))
    return "\n".join(line for line in lines if line not in ("", "-"))


def _section(heading: "Tag", block: "Tag") -> Iterator["Tag"]:
    """The heading and what follows up to the next heading; a box that holds nothing but the heading counts as it."""
    from bs4 import Tag

    start = heading
    while start.parent is not None and start.parent is not block and _line(start.parent) == _line(heading):
        start = start.parent
    yield start
    for sibling in start.find_next_siblings():
        if not isinstance(sibling, Tag):
            continue
        if sibling.name in HEADINGS or sibling.find(HEADINGS):
            return
        yield sibling
