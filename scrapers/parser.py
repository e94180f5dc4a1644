"""Read what a page of gesund.bund.de says about an ICD-10-GM code: a pure function from HTML to one of five outcomes.

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
from bs4.filter import SoupStrainer

from deepicd.icd10cm import Code

EXTRACTOR = "4"
"""Version of this reader. Raise it when the same page would give another row; stored pages are then read again."""

Outcome = Literal[
    "described",
    "no text",  # a page of this code, without an explanation
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
    headings = soup.find_all(HEADINGS)
    reading = Reading(
        "no text",
        title=headline["title"] if headline else None,
        marks=tuple(mark[0] for entry in _read_under(MARKS, headings) if (mark := MARK.match(entry))),
        hints=tuple(_read_under(HINTS, headings)),
        has_article=soup.article is not None,
    )
    blocks = soup.find_all(True, {TEXT_KEY: True})
    texts = {key: text for block in blocks if (key := _read_key(block)) and (text := _read_description(block))}
    if own := texts.get(code):
        return replace(reading, outcome="described", text=own, text_code=str(code))
    if texts:
        return replace(reading, outcome="another code", text_code=str(next(iter(texts))))
    return reading


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


def _read_description(block: Tag) -> str:
    """Return the paragraphs of the explanation in a block; '' if it holds only headings, indicators and sources."""
    headings = _find_named(MARKS | HINTS | SOURCES | LINKS, block.find_all(HEADINGS))
    left_out = {id(part) for heading in headings for part in _list_section(heading, block)}
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


def _find_named(names: set[str], headings: list[Tag]) -> list[Tag]:
    return [heading for heading in headings if _line(heading).rstrip(":").casefold() in names]


def _read_under(names: set[str], headings: list[Tag]) -> Iterator[str]:
    """Yield what is under headings of these names, one line per paragraph or list item."""
    for heading in _find_named(names, headings):
        _, *parts = _list_section(heading)
        for part in parts:
            yield from filter(None, map(_line, part.find_all("li") or [part]))


def _list_section(heading: Tag, block: Tag | None = None) -> Iterator[Tag]:
    """Yield a heading and what follows it up to the next one; a box that holds only the heading stands for it."""
    start = heading
    while (box := start.parent) is not None and box is not block and _line(box) == _line(heading):
        start = box
    yield start
    for sibling in start.find_next_siblings():
        if sibling.name in HEADINGS or sibling.find(HEADINGS):
            return
        yield sibling
