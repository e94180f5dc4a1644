"""Text with its printed styles: bold, underlined, italic.

The guidelines mark a year's changes only by style, which plain text loses. FY2025, front page: bold text has changed,
underlined text has moved, italics mark a revised heading.

>>> StyledText.join([StyledText("the ICD-"), StyledText("10-CM", (Span(0, 5, "bold"),)), StyledText("codes")])
StyledText(text='the ICD-10-CM codes', spans=(Span(start=8, end=13, style='bold'),))
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from deepicd.schema import Mark

Style = Literal["bold", "underline", "italics"]
STYLES: tuple[Style, ...] = ("bold", "underline", "italics")

# A line that ends in a hyphen continues without a space ('ICD-' / '10-CM'). Two dashes do not: one that stands alone
# ('care -'), and that of a category ('code G20-' / 'represents') unless a range continues ('Q00-' / 'Q99').
_HYPHEN_END = re.compile(r"[^\s\-–]-\Z")
_CATEGORY_DASH = re.compile(r"\b[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{0,4})?-\Z")
_CODE_START = re.compile(r"[A-Z][0-9][0-9A-Z]")


class Span(NamedTuple):
    """A range of characters, `start` up to `end`, printed in `style`."""

    start: int
    end: int
    style: Style


@dataclass(frozen=True, slots=True)
class StyledText:
    """A text and its spans, sorted by start, none of them empty."""

    text: str
    spans: tuple[Span, ...] = ()

    @classmethod
    def from_characters(cls, characters: Sequence[tuple[str, frozenset[Style]]]) -> "StyledText":
        """Return the text of characters with styles. A space between two words of a style belongs to the span."""
        text = "".join(character for character, _ in characters)
        spans = []
        for style in STYLES:
            start: int | None = None
            for at, (character, styles) in enumerate([*characters, ("", frozenset[Style]())]):
                if style in styles and not character.isspace():
                    start = at if start is None else start
                elif start is not None and not character.isspace():
                    spans.append(Span(start, start + len(text[start:at].rstrip()), style))
                    start = None
        return cls(text, tuple(sorted(spans)))

    @classmethod
    def join(cls, lines: Iterable["StyledText"]) -> "StyledText":
        """Join the lines of a paragraph. A span that continues over a line end stays one span."""
        text, spans = "", list[Span]()
        for line in lines:
            gap = " " if text and not _continues_word(text, line.text) else ""
            for span in line.spans:
                shifted = Span(span.start + len(text) + len(gap), span.end + len(text) + len(gap), span.style)
                before = next((old for old in spans if old.style == span.style and old.end == len(text)), None)
                if before and text and span.start == 0:
                    spans[spans.index(before)] = Span(before.start, shifted.end, span.style)
                else:
                    spans.append(shifted)
            text += gap + line.text
        return cls(text, tuple(sorted(spans)))

    def drop_prefix(self, length: int) -> "StyledText":
        """Return what follows the first `length` characters and the space after them."""
        rest = self.text[length:].lstrip()
        cut = len(self.text) - len(rest)
        spans = (Span(max(span.start - cut, 0), span.end - cut, span.style) for span in self.spans if span.end > cut)
        return StyledText(rest, tuple(spans))

    def measure_share(self, style: Style) -> float:
        """Return the share of the text, without spaces, that is printed in a style: 0 to 1."""
        inked = [not character.isspace() for character in self.text]
        styled = sum(sum(inked[span.start : span.end]) for span in self.spans if span.style == style)
        return styled / total if (total := sum(inked)) else 0.0

    def list_marks(self, styles: Iterable[Style] = STYLES) -> list[Mark]:
        """Return the spans as they are stored."""
        return [Mark(start=start, end=end, style=style) for start, end, style in self.spans if style in styles]


def _continues_word(text: str, following: str) -> bool:
    """Return whether the next line is joined without a space."""
    if not _HYPHEN_END.search(text):
        return False
    return not _CATEGORY_DASH.search(text) or bool(_CODE_START.match(following))
