"""Read what a page of gesund.bund.de says about an ICD-10-GM code: a pure function from HTML to one of six outcomes.

    >>> html = '''<title>ICD-10-Code: A00.0</title><h1>ICD-Code A00.0: Cholera</h1>
    ... <article><div data-text-key="A00.0"><p>Sie haben Cholera.</p></div></article>'''
    >>> reading = read_page(html, Code.parse("A00.0"))
    >>> reading.outcome, reading.title, reading.text, reading.text_code
    ('described', 'Cholera', 'Sie haben Cholera.', 'A00.0')

The text is in `<div data-text-key="A00.0">`. The key may name another code than the requested one, and the element may
be missing or empty. The site answers an unknown code with its search page, whose title or headline says so. Any other
page, such as a consent form or a login with the site's menu, says nothing about the code.
Navigation, headings, the list of additional indicators (G, V, Z, A, …), sources and notes are not part of the text;
indicators and notes are read separately (`marks`, `hints`).
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal
from unicodedata import normalize

from bs4 import BeautifulSoup, Tag, UnusualUsageWarning
from bs4.builder import LXMLTreeBuilder  # type: ignore[attr-defined]  # there where lxml is installed
from bs4.element import PageElement
from bs4.filter import SoupStrainer

from deepicd.icd10cm import Code
from scrapers.decoding import is_garbled

EXTRACTOR = "4"
"""Version of this reader. Raise it when the same page would give another row; stored pages are then read again."""

Outcome = Literal[
    "described",
    "no text",  # a page of this code, without an explanation
    "garbled text",  # a page of this code whose charset could not be made out
    "another code",  # the explanation belongs to a parent or a child: see `text_code`
    "unknown code",  # the site's search page, or one that says that the code is not found
    "not an ICD page",  # an error page, a consent form, a login, a captcha, something that is not HTML
]

# The <title> of a code's page begins 'ICD-10-Code:', that of the search 'ICD-Code-Suche'; a code in <h1> also counts
KNOWN_CODE = re.compile(r"ICD-10(?:-GM)?[- ]Code\s*:", re.IGNORECASE)
# <h1>ICD-Code A00.0: Cholera durch …</h1>, in English also <h1>A00.0: Cholera due to …</h1>
HEADLINE = re.compile(
    r"(?:(?P<label>ICD(?:-10)?(?:-GM)?[- ]Code)\s+)?(?P<code>[A-Z]\d\d[^\s:]*)\s*:\s*(?P<title>.+)", re.IGNORECASE
)
SEARCH_PAGE = re.compile(r"ICD(?:-10)?(?:-GM)?[- ]Code[- ](?:Suche|search)\b", re.IGNORECASE)
NOT_FOUND = re.compile(
    r"(?:nicht|not) (?:gefunden|bekannt|vorhanden|found|known)|unbekannt|unknown|keine? (?:ergebnis|treffer)|no result",
    re.IGNORECASE,
)

STRAINER = SoupStrainer(re.compile(r"(?!(?:html|head|meta|link|base|script|style)$)"))  # of <head>, keep the title
TEXT_KEY = "data-text-key"
HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
HEADING_NODES = 50  # in the heading of a part of the page, at most
WITHOUT_TEXT = {"nav", "header", "footer", "aside", "form", "button", "noscript", "svg", *HEADINGS}
PARAGRAPH_BREAK, LINE_BREAK = "\x1d", "\x1e"  # control characters, which `_collapse` removes from the page's own text
# tag → what to put before its text and after it
BREAKS = {
    **dict.fromkeys(
        ["p", "div", "section", "ul", "ol", "dl", "table", "blockquote"], (PARAGRAPH_BREAK, PARAGRAPH_BREAK)
    ),
    **dict.fromkeys(["tr", "dt", "dd", "br"], (LINE_BREAK, "")),
    "li": (f"{LINE_BREAK}- ", ""),
}
# Headings of the parts of a page that are not the explanation, German and English
MARKS = {"zusatzkennzeichen", "additional indicator", "additional indicators"}
HINTS = {"hinweis", "hinweise", "note", "notes"}
SOURCES = {"quelle", "quellen", "source", "sources"}
LINKS = {"weitere informationen", "further information", "more information", "weitere artikel", "more articles"}
# Paragraphs of the same kind that no heading separates from the explanation
BOILERPLATE = re.compile(
    r"Auf ärztlichen Dokumenten wird der ICD-Code|In outpatient care, the ICD code on medical documents|"
    r"Bereitgestellt von der|Provided by the non-profit",
    re.IGNORECASE,
)
MARK = re.compile(r"[GVZALRB]\b")  # confirmed, suspected, state after, excluded; left, right, both sides


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page says. `text` separates its paragraphs by a blank line; None unless the outcome is 'described'."""

    outcome: Outcome
    title: str | None = None
    text: str | None = None
    text_code: str | None = None
    """The code that the page's text belongs to, dotted; None where there is no text."""
    marks: tuple[str, ...] = ()
    """Letters of the additional indicators that the page explains: ('G', 'V')."""
    hints: tuple[str, ...] = ()
    """The paragraphs under headings such as 'Hinweis'."""
    has_article: bool = False
    """Whether the page has the element that holds texts; many of these without a text suggest a new layout."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a tag begins in its document, and how many nodes, strings other than blanks, and headings it contains."""

    start: int
    nodes: int
    strings: int
    headings: int


