"""Find sentences of an admission note that give its diagnosis away, by five signals.

    title       names the first diagnosis by its title, or by the part of it before the first comma
    synonym     names it by an inclusion term of the code or of its category in the release
    code        names it by its code, with or without the dot
    outcome     tells how the stay ended: 'was discharged', 'on discharge', 'expired', 'hospital course'
    course      occurs word for word in the hospital course

A signal is not a proof: a patient with a history of heart failure may be admitted for heart failure, and the note may
say so at admission. The audit counts signals; the strict filter removes the sentence, history included.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Signal = Literal["title", "synonym", "code", "outcome", "course"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

SHORTEST_TERM = 4  # characters of a title or synonym worth looking for
SAME_WORDS = 8  # a longer sentence that also occurs in the course is not a coincidence

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
    """The phrases that name one code: lower-case words, with a blank at either end."""

    titles: tuple[str, ...]
    synonyms: tuple[str, ...]
    codes: tuple[str, ...]


def build_terms(code: str, title: str, synonyms: Iterable[str] = ()) -> Terms:
    """Return the phrases that name a code.

    >>> build_terms("J189", "Pneumonia, unspecified organism").titles
    (' pneumonia unspecified organism ', ' pneumonia ')
    """
    short = _VAGUE.sub("", title).split(",")[0]
    titles = dict.fromkeys(_normalize(text) for text in (title, short) if len(text) >= SHORTEST_TERM)
    others = dict.fromkeys(_normalize(text) for text in synonyms if len(text) >= SHORTEST_TERM)
    dotted = f" {code[:3].lower()} {code[3:].lower()} " if len(code) > 3 else f" {code.lower()} "
    return Terms(tuple(titles), tuple(text for text in others if text not in titles), (f" {code.lower()} ", dotted))


def find_signals(sentence: str, terms: Terms, course: str) -> set[Signal]:
    """Return the signals in one sentence. `course` is the normalized hospital course, '' if the note has none."""
    plain = _normalize(sentence)
    signals: set[Signal] = set()
    if any(title in plain for title in terms.titles):
        signals.add("title")
    if any(synonym in plain for synonym in terms.synonyms):
        signals.add("synonym")
    if any(code in plain for code in terms.codes):
        signals.add("code")
    if _OUTCOME.search(sentence):
        signals.add("outcome")
    if course and plain.count(" ") > SAME_WORDS and plain in course:
        signals.add("course")
    return signals


def split_sentences(text: str) -> Iterator[str]:
    """Yield sentences, list entries and labelled lines, unchanged."""
    return (piece for piece in _SENTENCE.split(text) if piece.strip())


def find_section_signals(sections: Mapping[str, str], terms: Terms, course: str) -> dict[str, set[Signal]]:
    """Return section → the signals in it."""
    normal_course = _normalize(course) if course else ""
    return {
        name: set().union(*(find_signals(sentence, terms, normal_course) for sentence in split_sentences(text)))
        for name, text in sections.items()
    }


def remove_signals(sections: Mapping[str, str], terms: Terms, course: str) -> dict[str, str]:
    """Return the sections without sentences that have a signal, and without sections that are then empty."""
    normal_course = _normalize(course) if course else ""
    kept = {}
    for name, text in sections.items():
        at, spans = 0, []
        for sentence in split_sentences(text):
            at = text.index(sentence, at)
            if not find_signals(sentence, terms, normal_course):
                spans.append((at, at + len(sentence)))
            at += len(sentence)
        if spans:
            kept[name] = _join_spans(text, spans)
    return kept


def _join_spans(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the pieces of a text at these places, each after the white space that preceded it."""
    first, *others = spans
    result, end_before = text[first[0] : first[1]], first[1]
    for begin, end in others:
        between = text[end_before:begin]
        result += between[len(between.rstrip()) :] + text[begin:end]
        end_before = end
    return result


def _normalize(text: str) -> str:
    """Return lower-case words separated by single blanks, with one at either end: phrases in it are whole words."""
    return f" {' '.join(_WORDS.findall(text.casefold()))} "
