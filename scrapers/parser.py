"""What a page of gesund.bund.de says of an ICD-10-GM code: a pure function from its HTML to one of five outcomes.

    >>> html = '''<title>ICD-10-Code: A00.0</title><h1>ICD-Code A00.0: Cholera</h1>
    ... <article><div data-text-key="A00.0"><p>Sie haben Cholera.</p></div></article>'''
    >>> reading = read(html, Code.parse("A00.0"))
    >>> reading.outcome, reading.title, reading.text, reading.text_code
    ('described', 'Cholera', 'Sie haben Cholera.', 'A00.0')

The text stands in `<div data-text-key="A00.0">`, whose key may name another code than the one asked for, and which may
be missing or empty. A code the site does not know gets a page too, under another title and with status 200.
Left out of the text: navigation, headings, the list of additional indicators (G, V, Z, A, …), sources and notes.
Indicators and notes are read on their own (`marks`, `hints`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from unicodedata import normalize

from deepicd.icd10cm import Code

Element = Any  # lxml's, which has no types

EXTRACTOR = "3"
"""Raise it when the same page would give another row: the pages on disk are then read again."""

Outcome = Literal[
    "described",
    "no text",  # a page of this code, without an explanation
    "another code",  # the explanation on it is a parent's or a child's: `text_code` says whose
    "unknown code",  # a page of the site, about no code
    "not an ICD page",  # an error page, a captcha, something that is no HTML
]

# <title> of a code's page begins 'ICD-10-Code:', 'ICD-Code-Suche' is the search; a headline with a code will do as well
KNOWN_CODE = re.compile(r"ICD-10(?:-GM)?[- ]Code\s*:", re.IGNORECASE)
# <h1>ICD-Code A00.0: Cholera durch …</h1>, in English also <h1>A00.0: Cholera due to …</h1>
HEADLINE = re.compile(r"(?:ICD(?:-10)?(?:-GM)?[- ]Code\s+)?[A-Z]\d\d[^\s:]*\s*:\s*(?P<title>.+)", re.IGNORECASE)
OF_THE_SITE = re.compile(r"icd-code-su|icd-code-search", re.IGNORECASE)  # in the address of a link, on any page

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
NO_TEXT_IN = {"nav", "header", "footer", "aside", "form", "button", "noscript", "svg"}
NO_TEXT_IN |= HEADINGS
PARAGRAPH_MARK, LINE_MARK = "\x1d", "\x1e"  # no HTML text holds these two control characters in earnest
# tag → what to put before its text and after it
MARKED = {
    **dict.fromkeys(["p", "div", "section", "ul", "ol", "dl", "table", "blockquote"], (PARAGRAPH_MARK, PARAGRAPH_MARK)),
    **dict.fromkeys(["tr", "dt", "dd", "br"], (LINE_MARK, "")),
    "li": (f"{LINE_MARK}- ", ""),
}
# Headings of what is on the page beside the explanation, German and English
MARKS = {"zusatzkennzeichen", "additional indicator", "additional indicators"}
HINTS = {"hinweis", "hinweise", "note", "notes"}
SOURCES = {"quelle", "quellen", "source", "sources"}
LINKS = {"weitere informationen", "further information", "more information", "weitere artikel", "more articles"}
# … and paragraphs of that sort where no heading parts them from it
BESIDE = re.compile(
    r"Auf ärztlichen Dokumenten wird der ICD-Code|In outpatient care, the ICD code on medical documents|"
    r"Bereitgestellt von der|Provided by the non-profit",
    re.IGNORECASE,
)
MARK = re.compile(r"[GVZALRB]\b")  # confirmed, suspected, state after, excluded; left, right, both sides


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found. `text` has its paragraphs parted by a blank line; None unless the outcome is 'described'."""

    outcome: Outcome
    title: str | None = None
    text: str | None = None
    text_code: str | None = None
    """Whose text the page holds, dotted; None where it holds none."""
    marks: tuple[str, ...] = ()
    """Letters of the additional indicators that the page explains: ('G', 'V')."""
    hints: tuple[str, ...] = ()
    """The paragraphs under headings such as 'Hinweis'."""
    has_article: bool = False
    """Whether there is the element that texts stand in: many of these without a text are a change of layout."""