Extents = dict[int, _Extent]  # by the id of the tag


class _PageBuilder(LXMLTreeBuilder):  # type: ignore[misc]  # see the import
    """bs4's lxml builder, which leaves out comments so that they do not split the text around them."""

    def comment(self, text: str | bytes) -> None:
        pass

    def pi(self, target: str, data: str) -> None:
        pass


def read_page(html: str, code: Code) -> Reading:
    """Return the reading of the page that was requested for a code. Never raises: any answer has an outcome."""
    soup = _parse(html)
    h1, title = _line(soup.h1), _line(soup.title)
    headline = HEADLINE.match(h1)
    if headline and not headline["label"] and headline["code"][:3].upper() != code.value[:3]:
        headline = None  # 'E404: …'
    if headline and NOT_FOUND.fullmatch(headline["title"].rstrip(" .!")):
        return Reading("unknown code")
    if not headline and not KNOWN_CODE.match(title):
        return Reading("unknown code" if _is_search_page(title, h1) else "not an ICD page")
    headings, extents = soup.find_all(HEADINGS), _measure_tags(soup)
    reading = Reading(
        "no text",
        title=headline["title"] if headline else None,
        marks=tuple(mark[0] for entry in _read_under(MARKS, headings, extents) if (mark := MARK.match(entry))),
        hints=tuple(_read_under(HINTS, headings, extents)),
        has_article=soup.article is not None,
    )
    reading = _add_text(reading, soup, code, extents)
    if any(is_garbled(part) for part in (reading.title or "", reading.text or "", *reading.hints)):
        return Reading("garbled text", has_article=reading.has_article)
    return reading


def _add_text(reading: Reading, soup: BeautifulSoup, code: Code, extents: Extents) -> Reading:
    """Return the reading with the text of the page's block for the code, or with the code that its text belongs to."""
    blocks = [(block, key) for block in soup.find_all(True, {TEXT_KEY: True}) if (key := _read_key(block))]
    own = _list_outermost([block for block, key in blocks if key == code], extents)
    for block in reversed(own):
        if text := _read_description(block, extents):
            return replace(reading, outcome="described", text=text, text_code=str(code))
    for block in _list_outermost([block for block, key in blocks if key != code], extents):
        if _read_description(block, extents):
            return replace(reading, outcome="another code", text_code=str(_read_key(block)))
    return reading


def _measure_tags(soup: BeautifulSoup) -> Extents:
    """Return the extent of every tag, in one pass: asking each tag for its text takes quadratic time."""
    extents: Extents = {}
    nodes = strings = headings = 0
    stack: list[tuple[Tag, Iterator[PageElement], tuple[int, int, int]]] = [(soup, iter(soup.contents), (0, 0, 0))]
    while stack:
        tag, children, (start, strings_before, headings_before) = stack[-1]
        if (child := next(children, None)) is None:
            extents[id(tag)] = _Extent(start, nodes - start, strings - strings_before, headings - headings_before)
            stack.pop()
            continue
        nodes += 1
        if isinstance(child, Tag):
            stack.append((child, iter(child.contents), (nodes, strings, headings)))
            headings += child.name in HEADINGS
        else:
            strings += not str(child).isspace()
    return extents


def _list_outermost(tags: list[Tag], extents: Extents) -> list[Tag]:
    """Return the tags, given in the order of the document, that no other one of them contains."""
    outermost: list[Tag] = []
    end = 0
    for tag in tags:
        extent = extents[id(tag)]
        if extent.start >= end:
            outermost.append(tag)
            end = extent.start + extent.nodes + 1
    return outermost


