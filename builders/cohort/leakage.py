"""Does an admission note give its diagnosis away? Signals of a leak, one sentence at a time.

    title       the first diagnosis by its title, or by the part of it before the first comma
    synonym     by an inclusion term of the code or of its category in the release
    code        by its code, dotted or not
    outcome     words of the end of the stay: 'was discharged', 'on discharge', 'expired', 'hospital course'
    course      a sentence that stands word for word in the hospital course

A signal is no proof: a patient with a history of heart failure may be admitted for heart failure, and the note may well
say so at admission. The audit counts; the strict filter removes the sentence, history and all.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Signal = Literal["title", "synonym", "code", "outcome", "course"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

# What the audit counts them in: extractions of a note, and their sections, one of which is the whole note.
EXTRACTIONS = {"default": "ours", "paper": "ours, the paper's sections", "published": "the published extraction"}
ANY = "any"

SHORTEST_TERM = 4  # characters of a title or synonym worth looking for
SAME_WORDS = 8  # words from which on a sentence that stands in the course is no coincidence

_OUTCOME = re.compile(
    r"\b(?:(?:was|were|been|be|is) (?:subsequently |then |later )?discharged|(?:on|at|upon|prior to|before) discharge"
    r"|discharged? (?:home|to)|(?:patient|pt|he|she) expired|time of death|hospital course)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"(?<=[.!?])\s+(?=[A-Z_\"'(])|\n\s*\n|\n(?=\s*(?:[-#•*]|\d+[.)])\s)|\n(?=[A-Z][A-Za-z/ ]{0,24}:)"
)
_WORDS = re.compile(r"[a-z0-9]+")
# Endings of titles that carry no diagnosis of their own.
_VAGUE = re.compile(
    r",? (?:unspecified|not elsewhere classified|NOS|initial encounter|subsequent encounter|sequela)\b.*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What would name one code: phrases as runs of lower-case words, a blank at either end."""

    titles: tuple[str, ...]
    synonyms: tuple[str, ...]
    codes: tuple[str, ...]


def build_terms(code: str, title: str, synonyms: Iterable[str] = ()) -> Terms:
    """
    >>> build_terms("J189", "Pneumonia, unspecified organism").titles
    (' pneumonia unspecified organism ', ' pneumonia ')
    """
    short = _VAGUE.sub("", title).split(",")[0]
    titles = dict.fromkeys(_plain(text) for text in (title, short) if len(text) >= SHORTEST_TERM)
    others = dict.fromkeys(_plain(text) for text in synonyms if len(text) >= SHORTEST_TERM)
    dotted = f" {code[:3].lower()} {code[3:].lower()} " if len(code) > 3 else f" {code.lower()} "
    return Terms(tuple(titles), tuple(text for text in others if text not in titles), (f" {code.lower()} ", dotted))


def find_signals(sentence: str, naming: Terms, course: str) -> set[Signal]:
    """The signals in one sentence. `course`: the hospital course in `plain` form, '' where the note has none."""
    plain = _plain(sentence)
    found: set[Signal] = set()
    if any(title in plain for title in naming.titles):
        found.add("title")
    if any(synonym in plain for synonym in naming.synonyms):
        found.add("synonym")
    if any(code in plain for code in naming.codes):
        found.add("code")
    if _OUTCOME.search(sentence):
        found.add("outcome")
    if course and plain.count(" ") > SAME_WORDS and plain in course:
        found.add("course")
    return found


def split_sentences(text: str) -> Iterator[str]:
    """Sentences, list entries and labelled lines, as they stand."""
    return (piece for piece in _SENTENCE.split(text) if piece.strip())


def find_section_signals(parts: Mapping[str, str], naming: Terms, course: str) -> dict[str, set[Signal]]:
    """Section → signals in it."""
    plain_course = _plain(course) if course else ""
    return {
        name: set().union(*(find_signals(sentence, naming, plain_course) for sentence in split_sentences(text)))
        for name, text in parts.items()
    }


def remove_signals(parts: Mapping[str, str], naming: Terms, course: str) -> dict[str, str]:
    """The sections less every sentence with a signal; a section of which nothing is left goes."""
    plain_course = _plain(course) if course else ""
    kept = {}
    for name, text in parts.items():
        at, spans = 0, []
        for sentence in split_sentences(text):
            at = text.index(sentence, at)
            if not find_signals(sentence, naming, plain_course):
                spans.append((at, at + len(sentence)))
            at += len(sentence)
        if spans:
            kept[name] = _joined(text, spans)
    return kept


def _joined(text: str, spans: list[tuple[int, int]]) -> str:
    """The pieces of a text at these places, before each the white space that stood before it."""
    first, *others = spans
    result, end_before = text[first[0] : first[1]], first[1]
    for begin, end in others:
        between = text[end_before:begin]
        result += between[len(between.rstrip()) :] + text[begin:end]
        end_before = end
    return result


def _plain(text: str) -> str:
    """Lower-case words parted by single blanks, one at either end: phrases in it are whole words."""
    return f" {' '.join(_WORDS.findall(text.casefold()))} "