def read(html: str, asked: Code) -> Reading:
    """The reading of one page. Never raises: whatever the server sent, it is an outcome."""
    tags = _tags(_parsed(html))
    named = {tag.tag: tag for tag in reversed(tags)}  # the first of each name
    headline = HEADLINE.match(_line(named.get("h1")))
    if not headline and not KNOWN_CODE.match(_line(named.get("title"))):
        of_the_site = any(tag.tag == "a" and OF_THE_SITE.search(tag.get("href", "")) for tag in tags)
        return Reading("unknown code" if of_the_site else "not an ICD page")
    headings = [tag for tag in tags if tag.tag in HEADINGS]
    of_page: dict[str, Any] = {
        "title": headline["title"] if headline else None,
        "marks": tuple(mark[0] for entry in _under(_named(MARKS, headings)) if (mark := MARK.match(entry))),
        "hints": tuple(_under(_named(HINTS, headings))),
        "has_article": "article" in named,
    }
    blocks = [tag for tag in tags if tag.get("data-text-key") is not None]
    texts = {code: text for block in blocks if (code := _key(block)) and (text := _description(block))}
    if own := texts.get(asked):
        return Reading("described", text=own, text_code=str(asked), **of_page)
    if texts:
        return Reading("another code", text_code=str(next(iter(texts))), **of_page)
    return Reading("no text", **of_page)


def _parsed(html: str) -> Element:
    """The root of the document; an empty one where there is nothing to parse."""
    from lxml import etree  # type: ignore[import-untyped]

    # libxml2 ends a document at its first NUL, and a tree at 256 boxes in one another unless told that it is huge
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(html.replace("\0", "").encode("utf-8", "replace") or b"<html/>", parser)
    if root is None:
        return etree.Element("html")
    etree.strip_elements(root, "script", "style", "template", with_tail=False)
    return root


def _tags(part: Element) -> list[Element]:
    """A part and all elements in it, in reading order."""
    return list(part.iter("*"))


def _line(tag: Element | None) -> str:
    """A tag's text on one line; '' for no tag."""
    if tag is None:
        return ""
    text = " ".join(tag.itertext())
    return " ".join((text if text.isascii() else normalize("NFC", text.replace("\xad", ""))).split())


def _key(block: Element) -> Code | None:
    return Code.find(block.get("data-text-key").strip().rstrip("!*+†-."))


def _description(block: Element) -> str:
    """The explanation in a block, as paragraphs; '' where nothing but headings, lists of marks and sources is left."""
    beside = _named(MARKS | HINTS | SOURCES | LINKS, [tag for tag in _tags(block) if tag.tag in HEADINGS])
    left_out = {part for heading in beside for part in _section(heading, block)}
    text = "".join(_marked(block, left_out)).replace("\xad", "")
    paragraphs = filter(None, map(_paragraph, text.split(PARAGRAPH_MARK)))
    # an umlaut may be sent as a letter and a mark to be put over it
    return normalize("NFC", "\n\n".join(paragraph for paragraph in paragraphs if not BESIDE.match(paragraph)))


def _marked(block: Element, left_out: set[Element]) -> Iterator[str]:
    """The text of a block with a mark where a paragraph or a line begins. No recursion: boxes may nest without end."""
    ahead: list[Any] = [block]  # elements, and texts between them
    while ahead:
        part = ahead.pop()
        if isinstance(part, str):
            yield part
        elif part.tag not in NO_TEXT_IN and part not in left_out:
            before, after = MARKED.get(part.tag, ("", ""))
            yield before + _spaced(part.text)
            ahead.append(after)
            for child in reversed(part):
                ahead += [_spaced(child.tail), child]


def _spaced(text: str | None) -> str:
    """A text of the source, whose line breaks mean nothing."""
    return re.sub(r"\s+", " ", text or "")


def _paragraph(part: str) -> str:
    """Its lines, white space closed up; empty lines and bullets without text are dropped."""
    lines = (" ".join(line.split()) for line in part.split(LINE_MARK))
    return "\n".join(line for line in lines if line not in ("", "-"))


def _named(names: set[str], headings: list[Element]) -> list[Element]:
    return [heading for heading in headings if _line(heading).rstrip(":").casefold() in names]


def _under(headings: list[Element]) -> Iterator[str]:
    """What stands under headings, a line a paragraph or an entry of a list."""
    for heading in headings:
        _, *parts = _section(heading)
        for part in parts:
            yield from filter(None, map(_line, part.findall(".//li") or [part]))


def _section(heading: Element, block: Element | None = None) -> Iterator[Element]:
    """The heading and what follows up to the next heading; a box that holds nothing but the heading counts as it."""
    start = heading
    while (box := start.getparent()) is not None and box is not block and _line(box) == _line(heading):
        start = box
    yield start
    for sibling in start.itersiblings():
        if any(tag.tag in HEADINGS for tag in _tags(sibling)):
            return
        yield sibling