def _is_search_page(title: str, h1: str) -> bool:
    """Return whether a page about no code says itself that it is the search; a menu that links to it is no evidence."""
    if h1 and not SEARCH_PAGE.match(h1) and not NOT_FOUND.search(h1):
        return False  # such as 'Einwilligung', under the section's title
    return bool(SEARCH_PAGE.match(title) or SEARCH_PAGE.match(h1))


def _parse(html: str) -> BeautifulSoup:
    markup = html.replace("\0", "").encode("utf-8", "replace")  # libxml2 ends a document at its first NUL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusualUsageWarning)  # markup that looks like a file name, or XML
        # without `huge_tree` libxml2 ends a tree at 256 nested elements
        soup = BeautifulSoup(markup, builder=_PageBuilder(huge_tree=True), parse_only=STRAINER, from_encoding="utf-8")
    for tag in soup.find_all(["script", "style", "template"]):
        tag.decompose()
    return soup


def _line(tag: Tag | None) -> str:
    """Return the text of a tag on one line; '' for no tag."""
    if tag is None:
        return ""
    text = tag.get_text(" ")
    return " ".join((text if text.isascii() else normalize("NFC", text.replace("\xad", ""))).split())


def _read_key(block: Tag) -> Code | None:
    return Code.find(str(block[TEXT_KEY]).strip().rstrip("!*+†-."))


def _read_description(block: Tag, extents: Extents) -> str:
    """Return the paragraphs of the explanation in a block; '' if it holds only headings, indicators and sources."""
    headings = _find_named(MARKS | HINTS | SOURCES | LINKS, block.find_all(HEADINGS), extents)
    left_out = {id(part) for heading in headings for part in _list_section(heading, extents, block)}
    text = "".join(_read_text(block, left_out)).replace("\xad", "")
    paragraphs = filter(None, map(_join_lines, text.split(PARAGRAPH_BREAK)))
    # NFC: an umlaut may be sent as a letter and a combining mark
    return normalize("NFC", "\n\n".join(paragraph for paragraph in paragraphs if not BOILERPLATE.match(paragraph)))


def _read_text(block: Tag, left_out: set[int]) -> Iterator[str]:
    """Yield the text of a block with breaks where paragraphs and lines begin. Not recursive: nesting has no limit."""
    stack: list[Tag | str] = [block]  # tags, the strings between them, and breaks
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            yield part
        elif part.name not in WITHOUT_TEXT and id(part) not in left_out:
            before, after = BREAKS.get(part.name, ("", ""))
            yield before
            stack.append(after)
            stack += [child if isinstance(child, Tag) else _collapse(str(child)) for child in reversed(part.contents)]


def _collapse(text: str) -> str:
    """Replace white space, which has no meaning in HTML, by single spaces."""
    return re.sub(r"\s+", " ", text)


def _join_lines(paragraph: str) -> str:
    """Return the lines of a paragraph without superfluous spaces, empty lines and bullets without text."""
    lines = (" ".join(line.split()) for line in paragraph.split(LINE_BREAK))
    return "\n".join(line for line in lines if line not in ("", "-"))


def _find_named(names: set[str], headings: list[Tag], extents: Extents) -> list[Tag]:
    short = (heading for heading in headings if extents[id(heading)].nodes <= HEADING_NODES)
    return [heading for heading in short if _line(heading).rstrip(":").casefold() in names]


def _read_under(names: set[str], headings: list[Tag], extents: Extents) -> Iterator[str]:
    """Yield what is under headings of these names, one line per paragraph or list item."""
    for heading in _find_named(names, headings, extents):
        _, *parts = _list_section(heading, extents)
        for part in parts:
            yield from filter(None, map(_line, _list_outermost(part.find_all("li"), extents) or [part]))


def _list_section(heading: Tag, extents: Extents, block: Tag | None = None) -> Iterator[Tag]:
    """Yield a heading and what follows it up to the next one; a box that holds only the heading stands for it."""
    start, strings = heading, extents[id(heading)].strings
    while (box := start.parent) is not None and box is not block and box.name not in HEADINGS:
        if extents[id(box)].strings != strings:
            break
        start = box
    yield start
    for sibling in start.next_siblings:
        if not isinstance(sibling, Tag):
            continue
        if sibling.name in HEADINGS or extents[id(sibling)].headings:
            return
        yield sibling
